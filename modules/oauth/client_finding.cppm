// SPDX-License-Identifier: MIT
module;
#include <string>
#include <string_view>
#include <vector>
export module latchkey.oauth.client_finding;

// What a check of a client's metadata has to say.

export namespace latchkey {

struct ClientFinding {
  enum class Severity {
    error,    ///< servers refuse the client, or should
    warning,  ///< it works, but hardly as meant
  };

  std::string id;    ///< stable: the rule and a name, such as "C1.10.loopback_not_native"
  std::string rule;  ///< of docs/atproto-profile.md, such as "C1.10"
  Severity severity = Severity::error;
  std::string message;  ///< names what is wrong, and what to do

  [[nodiscard]] bool operator==(const ClientFinding&) const = default;
};

/// A finding with the id "<rule>.<name>".
[[nodiscard]] ClientFinding client_finding(
    std::string_view rule, std::string_view name, std::string message,
    ClientFinding::Severity severity = ClientFinding::Severity::error);

/// True if one of them is an error.
[[nodiscard]] bool has_errors(const std::vector<ClientFinding>& findings) noexcept;

}  // namespace latchkey
