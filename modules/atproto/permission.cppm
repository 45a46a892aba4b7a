// SPDX-License-Identifier: MIT
module;
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
export module latchkey.atproto.permission;
import latchkey.core.error;

// One permission of the AT Protocol as a word of an OAuth scope (C9.1 to C9.3), such as
// `repo:app.bsky.feed.post?action=create`. What a whole scope allows is
// latchkey.atproto.permissions.

export namespace latchkey {

/// What is done to a record.
enum class RecordAction { create, update, remove };
/// "create", "update" or "delete".
[[nodiscard]] std::string_view to_string(RecordAction action) noexcept;

/// What a permission is for.
enum class PermissionResource { repo, rpc, blob, account, identity, include };

using PermissionParameters = std::vector<std::pair<std::string, std::vector<std::string>>>;

/// A permission that keeps the rules of its resource:
/// - repo: collection (NSID or `*`; several), action (create, update, delete; several; all if none)
/// - rpc: lxm (NSID or `*`; several), aud (DID#service or `*`); not `*` for both
/// - blob: accept (MIME type, `type/*` or `*/*`; several)
/// - account: attr (email, repo), action (read, manage; read if none)
/// - identity: attr (handle or `*`)
/// - include: nsid, aud (DID#service; may be left out)
/// The first of each may stand after the colon. There are no partial wildcards, and all is compared
/// with its case.
class Permission {
 public:
  /// Reads a word of a scope: resource[:positional][?name=value&…], percent-encoded. Errors:
  /// invalid_argument, "permission.resource" (none that is known), "permission.encoding",
  /// "permission.parameter" (unknown, missing, malformed, repeated where one is allowed, or given
  /// both after the colon and by name).
  [[nodiscard]] static Result<Permission> parse(std::string_view word);
  /// Of values that are not encoded. Errors: "permission.parameter".
  [[nodiscard]] static Result<Permission> make(PermissionResource resource,
                                               PermissionParameters parameters);

  [[nodiscard]] PermissionResource resource() const noexcept { return resource_; }
  /// The values given for a parameter; none if it was left out.
  [[nodiscard]] const std::vector<std::string>& values(std::string_view name) const noexcept;
  /// True if `value` is among them, or `*` is.
  [[nodiscard]] bool names(std::string_view parameter, std::string_view value) const noexcept;
  /// As a word of a scope, in the form that servers write: one first value after the colon, several
  /// by name.
  [[nodiscard]] std::string text() const;

 private:
  Permission(PermissionResource resource, PermissionParameters parameters)
      : resource_(resource), parameters_(std::move(parameters)) {}
  PermissionResource resource_;
  PermissionParameters parameters_;
};

/// DID#service, as in `aud` and in the atproto-proxy header. Error: invalid_argument,
/// "service.malformed".
[[nodiscard]] Result<std::string> parse_service(std::string_view text);
/// The type of a Content-Type, without its parameters; empty if it is not type/subtype.
[[nodiscard]] std::string_view media_type_of(std::string_view content_type) noexcept;

}  // namespace latchkey
