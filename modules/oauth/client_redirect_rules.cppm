// SPDX-License-Identifier: MIT
module;
#include <optional>
#include <string_view>
export module latchkey.oauth.client_redirect_rules;
import latchkey.oauth.client_finding;

// Which redirect URIs a hosted client may declare (C1.10, RFC 8252 §7 and §8).

export namespace latchkey {

/// What the rules ask about the client that declares a redirect.
struct RedirectOwner {
  std::string_view client_id;
  bool is_native = false;
};

/// Nothing if the redirect is allowed; else the first thing that is wrong, with the ids
/// "C1.10.malformed", "C1.10.fragment", "C1.10.credentials"; for https "C1.10.default_port",
/// "C1.10.local_host" and, of a native client, "C1.10.other_origin"; for http
/// "C1.10.not_https", "C1.10.localhost", "C1.10.loopback_not_native"; for other schemes
/// "C1.10.private_use_web", "C1.10.private_use_scheme" (not the client_id's host reversed) and
/// "C1.10.private_use_slash" (not ":/" and a path).
[[nodiscard]] std::optional<ClientFinding> check_redirect(std::string_view redirect_uri,
                                                          const RedirectOwner& owner);

}  // namespace latchkey
