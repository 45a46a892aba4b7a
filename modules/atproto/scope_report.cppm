// SPDX-License-Identifier: MIT
module;
#include <span>
#include <string>
#include <string_view>
#include <vector>
export module latchkey.atproto.scope_report;
import latchkey.atproto.permission_set;

// What was asked for at a login, against what was granted: users take permissions away, and servers
// drop what they do not know (C9.5).

export namespace latchkey {

struct ScopeReport {
  std::vector<std::string> missing;  ///< asked for and not granted, as words of a scope; of a
                                     ///< permission that was granted in part, the rest
  std::vector<std::string> extra;    ///< granted and not asked for
  std::vector<std::string> unclear;  ///< asked for, and only the server can tell whether granted

  [[nodiscard]] bool is_as_requested() const noexcept {
    return missing.empty() && extra.empty() && unclear.empty();
  }
  /// For people: "not granted: …; granted without being asked for: …". Empty if all is as
  /// requested.
  [[nodiscard]] std::string text() const;
};

/// `sets`: for `include:`. An empty `granted` means: as requested (RFC 6749 §5.1).
[[nodiscard]] ScopeReport compare_scopes(std::string_view requested, std::string_view granted,
                                         std::span<const PermissionSet> sets = {});

}  // namespace latchkey
