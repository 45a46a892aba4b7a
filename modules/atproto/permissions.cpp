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
module latchkey.atproto.permissions;
import latchkey.atproto.permission;
import latchkey.atproto.permission_set;
import latchkey.core.error;
import latchkey.oauth.scope;

namespace latchkey {
namespace {

// They say who somebody is, and allow nothing on a PDS.
constexpr std::array<std::string_view, 5> kIdentityWords{"atproto", "openid", "profile", "email",
                                                         "offline_access"};
constexpr std::array<std::string_view, 3> kTransitions{"generic", "email", "chat.bsky"};

constexpr std::string_view kTransition = "transition:";

template <class Range>
bool has(const Range& range, std::string_view text) {
  return std::find(range.begin(), range.end(), text) != range.end();
}

bool accepts(std::string_view pattern, std::string_view mime) {
  if (pattern == "*/*" || pattern == mime) return true;
  return pattern.ends_with("/*") && mime.starts_with(pattern.substr(0, pattern.size() - 1));
}

bool is_chat(std::string_view lxm) {
  return lxm.starts_with("chat.bsky.");
}

// What a word would be if its values keep the rules; what they are otherwise says as much.
std::string word_of(PermissionResource resource, PermissionParameters parameters,
                    std::string otherwise) {
  const auto made = Permission::make(resource, std::move(parameters));
  return made ? made->text() : std::move(otherwise);
}

}  // namespace

Permissions Permissions::of(std::string_view scope, std::span<const PermissionSet> sets) {
  Permissions out;
  const auto words = ScopeSet::parse(scope);
  out.is_readable_ = words && !words->tokens().empty();
  if (!words) return out;
  for (const std::string& word : words->tokens()) out.add(word, sets);
  return out;
}

void Permissions::add(const std::string& word, std::span<const PermissionSet> sets) {
  if (has(kIdentityWords, word)) return;
  if (word.starts_with(kTransition) && has(kTransitions, word.substr(kTransition.size()))) {
    transitions_.push_back(word.substr(kTransition.size()));
    return;
  }
  auto permission = Permission::parse(word);
  if (!permission) {
    unclear_.push_back(word);
    return;
  }
  if (permission->resource() != PermissionResource::include) {
    permissions_.push_back(*std::move(permission));
    return;
  }
  const auto set = std::find_if(sets.begin(), sets.end(), [&](const PermissionSet& one) {
    return permission->names("nsid", one.nsid());
  });
  if (set == sets.end()) {
    unclear_.push_back(word);
    return;
  }
  auto included = set->expand(*permission);
  std::move(included.begin(), included.end(), std::back_inserter(permissions_));
}

bool Permissions::has_transition(std::string_view name) const noexcept {
  return has(transitions_, name);
}

Answer Permissions::denied() const noexcept {
  return is_readable_ && unclear_.empty() ? Answer::no : Answer::unknown;
}

template <class Matches>
Answer Permissions::ask(PermissionResource resource, Matches matches) const {
  const bool allowed = std::any_of(
      permissions_.begin(), permissions_.end(),
      [&](const Permission& one) { return one.resource() == resource && matches(one); });
  return allowed ? Answer::yes : denied();
}

Answer Permissions::allows_record(std::string_view collection, RecordAction action) const {
  if (has_transition("generic")) return Answer::yes;
  return ask(PermissionResource::repo, [&](const Permission& repo) {
    return repo.names("collection", collection) &&
           (repo.values("action").empty() || repo.names("action", to_string(action)));
  });
}

Answer Permissions::allows_rpc(std::string_view lxm, std::string_view aud) const {
  if (has_transition("generic") && !is_chat(lxm)) return Answer::yes;
  // transition:chat.bsky counts beside transition:generic only; the reference server takes it
  // alone too.
  if (has_transition("chat.bsky") && is_chat(lxm))
    return has_transition("generic") ? Answer::yes : Answer::unknown;
  return ask(PermissionResource::rpc,
             [&](const Permission& rpc) { return rpc.names("lxm", lxm) && rpc.names("aud", aud); });
}

Answer Permissions::allows_blob(std::string_view mime) const {
  if (has_transition("generic")) return Answer::yes;
  const auto plain = media_type_of(mime);
  const auto wanted = plain.empty() ? mime : plain;
  return ask(PermissionResource::blob, [&](const Permission& blob) {
    const auto& patterns = blob.values("accept");
    return std::any_of(patterns.begin(), patterns.end(),
                       [&](const std::string& pattern) { return accepts(pattern, wanted); });
  });
}

Answer Permissions::allows_account(std::string_view attr, std::string_view action) const {
  if (attr == "email" && action == "read" && has_transition("email")) return Answer::yes;
  return ask(PermissionResource::account, [&](const Permission& account) {
    const auto& actions = account.values("action");
    const bool manages = has(actions, "manage");
    return has(account.values("attr"), attr) &&
           (manages || (action == "read" && (actions.empty() || has(actions, "read"))));
  });
}

Answer Permissions::allows_identity(std::string_view attr) const {
  return ask(PermissionResource::identity,
             [&](const Permission& identity) { return identity.names("attr", attr); });
}

std::string record_permission(std::string_view collection, RecordAction action) {
  return word_of(
      PermissionResource::repo,
      {{"collection", {std::string(collection)}}, {"action", {std::string(to_string(action))}}},
      "repo");
}

std::string rpc_permission(std::string_view lxm, std::string_view aud) {
  return word_of(PermissionResource::rpc,
                 {{"lxm", {std::string(lxm)}}, {"aud", {std::string(aud)}}}, "rpc");
}

std::string blob_permission(std::string_view mime) {
  return word_of(PermissionResource::blob, {{"accept", {std::string(media_type_of(mime))}}},
                 "blob");
}

}  // namespace latchkey
