// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <array>
#include <iterator>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
module latchkey.atproto.scope_report;
import latchkey.atproto.permission;
import latchkey.atproto.permission_set;
import latchkey.atproto.permissions;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.oauth.scope;

namespace latchkey {
namespace {

using Values = std::vector<std::string>;

constexpr std::array kAllActions{RecordAction::create, RecordAction::update, RecordAction::remove};

// What of a permission is not in a scope.
struct Rest {
  std::vector<std::string> words;
  bool is_unclear = false;

  // Whether `answer` leaves something over.
  bool lacks(Answer answer) {
    is_unclear = is_unclear || answer == Answer::unknown;
    return answer == Answer::no;
  }
  void add(PermissionResource resource, PermissionParameters parameters) {
    if (const auto left = Permission::make(resource, std::move(parameters)))
      words.push_back(left->text());
  }
};

void subtract_records(const Permission& wanted, const Permissions& have, Rest& rest) {
  for (const std::string& collection : wanted.values("collection")) {
    Values actions;
    for (const RecordAction action : kAllActions) {
      const bool asked =
          wanted.values("action").empty() || wanted.names("action", to_string(action));
      if (asked && rest.lacks(have.allows_record(collection, action)))
        actions.emplace_back(to_string(action));
    }
    if (actions.empty()) continue;
    if (actions.size() == kAllActions.size()) actions.clear();
    rest.add(PermissionResource::repo, {{"collection", {collection}}, {"action", actions}});
  }
}

// Those values of a parameter that `allows` says no to.
template <class Allows>
Values denied(const Permission& wanted, std::string_view parameter, Rest& rest, Allows allows) {
  Values out;
  for (const std::string& value : wanted.values(parameter)) {
    if (rest.lacks(allows(value))) out.push_back(value);
  }
  return out;
}

Rest subtract(const Permission& wanted, const Permissions& have) {
  Rest rest;
  switch (wanted.resource()) {
    case PermissionResource::repo:
      subtract_records(wanted, have, rest);
      break;
    case PermissionResource::rpc: {
      const std::string& aud = wanted.values("aud").front();
      auto methods =
          denied(wanted, "lxm", rest, [&](const auto& m) { return have.allows_rpc(m, aud); });
      if (!methods.empty())
        rest.add(PermissionResource::rpc, {{"lxm", std::move(methods)}, {"aud", {aud}}});
      break;
    }
    case PermissionResource::blob: {
      auto types =
          denied(wanted, "accept", rest, [&](const auto& t) { return have.allows_blob(t); });
      if (!types.empty()) rest.add(PermissionResource::blob, {{"accept", std::move(types)}});
      break;
    }
    case PermissionResource::account: {
      const Values& actions = wanted.values("action");
      const std::string action = actions.empty() ? "read" : actions.front();
      if (rest.lacks(have.allows_account(wanted.values("attr").front(), action)))
        rest.words.push_back(wanted.text());
      break;
    }
    case PermissionResource::identity:
      if (rest.lacks(have.allows_identity(wanted.values("attr").front())))
        rest.words.push_back(wanted.text());
      break;
    case PermissionResource::include:
      rest.is_unclear = true;
      break;
  }
  return rest;
}

void append(std::vector<std::string>& to, std::vector<std::string> words) {
  std::move(words.begin(), words.end(), std::back_inserter(to));
}

struct Difference {
  std::vector<std::string> words;
  std::vector<std::string> unclear;
};

// What of the first scope is not in the second.
Difference difference(const ScopeSet& first, const ScopeSet& second,
                      std::span<const PermissionSet> sets) {
  const Permissions have = Permissions::of(second.text(), sets);
  Difference out;
  for (const std::string& word : first.tokens()) {
    if (second.contains(word)) continue;
    const Permissions meant = Permissions::of(word, sets);
    const bool is_include = word.starts_with("include:") || word.starts_with("include?");
    if (meant.list().empty()) {
      (is_include ? out.unclear : out.words).push_back(word);
      continue;
    }
    for (const Permission& wanted : meant.list()) {
      auto [words, unclear] = subtract(wanted, have);
      append(out.words, std::move(words));
      if (unclear) out.unclear.push_back(word);
    }
  }
  return out;
}

void add_words(std::string& text, std::string_view what, const std::vector<std::string>& words) {
  if (words.empty()) return;
  text += (text.empty() ? "" : "; ") + std::string(what) + ':';
  for (const std::string& word : words) text += ' ' + printable(word, 200);
}

}  // namespace

ScopeReport compare_scopes(std::string_view requested, std::string_view granted,
                           std::span<const PermissionSet> sets) {
  const auto asked = ScopeSet::parse(requested), given = ScopeSet::parse(granted);
  if (!asked || !given || given->tokens().empty()) return {};
  auto lacking = difference(*asked, *given, sets);
  return {.missing = std::move(lacking.words),
          .extra = difference(*given, *asked, sets).words,
          .unclear = std::move(lacking.unclear)};
}

std::string ScopeReport::text() const {
  std::string out;
  add_words(out, "not granted", missing);
  add_words(out, "granted without being asked for", extra);
  add_words(out, "left to the server", unclear);
  return out;
}

}  // namespace latchkey
