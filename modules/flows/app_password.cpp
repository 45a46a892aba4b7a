// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
module latchkey.flows.app_password;
import latchkey.atproto.identifier;
import latchkey.atproto.xrpc;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.json;
import latchkey.core.secret;
import latchkey.core.time;
import latchkey.core.url;
import latchkey.flows.secret_json;
import latchkey.http;
import latchkey.session;
import latchkey.session.unverified;

namespace latchkey {
namespace {

constexpr std::string_view kCreate = "com.atproto.server.createSession";
constexpr std::string_view kRefresh = "com.atproto.server.refreshSession";
constexpr std::string_view kDelete = "com.atproto.server.deleteSession";
constexpr std::size_t kMaxText = 2048;
constexpr Duration kShortest = std::chrono::seconds{1};
constexpr Duration kLongest = std::chrono::hours{24 * 366};

Result<HttpRequest> xrpc_post(std::string_view pds, std::string_view nsid) {
  const auto origin = parse_origin(pds, HttpRule::allow_http_for_loopback);
  if (!origin) return origin.error();
  auto url = origin->with_target("/xrpc/" + std::string(nsid));
  if (!url) return std::move(url).error();
  HttpRequest request{.method = "POST", .url = *std::move(url)};
  if (auto added = request.headers.add("Accept", "application/json"); !added) {
    return std::move(added).error();
  }
  return request;
}

Result<HttpRequest> with_refresh_token(std::string_view pds, std::string_view nsid,
                                       const SecretString& refresh_token) {
  auto request = xrpc_post(pds, nsid);
  if (!request) return request;
  request->authorization = Authorization{Authorization::Scheme::bearer, refresh_token.clone()};
  return request;
}

Result<void> check_text(std::string_view text, std::string_view what) {
  if (!text.empty() && text.size() <= kMaxText && is_utf8(text)) return {};
  return make_error(ErrorCode::invalid_argument, "app_password." + std::string(what),
                    "cannot log in with an app password: the " + std::string(what) +
                        " is empty, over 2048 bytes, or not UTF-8; check where it comes from");
}

Error denied(Error error, std::string_view fact, std::string message) {
  error.code = ErrorCode::access_denied;
  error.detail = "app_password." + std::string(fact);
  error.message = std::move(message);
  return error;
}

Error taken_down(Error error) {
  return denied(std::move(error), "takedown",
                "cannot log in: the account is suspended; ask its PDS's operator");
}

Error create_error(Error error) {
  if (error.detail == "xrpc.AccountTakedown") return taken_down(std::move(error));
  if (error.detail == "xrpc.AuthFactorTokenRequired") {
    return denied(std::move(error), "factor",
                  "cannot log in: the account wants a code by e-mail for its main password; make "
                  "an app password in its settings and use that");
  }
  if (error.http_status != 401) return error;
  return denied(std::move(error), "refused",
                "cannot log in: the PDS refuses this identifier or app password; check both, and "
                "that the app password was not revoked");
}

Error refresh_error(Error error) {
  if (error.detail == "xrpc.AccountTakedown") return taken_down(std::move(error));
  const bool refused = error.detail == "xrpc.ExpiredToken" || error.detail == "xrpc.InvalidToken" ||
                       error.http_status == 401;
  if (!refused) return error;
  error.code = ErrorCode::invalid_grant;
  error.detail = "app_password.session_over";
  error.message =
      "cannot renew the session of an app password: it is over; log in with the app password again";
  return error;
}

Result<SecretString> read_token(JsonObject& object, std::string_view name) {
  auto token = object.take_secret(name);
  if (!token) return std::move(token).error();
  if (!*token || (*token)->empty()) return object.missing(name);
  return std::move(**token);
}

Result<AppSession> read_session(const HttpResponse& response) {
  auto object =
      JsonObject::parse(response.body.expose(), ErrorCode::invalid_response, "app_password");
  if (!object) return std::move(object).error();
  auto did = object->required_string("did");
  if (!did) return std::move(did).error();
  if (!parse_did(*did)) return object->wrong_type("did", "a DID");
  auto handle = object->string("handle");
  if (!handle) return std::move(handle).error();
  auto access = read_token(*object, "accessJwt");
  if (!access) return std::move(access).error();
  auto refresh = read_token(*object, "refreshJwt");
  if (!refresh) return std::move(refresh).error();
  return AppSession{.did = *std::move(did),
                    .handle = std::move(*handle).value_or(""),
                    .access_token = *std::move(access),
                    .refresh_token = *std::move(refresh)};
}

// How long the token says that it is good; empty if it does not say.
Result<std::optional<Duration>> lifetime_of(const SecretString& token) {
  const auto claims = peek_claims(token);
  if (!claims || !claims->expires_at || !claims->issued_at) return std::nullopt;
  const Duration life = *claims->expires_at - *claims->issued_at;
  if (life >= kShortest && life <= kLongest) return std::optional(life);
  return make_error(ErrorCode::invalid_response, "app_password.expiry",
                    "cannot use the session: its token is said to be good for under a second or "
                    "over 366 days");
}

}  // namespace

Result<HttpRequest> build_create_session_request(std::string_view pds, std::string_view identifier,
                                                 const SecretString& password) {
  if (auto checked = check_text(identifier, "identifier"); !checked) {
    return std::move(checked).error();
  }
  if (auto checked = check_text(password.expose(), "password"); !checked) {
    return std::move(checked).error();
  }
  auto request = xrpc_post(pds, kCreate);
  if (!request) return request;
  if (auto added = request->headers.add("Content-Type", "application/json"); !added) {
    return std::move(added).error();
  }
  SecretJson body;
  body.add("identifier", identifier).add("password", password.expose());
  request->body = std::move(body).finish();
  return request;
}

Result<HttpRequest> build_refresh_session_request(std::string_view pds,
                                                  const SecretString& refresh_token) {
  return with_refresh_token(pds, kRefresh, refresh_token);
}

Result<HttpRequest> build_delete_session_request(std::string_view pds,
                                                 const SecretString& refresh_token) {
  return with_refresh_token(pds, kDelete, refresh_token);
}

Result<AppSession> process_create_session_response(const HttpResponse& response, TimePoint now) {
  if (response.status != 200) return create_error(xrpc_error(kCreate, response, now));
  return read_session(response);
}

Result<AppSession> process_refresh_session_response(const HttpResponse& response, TimePoint now) {
  if (response.status != 200) return refresh_error(xrpc_error(kRefresh, response, now));
  return read_session(response);
}

Result<OAuthSession> session_from_app_session(AppSession session, std::string_view pds,
                                              TimePoint requested_at) {
  const auto lifetime = lifetime_of(session.access_token);
  if (!lifetime) return lifetime.error();
  OAuthSession out;
  out.subject = std::move(session.did);
  out.issuer = out.resource_server = pds;
  out.handle = std::move(session.handle);
  out.token_type = "Bearer";
  out.issued_at = out.session_started_at = requested_at;
  if (*lifetime) out.expires_at = requested_at + **lifetime;
  out.access_token = std::move(session.access_token);
  out.refresh_token = std::move(session.refresh_token);
  return out;
}

}  // namespace latchkey
