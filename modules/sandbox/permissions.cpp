// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <array>
#include <string>
#include <string_view>
#include <vector>
module latchkey.sandbox.permissions;
import latchkey.core.error;
import latchkey.oauth.scope;
import latchkey.sandbox.permission_scope;

namespace latchkey::sandbox {
namespace {

std::string_view name_of(RepoAction action) {
  switch (action) {
    case RepoAction::create:
      return "create";
    case RepoAction::update:
      return "update";
    case RepoAction::remove:
      break;
  }
  return "delete";
}

bool has(const std::vector<std::string>& texts, std::string_view text) {
  return std::find(texts.begin(), texts.end(), text) != texts.end();
}

// A set of permissions would have to be fetched before it could be granted (include:).
bool is_known(std::string_view token) {
  constexpr std::array<std::string_view, 4> kPlain{"atproto", "transition:generic",
                                                   "transition:email", "transition:chat.bsky"};
  if (std::find(kPlain.begin(), kPlain.end(), token) != kPlain.end()) return true;
  const auto scope = parse_permission_scope(token);
  return scope && scope->resource != "include";
}

}  // namespace

std::string repo_scope(std::string_view collection, RepoAction action) {
  return "repo:" + std::string(collection) + "?action=" + std::string(name_of(action));
}

bool permits(std::string_view scope, std::string_view collection, RepoAction action) {
  const auto tokens = ScopeSet::parse(scope);
  if (!tokens) return false;
  if (tokens->contains("transition:generic")) return true;
  return std::any_of(
      tokens->tokens().begin(), tokens->tokens().end(), [&](const std::string& token) {
        const auto repo = parse_permission_scope(token);
        if (!repo || repo->resource != "repo") return false;
        const auto collections = repo->all("collection"), actions = repo->all("action");
        return (has(collections, "*") || has(collections, collection)) &&
               (actions.empty() || has(actions, name_of(action)));
      });
}

bool permits_email(std::string_view scope) {
  const auto tokens = ScopeSet::parse(scope);
  if (!tokens) return false;
  if (tokens->contains("transition:email")) return true;
  return std::any_of(tokens->tokens().begin(), tokens->tokens().end(), [](const auto& token) {
    const auto account = parse_permission_scope(token);
    return account && account->resource == "account" && has(account->all("attr"), "email");
  });
}

std::string known_scope(std::string_view scope) {
  std::string out;
  const auto tokens = ScopeSet::parse(scope);
  if (!tokens) return out;
  for (const auto& token : tokens->tokens()) {
    if (!is_known(token)) continue;
    if (!out.empty()) out += ' ';
    out += token;
  }
  return out;
}

}  // namespace latchkey::sandbox
