// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <vector>
module latchkey.sandbox.permissions;
import latchkey.atproto.identifier;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.oauth.scope;

namespace latchkey::sandbox {
namespace {

// repo:COLLECTION or repo?collection=…, each with any number of action=….
struct RepoScope {
  std::vector<std::string> collections;
  std::vector<std::string> actions;  // none: all
};

std::optional<RepoScope> parse_repo_scope(std::string_view token) {
  const auto mark = token.find('?');
  const auto head = token.substr(0, mark);
  RepoScope scope;
  if (head.starts_with("repo:")) {
    scope.collections.emplace_back(head.substr(5));
  } else if (head != "repo") {
    return std::nullopt;
  }
  const auto fields =
      form_decode(mark == std::string_view::npos ? std::string_view{} : token.substr(mark + 1));
  if (!fields) return std::nullopt;
  for (const auto& [name, value] : *fields) {
    if (name == "action" && (value == "create" || value == "update" || value == "delete")) {
      scope.actions.push_back(value);
    } else if (name == "collection" && head == "repo") {
      scope.collections.push_back(value);
    } else {
      return std::nullopt;
    }
  }
  const bool named =
      !scope.collections.empty() &&
      std::all_of(scope.collections.begin(), scope.collections.end(), [](const std::string& name) {
        return name == "*" || parse_nsid(name).has_value();
      });
  if (!named) return std::nullopt;
  return scope;
}

bool has(const std::vector<std::string>& texts, std::string_view text) {
  return std::find(texts.begin(), texts.end(), text) != texts.end();
}

bool is_known(std::string_view token) {
  constexpr std::array<std::string_view, 4> kPlain{"atproto", "transition:generic",
                                                   "transition:email", "transition:chat.bsky"};
  if (std::find(kPlain.begin(), kPlain.end(), token) != kPlain.end()) return true;
  if (parse_repo_scope(token)) return true;
  constexpr std::array<std::string_view, 5> kOther{"blob:", "blob?",
                                                   "rpc:", "account:", "identity:"};
  return std::any_of(kOther.begin(), kOther.end(), [&](std::string_view prefix) {
    return token.starts_with(prefix) && token.size() > prefix.size();
  });
}

// blob:TYPE or blob?accept=TYPE….
std::vector<std::string> accepted_types(std::string_view token) {
  if (token.starts_with("blob:")) return {std::string(token.substr(5))};
  if (!token.starts_with("blob?")) return {};
  std::vector<std::string> types;
  const auto fields = form_decode(token.substr(5));
  if (!fields) return {};
  for (const auto& [name, value] : *fields) {
    if (name == "accept") types.push_back(value);
  }
  return types;
}

bool accepts(std::string_view pattern, std::string_view mime_type) {
  if (pattern == "*/*" || pattern == mime_type) return true;
  if (!pattern.ends_with("/*")) return false;
  pattern.remove_suffix(1);
  return mime_type.starts_with(pattern);
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
  const auto tokens = ScopeSet::parse(scope);
  if (!tokens) return false;
  if (tokens->contains("transition:generic")) return true;
  return std::any_of(
      tokens->tokens().begin(), tokens->tokens().end(), [&](const std::string& token) {
        const auto repo = parse_repo_scope(token);
        return repo && (has(repo->collections, "*") || has(repo->collections, collection)) &&
               (repo->actions.empty() || has(repo->actions, to_string(action)));
      });
}

bool permits_blob(std::string_view scope, std::string_view mime_type) {
  const auto tokens = ScopeSet::parse(scope);
  if (!tokens) return false;
  if (tokens->contains("transition:generic")) return true;
  return std::any_of(
      tokens->tokens().begin(), tokens->tokens().end(), [&](const std::string& token) {
        const auto types = accepted_types(token);
        return std::any_of(types.begin(), types.end(),
                           [&](const std::string& type) { return accepts(type, mime_type); });
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
