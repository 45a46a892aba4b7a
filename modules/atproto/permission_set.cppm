// SPDX-License-Identifier: MIT
module;
#include <string>
#include <string_view>
#include <utility>
#include <vector>
export module latchkey.atproto.permission_set;
import latchkey.atproto.permission;
import latchkey.core.error;
import latchkey.core.json;

// Permission sets: lexicons that bundle permissions under one name, which a scope takes in with
// `include:` (C9.3).

export namespace latchkey {

/// A published set. What its lexicon says is a stranger's text: only what the specification lets a
/// set hold comes out of it.
class PermissionSet {
 public:
  /// Reads a lexicon: {"id", "defs": {"main": {"type": "permission-set", "permissions": […]}}}.
  /// Errors: invalid_argument, "permission_set.…" (no JSON, members missing or of the wrong type),
  /// "permission_set.kind" (another kind of lexicon), "nsid.malformed".
  [[nodiscard]] static Result<PermissionSet> parse(std::string_view lexicon);

  [[nodiscard]] const std::string& nsid() const noexcept { return nsid_; }
  /// What `include` takes in: repo and rpc permissions for names under the set's own group (the
  /// NSID without its last part) and no wildcard for them; an rpc permission with inheritAud gets
  /// the audience of the include, and one without an audience is left out, as is everything else.
  /// Nothing if `include` is not for this set.
  [[nodiscard]] std::vector<Permission> expand(const Permission& include) const;

 private:
  struct Entry {
    PermissionResource resource;
    PermissionParameters parameters;
    bool inherits_audience = false;
  };
  [[nodiscard]] static Result<std::vector<Entry>> read_entries(const JsonObject& main);
  [[nodiscard]] bool is_in_group(std::string_view name) const noexcept;

  std::string nsid_;
  std::vector<Entry> entries_;
};

}  // namespace latchkey
