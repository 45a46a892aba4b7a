// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
module latchkey.oidc.discovery;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.json;
import latchkey.core.url;
import latchkey.http;
import latchkey.http.policy;
import latchkey.oauth.server_metadata;

namespace latchkey {
namespace {

Result<Url> parse_issuer(std::string_view issuer, HttpRule rule) {
  auto url = Url::parse(issuer);
  if (!url) return url;
  if (auto allowed = check_scheme(*url, rule); !allowed) return std::move(allowed).error();
  return url;
}

// Members that ServerMetadata does not have.
Result<void> read_openid_members(const JsonObject& document, OpenIdProvider& out) {
  const auto userinfo = document.string("userinfo_endpoint");
  if (!userinfo) return userinfo.error();
  const auto end_session = document.string("end_session_endpoint");
  if (!end_session) return end_session.error();
  auto algorithms = document.strings("id_token_signing_alg_values_supported");
  if (!algorithms) return std::move(algorithms).error();
  auto subjects = document.strings("subject_types_supported");
  if (!subjects) return std::move(subjects).error();
  out.userinfo_endpoint = userinfo->value_or("");
  out.end_session_endpoint = end_session->value_or("");
  if (*algorithms) out.id_token_signing_alg_values_supported = std::move(**algorithms);
  if (*subjects) out.subject_types_supported = std::move(**subjects);
  return {};
}

// Discovery §3. What a client of this library never looks at may be missing.
Result<void> check_required(const JsonObject& document, const OpenIdProvider& provider) {
  const auto& server = provider.server;
  const std::pair<std::string_view, bool> members[] = {
      {"authorization_endpoint", server.authorization_endpoint.empty()},
      {"token_endpoint", server.token_endpoint.empty()},
      {"jwks_uri", server.jwks_uri.empty()},
      {"response_types_supported", server.response_types_supported.empty()},
      {"id_token_signing_alg_values_supported",
       provider.id_token_signing_alg_values_supported.empty()},
  };
  for (const auto& [name, missing] : members) {
    if (missing) return document.missing(name);
  }
  const auto& types = server.response_types_supported;
  if (std::find(types.begin(), types.end(), "code") != types.end()) return {};
  return make_error(ErrorCode::invalid_metadata, "metadata.openid.response_type",
                    "cannot log in with " + printable(server.issuer, 200) +
                        ": its response_types_supported lacks code; use another server");
}

Result<void> check_openid_endpoints(const OpenIdProvider& provider, HttpRule rule) {
  if (auto checked = check_server_endpoints(provider.server, rule); !checked) return checked;
  const auto& issuer = provider.server.issuer;
  for (const auto& [name, url] : {std::pair<std::string_view, const std::string&>{
                                      "userinfo_endpoint", provider.userinfo_endpoint},
                                  {"end_session_endpoint", provider.end_session_endpoint}}) {
    if (auto checked = check_server_endpoint(issuer, name, url, rule); !checked) return checked;
  }
  return {};
}

// Does the answer say that there is no such document? Some servers answer with a page instead.
bool is_absent(const Error& error) {
  const int status = error.http_status;
  return error.detail == "metadata.content_type" ||
         (error.detail == "metadata.status" && status >= 400 && status < 500 && status != 429);
}

Result<ServerMetadata> ask_server(HttpTransport& transport, std::string_view text,
                                  const Url& issuer, const DiscoveryOptions& options) {
  const auto request = build_server_metadata_request(issuer);
  if (!request) return request.error();
  const auto response = transport.send(*request, metadata_limits(options.stop));
  if (!response) return response.error();
  return process_server_metadata_response(text, *response);
}

Result<HttpResponse> ask_openid(HttpTransport& transport, const Url& issuer,
                                const DiscoveryOptions& options) {
  const auto request = build_openid_configuration_request(issuer);
  if (!request) return request.error();
  return transport.send(*request, metadata_limits(options.stop));
}

}  // namespace

Result<HttpRequest> build_openid_configuration_request(const Url& issuer) {
  if (auto plain = check_issuer_url(issuer); !plain) return std::move(plain).error();
  std::string path = issuer.path();
  if (path.ends_with('/')) path.pop_back();
  return issuer.with_target(path + "/.well-known/openid-configuration").transform([](Url url) {
    return json_get(url);
  });
}

Result<OpenIdProvider> process_openid_configuration_response(std::string_view issuer,
                                                             const HttpResponse& response,
                                                             HttpRule rule) {
  const auto document = read_metadata_document("OpenID configuration", issuer, response);
  if (!document) return document.error();
  auto server = read_server_metadata(issuer, *document);
  if (!server) return std::move(server).error();
  OpenIdProvider out;
  out.server = std::move(*server);
  if (auto read = read_openid_members(*document, out); !read) return std::move(read).error();
  if (auto whole = check_required(*document, out); !whole) return std::move(whole).error();
  if (auto good = check_openid_endpoints(out, rule); !good) return std::move(good).error();
  return out;
}

Result<OpenIdProvider> discover_openid(HttpTransport& transport, std::string_view issuer,
                                       const DiscoveryOptions& options) {
  const auto url = parse_issuer(issuer, options.http_rule);
  if (!url) return url.error();
  const auto response = ask_openid(transport, *url, options);
  if (!response) return response.error();
  return process_openid_configuration_response(issuer, *response, options.http_rule);
}

Result<ServerMetadata> discover_server(HttpTransport& transport, std::string_view issuer,
                                       const DiscoveryOptions& options) {
  const auto url = parse_issuer(issuer, options.http_rule);
  if (!url) return url.error();
  auto server = ask_server(transport, issuer, *url, options);
  if (!server && is_absent(server.error())) {
    const auto response = ask_openid(transport, *url, options);
    if (!response) return response.error();
    server = process_server_metadata_response(issuer, *response);
  }
  if (!server) return server;
  if (auto good = check_server_endpoints(*server, options.http_rule); !good) {
    return std::move(good).error();
  }
  return server;
}

}  // namespace latchkey
