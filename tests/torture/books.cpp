// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
module latchkey.test.torture_books;
import latchkey.test.torture_notes;
import latchkey.test.torture_takeover;

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

void Books::enter(ServedRefresh refresh) {
  if (refresh.consumed) consumed_[refresh.token] = {refresh.request, refresh.answer, refresh.fault};
  if (refresh.refusal == "refresh.replayed") replayed_.push_back(refresh);
  if (is_strange(refresh.refusal)) strange_.push_back(refresh);
  open_[refresh.key] = !refresh.fault.empty();
  sessions_[refresh.key].push_back(std::move(refresh));
}

void Books::enter_cut(const RefreshNote& note) {
  cut_subjects_.insert(note.subject);
  if (note.request == 0) return;
  cut_[note.request].insert(note.stage);
  enter_note(note);
}

void Books::enter_note(const RefreshNote& note) {
  if (note.request != 0) notes_.insert_or_assign(note.request, note);
}

void Books::enter_stop(Stop stop) {
  for (const RefreshNote& note : stop.under_way) cut_subjects_.insert(note.subject);
  const auto known = std::find_if(stops_.begin(), stops_.end(), [&](const Stop& one) {
    return one.worker == stop.worker && one.from == stop.from;
  });
  if (known == stops_.end()) {
    stops_.push_back(std::move(stop));
  } else {
    known->until = stop.until;
  }
}

const RefreshNote* Books::note_of(Mark request) const {
  const auto found = notes_.find(request);
  return found == notes_.end() ? nullptr : &found->second;
}

// Nobody took the answer from who had asked for it, and that one was not killed.
Death Books::judge_delivered(Mark token, Mark consumer) const {
  const auto replay = std::find_if(replayed_.begin(), replayed_.end(),
                                   [&](const ServedRefresh& one) { return one.token == token; });
  if (!lease_ || replay == replayed_.end()) {
    return {Cause::lost, "its answer was delivered, and who had it was not killed before the save"};
  }
  return judge_takeover(note_of(consumer), note_of(replay->request), stops_, *lease_);
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
  if (cut == cut_.end()) return judge_delivered(token, consumed->second.request);
  if (cut->second.contains(Stage::unsaved)) {
    return {Cause::lost, "its answer could not be saved, and who had it was killed"};
  }
  if (cut->second.contains(Stage::held_up)) {
    return {Cause::killed_held_up, "who had its answer was killed while nobody could save it"};
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
