// SPDX-License-Identifier: MIT
module;
#include <optional>
#include <string>
#include <string_view>
#include <vector>
export module latchkey.sandbox.permission_scope;
import latchkey.core.encoding;

// The grammar of ATProto's granular scopes (C9.1 to C9.3): resource[:positional][?parameters].

export namespace latchkey::sandbox {

struct PermissionScope {
  std::string resource;   ///< repo, rpc, blob, account, identity or include
  FormFields parameters;  ///< decoded, the positional one among them under its name

  [[nodiscard]] std::vector<std::string> all(std::string_view name) const;
};

/// Nothing for a token that breaks a rule of its resource: unknown, repeated or missing parameters,
/// a positional one that also stands in the query, values of another form, wildcards where there
/// are none.
[[nodiscard]] std::optional<PermissionScope> parse_permission_scope(std::string_view token);

}  // namespace latchkey::sandbox
