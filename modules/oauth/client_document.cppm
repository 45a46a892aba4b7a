// SPDX-License-Identifier: MIT
module;
#include <optional>
#include <string>
#include <string_view>
#include <vector>
export module latchkey.oauth.client_document;
import latchkey.core.error;
import latchkey.oauth.client_keys;

// A client's metadata document (RFC 7591 §2 and the ATProto profile): what a server fetches from
// the client_id, which is its URL. Whether it keeps the rules is latchkey.oauth.client_lint's to
// say.

export namespace latchkey {

/// The members that matter here; empty ones are left out. The values it begins with are those of a
/// public web client that keeps the rules.
struct ClientDocument {
  std::string client_id;
  std::vector<std::string> redirect_uris;
  std::string scope = "atproto";
  std::string application_type = "web";  ///< or "native"
  std::string client_name{};
  std::string client_uri{};
  std::string logo_uri{};
  std::string tos_uri{};
  std::string policy_uri{};
  std::vector<std::string> grant_types{"authorization_code", "refresh_token"};
  std::vector<std::string> response_types{"code"};
  std::string token_endpoint_auth_method = "none";  ///< or "private_key_jwt"
  std::string token_endpoint_auth_signing_alg{};
  std::string jwks{};  ///< a public JWK Set as JSON text
  std::string jwks_uri{};
  bool dpop_bound_access_tokens = true;

  [[nodiscard]] bool operator==(const ClientDocument&) const = default;
};

/// Makes it a confidential client's: private_key_jwt, ES256, and the public halves of `keys` in its
/// `jwks`. To be done again, and published, whenever the keys change.
void publish_keys(ClientDocument& document, const ClientKeys& keys);

/// The document as JSON, one member a line. `jwks` must be JSON if there is one.
[[nodiscard]] std::string build_client_document(const ClientDocument& document);

/// Reads a document; members without a field here are ignored. What is absent has the value that
/// servers take then: web, authorization_code, code, client_secret_basic, not bound to DPoP.
/// Errors: invalid_metadata, "client_document.not_json", "client_document.duplicate_member",
/// "client_document.wrong_type", "client_document.missing_member" (client_id).
[[nodiscard]] Result<ClientDocument> parse_client_document(std::string_view json);

/// A key as a document names it.
struct PublishedKey {
  std::string kid;
  std::string thumbprint;  ///< RFC 7638

  [[nodiscard]] bool operator==(const PublishedKey&) const = default;
};
/// The P-256 keys in the document's own `jwks` that have a kid; nothing if it has no `jwks`.
[[nodiscard]] std::optional<std::vector<PublishedKey>> published_keys(
    const ClientDocument& document);

}  // namespace latchkey
