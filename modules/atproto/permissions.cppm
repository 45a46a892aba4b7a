// SPDX-License-Identifier: MIT
module;
#include <span>
#include <string>
#include <string_view>
#include <vector>
export module latchkey.atproto.permissions;
import latchkey.atproto.permission;
import latchkey.atproto.permission_set;
import latchkey.core.error;

// What a granted scope allows (C9.3, C9.4), so that a call that can't succeed is not sent (C9.5).

export namespace latchkey {

/// `unknown`: the scope has words whose meaning is not known here (permission sets that were not
/// given, resources of a later specification), so that only the server can tell.
enum class Answer { yes, no, unknown };

/// Immutable, so thread-safe.
class Permissions {
 public:
  /// Never fails: what does not parse makes answers `unknown`, as does an empty scope, which a
  /// server may leave out (RFC 6749 §5.1). `sets`: for `include:`.
  [[nodiscard]] static Permissions of(std::string_view scope,
                                      std::span<const PermissionSet> sets = {});

  /// `collection`: an NSID, or `*` for all of them.
  [[nodiscard]] Answer allows_record(std::string_view collection, RecordAction action) const;
  /// A call of the method `lxm` (NSID or `*`) at the service `aud` (DID#service or `*`).
  [[nodiscard]] Answer allows_rpc(std::string_view lxm, std::string_view aud) const;
  /// `mime`: a Content-Type, whose parameters do not count, or a pattern such as `image/*`.
  [[nodiscard]] Answer allows_blob(std::string_view mime) const;
  /// `attr`: "email" or "repo"; `action`: "read" or "manage", which includes reading.
  [[nodiscard]] Answer allows_account(std::string_view attr, std::string_view action) const;
  /// `attr`: "handle" or "*".
  [[nodiscard]] Answer allows_identity(std::string_view attr) const;

  /// All that parsed, sets expanded.
  [[nodiscard]] const std::vector<Permission>& list() const noexcept { return permissions_; }
  /// The words that make answers `unknown`, as they stand in the scope.
  [[nodiscard]] const std::vector<std::string>& not_understood() const noexcept { return unclear_; }
  [[nodiscard]] bool has_transition(std::string_view name) const noexcept;

 private:
  void add(const std::string& word, std::span<const PermissionSet> sets);
  template <class Matches>
  [[nodiscard]] Answer ask(PermissionResource resource, Matches matches) const;
  [[nodiscard]] Answer denied() const noexcept;

  std::vector<Permission> permissions_;
  std::vector<std::string> transitions_;  ///< what follows "transition:"
  std::vector<std::string> unclear_;
  bool is_readable_ = true;
};

/// The permission to ask for, as a word of a scope: `repo:app.bsky.feed.post?action=create`.
[[nodiscard]] std::string record_permission(std::string_view collection, RecordAction action);
[[nodiscard]] std::string rpc_permission(std::string_view lxm, std::string_view aud);
[[nodiscard]] std::string blob_permission(std::string_view mime);

}  // namespace latchkey
