// SPDX-License-Identifier: MIT
module;
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>
export module latchkey.oidc.discovery;
import latchkey.core.error;
import latchkey.core.url;
import latchkey.http;
import latchkey.oauth.server_metadata;

// From an issuer to all that it says of itself (OpenID Connect Discovery 1.0, RFC 8414).

export namespace latchkey {

/// OpenID Connect Discovery §3, as far as we use it.
struct OpenIdProvider {
  ServerMetadata server;
  std::string userinfo_endpoint;     ///< empty: none
  std::string end_session_endpoint;  ///< empty: none
  std::vector<std::string> id_token_signing_alg_values_supported;
  std::vector<std::string> subject_types_supported;
};

struct DiscoveryOptions {
  HttpRule http_rule = HttpRule::https_only;
  std::stop_token stop{};
};

/// GET issuer without its last "/" + /.well-known/openid-configuration (Discovery §4). Errors:
/// invalid_url, "metadata.issuer_url" (a query or fragment).
[[nodiscard]] Result<HttpRequest> build_openid_configuration_request(const Url& issuer);

/// As process_server_metadata_response, for the text of the issuer that was asked. There must be
/// authorization_endpoint, token_endpoint, jwks_uri, response_types_supported and
/// id_token_signing_alg_values_supported ("metadata.missing_member"), the response type code
/// ("metadata.openid.response_type"), and each endpoint must be allowed by `rule`
/// ("metadata.endpoint_not_https"). All errors are invalid_metadata.
[[nodiscard]] Result<OpenIdProvider> process_openid_configuration_response(
    std::string_view issuer, const HttpResponse& response, HttpRule rule);

/// Asks an OpenID provider for its configuration, within metadata_limits. `issuer` is compared
/// exactly, a "/" at its end included (Discovery §4.3), and must be a URL that the rule allows.
/// Errors: invalid_url, insecure_address; those of HttpTransport; invalid_metadata.
[[nodiscard]] Result<OpenIdProvider> discover_openid(HttpTransport& transport,
                                                     std::string_view issuer,
                                                     const DiscoveryOptions& options = {});

/// Asks an OAuth server: by RFC 8414 first, and for its OpenID configuration if it has no such
/// document (a 4xx other than 429, or something that is not JSON). Endpoints are checked as above;
/// none is required. Errors as of discover_openid, of the document asked for last.
[[nodiscard]] Result<ServerMetadata> discover_server(HttpTransport& transport,
                                                     std::string_view issuer,
                                                     const DiscoveryOptions& options = {});

}  // namespace latchkey
