// SPDX-License-Identifier: MIT
module;
#include <string_view>
#include <vector>
export module latchkey.oauth.client_id_rules;
import latchkey.oauth.client_finding;

// What a client_id that is the URL of a metadata document must look like (C1.1). The loopback form
// is latchkey.oauth.client_metadata's.

export namespace latchkey {

/// Empty if it keeps the rules; else why not, with the ids "C1.1.missing", "C1.1.not_url",
/// "C1.1.not_https", "C1.1.credentials", "C1.1.port" (the default one too), "C1.1.fragment",
/// "C1.1.no_path", "C1.1.trailing_slash", "C1.1.ip_host", "C1.1.local_host" (one label, or a name
/// that servers do not fetch from), "C1.1.not_canonical", "C1.2.no_document" (a loopback client's);
/// and the warning "C1.1.query".
[[nodiscard]] std::vector<ClientFinding> check_client_id(std::string_view client_id);

/// True for a name that no other machine can be asked for: one label, or below .localhost, .local,
/// .test, .invalid, .example (RFC 6761, RFC 6762).
[[nodiscard]] bool is_local_name(std::string_view host) noexcept;

}  // namespace latchkey
