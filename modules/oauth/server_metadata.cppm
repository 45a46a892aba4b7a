// SPDX-License-Identifier: MIT
module;
#include <optional>
#include <string>
#include <string_view>
#include <vector>
export module latchkey.oauth.server_metadata;
import latchkey.core.error;
import latchkey.core.json;
import latchkey.core.url;
import latchkey.http;

// What servers say of themselves: authorization server metadata (RFC 8414) and protected resource
// metadata (RFC 9728). Documents come from strangers: every member is checked for its type before
// it is used.

export namespace latchkey {

/// RFC 8414 §2, as far as we use it. Empty lists and absent members are both "not said".
struct ServerMetadata {
  std::string issuer;
  std::string authorization_endpoint;
  std::string token_endpoint;
  std::string pushed_authorization_request_endpoint;
  std::string revocation_endpoint;
  std::string device_authorization_endpoint;
  std::string jwks_uri;
  std::vector<std::string> response_types_supported;
  std::vector<std::string> grant_types_supported;
  std::vector<std::string> code_challenge_methods_supported;
  std::vector<std::string> token_endpoint_auth_methods_supported;
  std::vector<std::string> token_endpoint_auth_signing_alg_values_supported;
  std::vector<std::string> scopes_supported;
  std::vector<std::string> dpop_signing_alg_values_supported;
  std::vector<std::string> protected_resources;
  std::optional<bool> authorization_response_iss_parameter_supported;
  std::optional<bool> require_pushed_authorization_requests;
  std::optional<bool> client_id_metadata_document_supported;
  std::optional<bool> require_request_uri_registration;
};

/// RFC 9728 §2, as far as we use it.
struct ResourceMetadata {
  std::string resource;
  std::vector<std::string> authorization_servers;
};

/// GET issuer + /.well-known/oauth-authorization-server (RFC 8414 §3).
[[nodiscard]] Result<HttpRequest> build_server_metadata_request(const Url& issuer);
/// Exactly 200, JSON content, an object without duplicate members, `issuer` equal to the text that
/// was asked for. Errors: invalid_metadata with "metadata.status", "metadata.content_type",
/// "metadata.not_json", "metadata.duplicate_member", "metadata.wrong_type",
/// "metadata.missing_member", "metadata.issuer_mismatch".
[[nodiscard]] Result<ServerMetadata> process_server_metadata_response(std::string_view issuer,
                                                                      const HttpResponse& response);

/// The two halves of process_server_metadata_response, for documents with further members. `what`
/// and `whose` are for messages.
[[nodiscard]] Result<JsonObject> read_metadata_document(std::string_view what,
                                                        std::string_view whose,
                                                        const HttpResponse& response);
[[nodiscard]] Result<ServerMetadata> read_server_metadata(std::string_view issuer,
                                                          const JsonObject& document);
/// Issuers have no query and no fragment. Error: invalid_url, "metadata.issuer_url".
[[nodiscard]] Result<void> check_issuer_url(const Url& issuer);

/// That one endpoint, if it is there, is a URL without a fragment that the rule allows. Error:
/// invalid_metadata, "metadata.endpoint_not_https".
[[nodiscard]] Result<void> check_server_endpoint(std::string_view issuer, std::string_view name,
                                                 std::string_view endpoint, HttpRule rule);
/// The same for each of a server, jwks_uri included.
[[nodiscard]] Result<void> check_server_endpoints(const ServerMetadata& metadata, HttpRule rule);

/// GET origin + /.well-known/oauth-protected-resource (RFC 9728 §3).
[[nodiscard]] Result<HttpRequest> build_resource_metadata_request(const Url& resource);
/// As above; `resource`, if given, must equal the origin asked ("metadata.resource_mismatch").
[[nodiscard]] Result<ResourceMetadata> process_resource_metadata_response(
    std::string_view resource, const HttpResponse& response);

/// Every MUST of the ATProto profile for an authorization server (C3.5 to C3.13), each with a
/// detail of its own: "metadata.atproto.issuer_not_origin", "….endpoint_missing",
/// "….endpoint_not_https", "….response_type", "….grant_type", "….code_challenge_method",
/// "….auth_method", "….auth_signing_alg", "….scope", "….iss_parameter", "….par_not_required",
/// "….client_id_metadata", "….dpop_alg", "….request_uri_registration", "….protected_resources".
/// `pds_origin`: the PDS that named this server, or empty for a server start.
[[nodiscard]] Result<void> check_atproto_server(const ServerMetadata& metadata,
                                                std::string_view pds_origin, HttpRule rule);
/// C3.2: exactly one authorization server, a simple origin. Error: invalid_metadata
/// "metadata.atproto.one_server" or "metadata.atproto.server_not_origin".
[[nodiscard]] Result<Url> atproto_authorization_server(const ResourceMetadata& metadata,
                                                       HttpRule rule);

}  // namespace latchkey
