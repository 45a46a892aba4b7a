// SPDX-License-Identifier: MIT
module;
#include <array>
#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
module latchkey.http.trace.reading;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.json;
import latchkey.core.time;
import latchkey.core.url;
import latchkey.http;
import latchkey.http.trace.event;
import latchkey.http.trace.words;

namespace latchkey {
namespace {

constexpr std::size_t kLargestRead = 64 * 1024;

struct Use {
  TraceRole to;
  TraceWord purpose;
  TraceWord grant{};
};

// The value of a field of our own form body, encoded as it stands there.
std::optional<std::string_view> form_field(std::string_view body, std::string_view name) {
  while (!body.empty()) {
    const auto pair = body.substr(0, body.find('&'));
    body.remove_prefix(pair.size() == body.size() ? pair.size() : pair.size() + 1);
    const auto equals = pair.find('=');
    if (equals != std::string_view::npos && pair.substr(0, equals) == name)
      return pair.substr(equals + 1);
  }
  return std::nullopt;
}

TraceWord grant_word(std::string_view encoded) {
  constexpr auto kPlain = std::to_array<TraceWord>(
      {"authorization_code", "refresh_token", "client_credentials", "password"});
  constexpr std::string_view kDevice = "urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Adevice_code";
  return encoded == kDevice ? TraceWord("device_code") : TraceWord::listed(encoded, kPlain);
}

bool is_form(const HttpRequest& request) {
  const auto* type = request.headers.find("Content-Type");
  return request.method == "POST" && type != nullptr &&
         type->starts_with("application/x-www-form-urlencoded") &&
         request.body.size() <= kLargestRead;
}

// The forms of RFC 6749 §4 to §6, RFC 9126 §2.1, RFC 7009 §2.1 and RFC 8628 §3.1, by the field that
// only they have.
std::optional<Use> use_of_form(const HttpRequest& request) {
  if (!is_form(request)) return std::nullopt;
  const std::string_view body = request.body.expose();
  constexpr auto kServer = TraceRole::authorization_server;
  if (const auto grant = form_field(body, "grant_type"))
    return Use{kServer, "token", grant_word(*grant)};
  if (form_field(body, "response_type")) return Use{kServer, "par"};
  if (form_field(body, "token")) return Use{kServer, "revocation"};
  // A client that authenticates in a header need not name itself.
  if (form_field(body, "client_id") || form_field(body, "scope"))
    return Use{kServer, "device_authorization"};
  return std::nullopt;
}

Use use_of_get(const std::string& path) {
  struct WellKnown {
    std::string_view begin;
    Use use;
  };
  constexpr std::array<WellKnown, 6> kWellKnown{{
      {"/.well-known/oauth-authorization-server",
       {TraceRole::authorization_server, "server_metadata"}},
      {"/.well-known/openid-configuration", {TraceRole::authorization_server, "server_metadata"}},
      {"/.well-known/oauth-protected-resource", {TraceRole::pds, "resource_metadata"}},
      {"/.well-known/atproto-did", {TraceRole::handle_host, "handle"}},
      {"/.well-known/did.json", {TraceRole::directory, "did_document"}},
      {"/did:", {TraceRole::directory, "did_document"}},
  }};
  for (const auto& [begin, use] : kWellKnown) {
    if (path.starts_with(begin)) return use;
  }
  // An issuer with a path has its configuration behind it (OpenID Connect Discovery §4).
  if (path.ends_with("/.well-known/openid-configuration"))
    return {TraceRole::authorization_server, "server_metadata"};
  for (const std::string_view end : {"/jwks", "/jwks.json", "/certs", "/keys"}) {
    if (path.ends_with(end)) return {TraceRole::authorization_server, "jwks"};
  }
  return {TraceRole::resource_server, "resource"};
}

Use use_of(const HttpRequest& request) {
  const std::string& path = request.url.path();
  if (path.starts_with("/xrpc/")) return {TraceRole::pds, "xrpc"};
  if (const auto use = use_of_form(request)) return *use;
  if (request.method == "GET" && !request.authorization) return use_of_get(path);
  return {TraceRole::resource_server, "resource"};
}

TraceWord scheme_word(const HttpRequest& request) {
  if (!request.authorization) return {};
  switch (request.authorization->scheme) {
    case Authorization::Scheme::bearer:
      return "bearer";
    case Authorization::Scheme::dpop:
      return "dpop";
    case Authorization::Scheme::basic:
      break;
  }
  return "basic";
}

// The nonce in a proof's payload (RFC 9449 §4.2).
std::optional<std::string> nonce_of(std::string_view proof) {
  const auto begin = proof.find('.');
  const auto end = proof.find('.', begin + 1);
  if (begin == std::string_view::npos || end == std::string_view::npos) return std::nullopt;
  const auto payload = base64url_decode(proof.substr(begin + 1, end - begin - 1));
  if (!payload) return std::nullopt;
  const auto claims = JsonObject::parse(as_text(*payload), ErrorCode::invalid_argument, "trace");
  if (!claims) return std::nullopt;
  auto nonce = claims->string("nonce");
  return nonce ? *std::move(nonce) : std::nullopt;
}

std::optional<std::string> nonce_sent(const HttpRequest& request) {
  const auto* proof = request.headers.find("DPoP");
  return proof == nullptr ? std::nullopt : nonce_of(*proof);
}

// In a challenge (RFC 6750 §3), or in a JSON body (RFC 6749 §5.2, and XRPC).
std::string error_of(const HttpResponse& response) {
  if (response.status < 400) return {};
  for (const Challenge& challenge : parse_challenges(response.headers)) {
    if (const auto* error = challenge.find("error")) return *error;
  }
  if (!has_json_content(response) || response.body.size() > kLargestRead) return {};
  const auto body = JsonObject::parse(response.body.expose(), ErrorCode::invalid_response, "trace");
  if (!body) return {};
  const auto error = body->string("error");
  return error ? error->value_or(std::string()) : std::string();
}

}  // namespace

std::size_t body_size(const HttpRequest& request) {
  return request.body_source ? static_cast<std::size_t>(request.body_source->size())
                             : request.body.size();
}

TracedRequest read_request(const HttpRequest& request) {
  const Use use = use_of(request);
  TracedRequest out{.to = use.to,
                    .origin = TraceOrigin(request.url),
                    .method = traced_method(request.method),
                    .path = TracePath(request.url),
                    .purpose = use.purpose,
                    .grant = use.grant,
                    .authorization = scheme_word(request),
                    .bytes = body_size(request)};
  if (const auto* proof = request.headers.find("DPoP"))
    out.proof = {.key = TraceKey(*proof), .has_nonce = nonce_of(*proof).has_value()};
  return out;
}

TracedAnswer read_answer(const HttpRequest& request, const HttpResponse& response, TimePoint now) {
  const auto* nonce = response.headers.find("DPoP-Nonce");
  return {.status = response.status,
          .error = traced_error(error_of(response)),
          .new_nonce = nonce != nullptr && nonce_sent(request) != *nonce,
          .retry_after = retry_after(response, now),
          .bytes = response.body.size()};
}

TraceRetry reason_to_repeat(const HttpResponse& response) {
  if (response.status != 400 && response.status != 401) return TraceRetry::none;
  const std::string error = error_of(response);
  if (error == "use_dpop_nonce") return TraceRetry::use_dpop_nonce;
  if (error == "invalid_dpop_proof") return TraceRetry::clock;
  return error == "invalid_token" && response.status == 401 ? TraceRetry::token_renewed
                                                            : TraceRetry::none;
}

}  // namespace latchkey
