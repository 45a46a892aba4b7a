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

bool accepts(std::string_view pattern, std::string_view mime_type) {
  if (pattern == "*/*" || pattern == mime_type) return true;
  if (!pattern.ends_with("/*")) return false;
  pattern.remove_suffix(1);
  return mime_type.starts_with(pattern);
}

// Whether `whole` is in the scope, or a token for `resource` that `fits`.
template <class Fits>
bool grants(std::string_view scope, std::string_view whole, std::string_view resource, Fits fits) {
  const auto tokens = ScopeSet::parse(scope);
  if (!tokens) return false;
  if (tokens->contains(whole)) return true;
  return std::any_of(tokens->tokens().begin(), tokens->tokens().end(), [&](const auto& token) {
    const auto permission = parse_permission_scope(token);
    return permission && permission->resource == resource && fits(*permission);
  });
}

}  // namespace

std::string_view to_string(RepoAction action) noexcept {
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

std::string repo_scope(std::string_view collection, RepoAction action) {
  return "repo:" + std::string(collection) + "?action=" + std::string(to_string(action));
}

bool permits(std::string_view scope, std::string_view collection, RepoAction action) {
  return grants(scope, "transition:generic", "repo", [&](const PermissionScope& repo) {
    const auto collections = repo.all("collection"), actions = repo.all("action");
    return (has(collections, "*") || has(collections, collection)) &&
           (actions.empty() || has(actions, to_string(action)));
  });
}

bool permits_blob(std::string_view scope, std::string_view mime_type) {
  return grants(scope, "transition:generic", "blob", [&](const PermissionScope& blob) {
    const auto types = blob.all("accept");
    return std::any_of(types.begin(), types.end(),
                       [&](const std::string& type) { return accepts(type, mime_type); });
  });
}

bool permits_email(std::string_view scope) {
  return grants(scope, "transition:email", "account",
                [](const PermissionScope& account) { return has(account.all("attr"), "email"); });
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
