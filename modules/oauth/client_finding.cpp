// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
module latchkey.oauth.client_finding;

namespace latchkey {

ClientFinding client_finding(std::string_view rule, std::string_view name, std::string message,
                             ClientFinding::Severity severity) {
  return {.id = std::string(rule) + "." + std::string(name),
          .rule = std::string(rule),
          .severity = severity,
          .message = std::move(message)};
}

bool has_errors(const std::vector<ClientFinding>& findings) noexcept {
  return std::any_of(findings.begin(), findings.end(), [](const ClientFinding& one) {
    return one.severity == ClientFinding::Severity::error;
  });
}

}  // namespace latchkey
