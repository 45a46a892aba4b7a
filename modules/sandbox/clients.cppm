// SPDX-License-Identifier: MIT
module;
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>
export module latchkey.sandbox.clients;
import latchkey.core.error;
import latchkey.oauth.client_metadata;
import latchkey.sandbox.jose;

// The clients of a sandbox: those registered with their metadata document, and every loopback
// client of the ATProto profile, which says all about itself in its client_id.

export namespace latchkey::sandbox {

inline constexpr std::string_view kDeviceGrant = "urn:ietf:params:oauth:grant-type:device_code";

/// A client as it is registered.
struct RegisteredClient {
  std::string metadata;  ///< its metadata document (RFC 7591 §2), JSON
  /// For client_secret_basic and client_secret_post, and for these only. Empty: what the document
  /// says, as the answer to a registration does (RFC 7591 §3.2.1).
  std::optional<std::string> client_secret{};
};

/// What the servers go by.
struct Client {
  ClientIdentity identity;
  bool atproto = true;  ///< declares the scope atproto: all rules of that profile
  bool dpop_bound = true;
  bool pushed_only = true;
  std::vector<std::string> grant_types{"authorization_code", "refresh_token"};
  JwsAlg id_token_alg = JwsAlg::rs256;
  std::optional<JwsAlg> assertion_alg{};  ///< the one it declares
  std::vector<VerifyingKey> keys{};       ///< its jwks
  std::string secret{};

  [[nodiscard]] bool allows_grant(std::string_view grant_type) const;
};

/// Defaults filled in. For clients that declare the scope atproto the rules C1.1 and C1.4 to C1.10
/// hold; the others may be called anything and use Bearer tokens and plain requests. Errors:
/// invalid_metadata, "client.not_json", "client.duplicate_member", "client.wrong_type",
/// "client.missing_member", "client.client_id", "client.redirect_uris", "client.grant_types",
/// "client.response_types", "client.application_type", "client.scope",
/// "client.token_endpoint_auth_method", "client.token_endpoint_auth_signing_alg", "client.jwks",
/// "client.client_secret", "client.dpop_bound_access_tokens",
/// "client.id_token_signed_response_alg".
[[nodiscard]] Result<Client> parse_client(const RegisteredClient& registered);

/// Not thread-safe.
class Clients {
 public:
  /// A client_id that is there already gets the new document, as when a hosted one changes; its
  /// sessions stay. Errors as of parse_client.
  [[nodiscard]] Result<void> add(const RegisteredClient& registered);
  /// Null if it is neither registered nor a loopback client.
  [[nodiscard]] std::shared_ptr<const Client> find(std::string_view client_id) const;

 private:
  std::map<std::string, std::shared_ptr<const Client>, std::less<>> registered_;
};

}  // namespace latchkey::sandbox
