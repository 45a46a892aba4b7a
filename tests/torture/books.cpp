// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
module latchkey.test.torture_books;
import latchkey.core.crypto;

namespace latchkey::test {
namespace {

constexpr std::size_t kShownHistory = 6;

std::string describe(const ServedRefresh& refresh) {
  std::string text = refresh.consumed          ? "consumed"
                     : refresh.refusal.empty() ? "not processed"
                                               : refresh.refusal;
  return refresh.fault.empty() ? text : text + " (" + refresh.fault + ')';
}

bool is_strange(std::string_view refusal) {
  return refusal == "refresh.unknown" || refusal == "refresh.wrong_key" ||
         refusal == "refresh.wrong_client" || refusal == "refresh.expired";
}

}  // namespace

Mark mark_of(std::string_view secret) {
  const Sha256 digest = sha256(secret);
  Mark mark = 0;
  std::memcpy(&mark, digest.data(), sizeof mark);
  return mark | 1;
}

std::string_view to_string(Stage stage) noexcept {
  switch (stage) {
    case Stage::idle:
      return "idle";
    case Stage::claimed:
      return "claimed";
    case Stage::posting:
      return "posting";
    case Stage::answered:
      return "saving";
    case Stage::unsaved:
      break;
  }
  return "unsaved";
}

std::string_view to_string(Cause cause) noexcept {
  switch (cause) {
    case Cause::answer_lost:
      return "answer lost";
    case Cause::killed_posting:
      return "killed while posting";
    case Cause::killed_saving:
      return "killed while saving";
    case Cause::lost:
      break;
  }
  return "LOST";
}

void Books::enter(ServedRefresh refresh) {
  if (refresh.consumed) consumed_[refresh.token] = {refresh.request, refresh.answer, refresh.fault};
  if (refresh.refusal == "refresh.replayed") replayed_.push_back(refresh);
  if (is_strange(refresh.refusal)) strange_.push_back(refresh);
  open_[refresh.key] = !refresh.fault.empty();
  sessions_[refresh.key].push_back(std::move(refresh));
}

void Books::enter(CutRefresh refresh) {
  cut_subjects_.insert(refresh.subject);
  if (refresh.request != 0) cut_[refresh.request].insert(refresh.stage);
}

// What is known of a token that the server has consumed: why may nobody have what it gave instead?
Death Books::judge_token(Mark token) const {
  const auto consumed = consumed_.find(token);
  if (consumed == consumed_.end()) return {Cause::lost, "the server has not consumed its token"};
  if (consumed->second.answer == Answer::lost) {
    return {Cause::answer_lost, "its answer was lost: " + consumed->second.fault};
  }
  // Only who was killed over the very request that consumed it counts: others may have sent the
  // spent token once more and have been killed over that.
  const auto cut = cut_.find(consumed->second.request);
  if (cut == cut_.end()) {
    return {Cause::lost, "its answer was delivered, and who had it was not killed before the save"};
  }
  if (cut->second.contains(Stage::unsaved)) {
    return {Cause::lost, "its answer could not be saved, and who had it was killed"};
  }
  if (cut->second.contains(Stage::answered)) {
    return {Cause::killed_saving, "who had its answer was killed before the save"};
  }
  return {Cause::killed_posting, "who had sent it was killed before the answer"};
}

std::string Books::history(const std::string& key) const {
  const auto found = sessions_.find(key);
  if (found == sessions_.end()) return "the server saw no refresh of it";
  const auto& all = found->second;
  std::string text = "the server saw:";
  const std::size_t first = all.size() > kShownHistory ? all.size() - kShownHistory : 0;
  for (std::size_t i = first; i < all.size(); ++i) {
    text += (i == first ? " " : ", ") + describe(all[i]);
  }
  return text;
}

Death Books::judge(const std::string& key) const {
  const auto found = sessions_.find(key);
  if (found == sessions_.end()) return {Cause::lost, history(key)};
  const auto last = std::find_if(found->second.rbegin(), found->second.rend(),
                                 [](const ServedRefresh& one) { return one.consumed; });
  if (last == found->second.rend()) return {Cause::lost, history(key)};
  Death death = judge_token(last->token);
  if (death.cause == Cause::lost) death.story += "; " + history(key);
  return death;
}

std::vector<std::string> Books::replays_outside() const {
  std::vector<std::string> stories;
  for (const ServedRefresh& replay : replayed_) {
    const Death death = judge_token(replay.token);
    if (death.cause == Cause::lost) stories.push_back(death.story + "; " + history(replay.key));
  }
  return stories;
}

std::vector<std::string> Books::strange_refusals() const {
  std::vector<std::string> stories;
  for (const ServedRefresh& refusal : strange_) {
    stories.push_back(refusal.refusal + "; " + history(refusal.key));
  }
  return stories;
}

bool Books::explains_claim(std::size_t subject, const std::string& key) const {
  const auto open = open_.find(key);
  return cut_subjects_.contains(subject) || (open != open_.end() && open->second);
}

}  // namespace latchkey::test
