// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
module latchkey.oauth.server_metadata;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.json;
import latchkey.core.json_reader;
import latchkey.core.secret;
import latchkey.core.url;
import latchkey.http;

namespace latchkey {
namespace {

Error metadata_error(std::string_view fact, const std::string& message) {
  return make_error(ErrorCode::invalid_metadata, "metadata." + std::string(fact), message);
}

bool has(const std::vector<std::string>& list, std::string_view value) {
  return std::find(list.begin(), list.end(), value) != list.end();
}

Error profile_error(const ServerMetadata& metadata, std::string_view fact, const std::string& why) {
  return metadata_error("atproto." + std::string(fact),
                        "cannot log in with the server " + printable(metadata.issuer, 200) + ": " +
                            why + "; its metadata does not follow the ATProto profile");
}

bool is_allowed_endpoint(std::string_view endpoint, HttpRule rule) {
  const auto url = Url::parse(endpoint);
  return url && check_scheme(*url, rule) && !url->has_fragment();
}

Result<void> check_endpoints(const ServerMetadata& metadata, HttpRule rule) {
  struct Endpoint {
    std::string_view name;
    const std::string& url;
    bool required;
  };
  const Endpoint endpoints[] = {
      {"authorization_endpoint", metadata.authorization_endpoint, true},
      {"token_endpoint", metadata.token_endpoint, true},
      {"pushed_authorization_request_endpoint", metadata.pushed_authorization_request_endpoint,
       true},
      {"revocation_endpoint", metadata.revocation_endpoint, false},
  };
  for (const auto& [name, url, required] : endpoints) {
    if (url.empty() && required) {
      return profile_error(metadata, "endpoint_missing", std::string(name) + " is missing");
    }
    if (url.empty()) continue;
    if (!is_allowed_endpoint(url, rule)) {
      return profile_error(metadata, "endpoint_not_https",
                           std::string(name) + " is not an https URL without a fragment");
    }
  }
  return {};
}

// The members that must hold certain values (C3.7 to C3.11).
Result<void> check_values(const ServerMetadata& metadata) {
  const auto& signing = metadata.token_endpoint_auth_signing_alg_values_supported;
  struct Rule {
    bool kept;
    std::string_view fact;
    std::string_view why;
  };
  const Rule rules[] = {
      {has(metadata.response_types_supported, "code"), "response_type",
       "response_types_supported lacks code"},
      {has(metadata.grant_types_supported, "authorization_code") &&
           has(metadata.grant_types_supported, "refresh_token"),
       "grant_type", "grant_types_supported lacks authorization_code or refresh_token"},
      {has(metadata.code_challenge_methods_supported, "S256"), "code_challenge_method",
       "code_challenge_methods_supported lacks S256"},
      {has(metadata.token_endpoint_auth_methods_supported, "none") &&
           has(metadata.token_endpoint_auth_methods_supported, "private_key_jwt"),
       "auth_method", "token_endpoint_auth_methods_supported lacks none or private_key_jwt"},
      {has(signing, "ES256") && !has(signing, "none"), "auth_signing_alg",
       "token_endpoint_auth_signing_alg_values_supported lacks ES256 or has none"},
      {has(metadata.scopes_supported, "atproto"), "scope", "scopes_supported lacks atproto"},
      {metadata.authorization_response_iss_parameter_supported == true, "iss_parameter",
       "authorization_response_iss_parameter_supported is not true"},
      {metadata.require_pushed_authorization_requests == true, "par_not_required",
       "require_pushed_authorization_requests is not true"},
      {metadata.client_id_metadata_document_supported == true, "client_id_metadata",
       "client_id_metadata_document_supported is not true"},
      {has(metadata.dpop_signing_alg_values_supported, "ES256"), "dpop_alg",
       "dpop_signing_alg_values_supported lacks ES256"},
      {metadata.require_request_uri_registration != false, "request_uri_registration",
       "require_request_uri_registration is false"},
  };
  for (const auto& rule : rules) {
    if (!rule.kept) return profile_error(metadata, rule.fact, std::string(rule.why));
  }
  return {};
}

}  // namespace

Result<JsonObject> read_metadata_document(std::string_view what, std::string_view whose,
                                          const HttpResponse& response) {
  const std::string subject = std::string(what) + " of " + printable(whose, 200);
  if (response.status != 200) {
    Error error =
        metadata_error("status", "cannot use the " + subject + ": the answer was HTTP " +
                                     std::to_string(response.status) + ", and only 200 is allowed");
    error.http_status = response.status;
    return error;
  }
  if (!has_json_content(response)) {
    return metadata_error("content_type",
                          "cannot use the " + subject + ": its content type is not JSON");
  }
  return JsonObject::parse(response.body.expose(), ErrorCode::invalid_metadata, "metadata");
}

Result<void> check_issuer_url(const Url& issuer) {
  if (issuer.has_query() || issuer.has_fragment()) {
    return make_error(ErrorCode::invalid_url, "metadata.issuer_url",
                      "cannot ask " + printable(issuer.htu(), 200) +
                          " for its metadata: an issuer has no query and no fragment");
  }
  return {};
}

Result<HttpRequest> build_server_metadata_request(const Url& issuer) {
  if (auto plain = check_issuer_url(issuer); !plain) return std::move(plain).error();
  // RFC 8414 §3.1: the well-known part goes between host and path, whose last "/" is dropped.
  std::string path = issuer.path();
  if (path.ends_with('/')) path.pop_back();
  return issuer.with_target("/.well-known/oauth-authorization-server" + path)
      .transform([](Url url) { return json_get(url); });
}

Result<ServerMetadata> process_server_metadata_response(std::string_view issuer,
                                                        const HttpResponse& response) {
  const auto document = read_metadata_document("server metadata", issuer, response);
  if (!document) return document.error();
  return read_server_metadata(issuer, *document);
}

Result<ServerMetadata> read_server_metadata(std::string_view issuer, const JsonObject& document) {
  ServerMetadata out;
  JsonReader read(document);
  read.required("issuer", out.issuer);
  read.text("authorization_endpoint", out.authorization_endpoint);
  read.text("token_endpoint", out.token_endpoint);
  read.text("pushed_authorization_request_endpoint", out.pushed_authorization_request_endpoint);
  read.text("revocation_endpoint", out.revocation_endpoint);
  read.text("device_authorization_endpoint", out.device_authorization_endpoint);
  read.text("jwks_uri", out.jwks_uri);
  read.list("response_types_supported", out.response_types_supported);
  read.list("grant_types_supported", out.grant_types_supported);
  read.list("code_challenge_methods_supported", out.code_challenge_methods_supported);
  read.list("token_endpoint_auth_methods_supported", out.token_endpoint_auth_methods_supported);
  read.list("token_endpoint_auth_signing_alg_values_supported",
            out.token_endpoint_auth_signing_alg_values_supported);
  read.list("scopes_supported", out.scopes_supported);
  read.list("dpop_signing_alg_values_supported", out.dpop_signing_alg_values_supported);
  read.list("protected_resources", out.protected_resources);
  read.flag("authorization_response_iss_parameter_supported",
            out.authorization_response_iss_parameter_supported);
  read.flag("require_pushed_authorization_requests", out.require_pushed_authorization_requests);
  read.flag("client_id_metadata_document_supported", out.client_id_metadata_document_supported);
  read.flag("require_request_uri_registration", out.require_request_uri_registration);
  if (read.error()) return *read.error();
  if (out.issuer != issuer) {
    return metadata_error("issuer_mismatch",
                          "cannot use the server metadata of " + printable(issuer, 200) +
                              ": it says that its issuer is " + printable(out.issuer, 200) +
                              "; if that is the one you mean, ask for it by exactly this name");
  }
  return out;
}

Result<void> check_server_endpoint(std::string_view issuer, std::string_view name,
                                   std::string_view endpoint, HttpRule rule) {
  if (endpoint.empty() || is_allowed_endpoint(endpoint, rule)) return {};
  return metadata_error("endpoint_not_https",
                        "cannot use the metadata of " + printable(issuer, 200) + ": " +
                            std::string(name) +
                            " is not an https URL without a fragment; tell the provider");
}

Result<void> check_server_endpoints(const ServerMetadata& metadata, HttpRule rule) {
  const std::pair<std::string_view, const std::string&> endpoints[] = {
      {"authorization_endpoint", metadata.authorization_endpoint},
      {"token_endpoint", metadata.token_endpoint},
      {"pushed_authorization_request_endpoint", metadata.pushed_authorization_request_endpoint},
      {"revocation_endpoint", metadata.revocation_endpoint},
      {"device_authorization_endpoint", metadata.device_authorization_endpoint},
      {"jwks_uri", metadata.jwks_uri},
  };
  for (const auto& [name, url] : endpoints) {
    if (auto checked = check_server_endpoint(metadata.issuer, name, url, rule); !checked) {
      return checked;
    }
  }
  return {};
}

Result<HttpRequest> build_resource_metadata_request(const Url& resource) {
  return resource.with_target("/.well-known/oauth-protected-resource").transform([](Url url) {
    return json_get(url);
  });
}

Result<ResourceMetadata> process_resource_metadata_response(std::string_view resource,
                                                            const HttpResponse& response) {
  auto document = read_metadata_document("resource metadata", resource, response);
  if (!document) return std::move(document).error();
  ResourceMetadata out;
  JsonReader read(*document);
  read.text("resource", out.resource);
  read.list("authorization_servers", out.authorization_servers);
  if (read.error()) return *read.error();
  if (document->contains("resource") && out.resource != resource) {
    return metadata_error("resource_mismatch",
                          "cannot use the resource metadata of " + printable(resource, 200) +
                              ": it says that its resource is " + printable(out.resource, 200));
  }
  return out;
}

Result<void> check_atproto_server(const ServerMetadata& metadata, std::string_view pds_origin,
                                  HttpRule rule) {
  if (!parse_origin(metadata.issuer, rule)) {
    return profile_error(metadata, "issuer_not_origin",
                         "its issuer is not an https origin without path and default port");
  }
  if (auto checked = check_endpoints(metadata, rule); !checked) return checked;
  if (auto checked = check_values(metadata); !checked) return checked;
  if (!pds_origin.empty() && !metadata.protected_resources.empty() &&
      !has(metadata.protected_resources, pds_origin)) {
    return profile_error(metadata, "protected_resources",
                         "its protected_resources do not name " + printable(pds_origin, 200));
  }
  return {};
}

Result<Url> atproto_authorization_server(const ResourceMetadata& metadata, HttpRule rule) {
  const auto& servers = metadata.authorization_servers;
  if (servers.size() != 1) {
    return metadata_error("atproto.one_server", "cannot find the authorization server of " +
                                                    printable(metadata.resource, 200) +
                                                    ": it must name exactly one, and names " +
                                                    std::to_string(servers.size()));
  }
  auto url = parse_origin(servers.front(), rule);
  if (!url) {
    return metadata_error("atproto.server_not_origin",
                          "cannot use the authorization server " + printable(servers.front(), 200) +
                              ": it is not an https origin without path and default port");
  }
  return url;
}

}  // namespace latchkey
