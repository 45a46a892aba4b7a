// SPDX-License-Identifier: MIT
module;
#include <string_view>
#include <vector>
export module latchkey.oauth.client_lint;
export import latchkey.oauth.client_finding;

// Whether a client's metadata document keeps the rules of the ATProto profile (C1.1, C1.4 to C1.10)
// and of what its reference server refuses besides. Each rule is a finding of its own; nothing is
// fetched. docs/clients.md lists the ids.

export namespace latchkey {

/// What is wrong with a document, in the order of the rules; empty if nothing is. Text that is not
/// one JSON object gives the one finding "C1.4.not_json", and a member of the wrong type
/// "C1.4.wrong_type"; the rest is judged as if it were absent.
[[nodiscard]] std::vector<ClientFinding> lint_client_document(std::string_view json);

}  // namespace latchkey
