// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
module latchkey.sandbox.issuer;
import latchkey.core.crypto;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.json;
import latchkey.core.time;
import latchkey.sandbox.accounts;
import latchkey.sandbox.authorization;
import latchkey.sandbox.message;
import latchkey.sandbox.pages;
import latchkey.sandbox.proofs;
import latchkey.sandbox.tokens;

namespace latchkey::sandbox {
namespace {

constexpr std::string_view kCookie = "sandbox-browser";
constexpr unsigned kMaxFailures = 5;

Response not_found() {
  return oauth_answer(refusal("not_found", "issuer.path", "there is nothing here", 404));
}

Response wrong_method(std::string_view allowed) {
  Response response =
      oauth_answer(refusal("invalid_request", "issuer.method", "wrong method", 405));
  response.headers.emplace_back("Allow", std::string(allowed));
  return response;
}

std::string cookie_of(const Request& request) {
  const auto* text = request.headers.find("Cookie");
  if (text == nullptr) return {};
  std::string_view rest = *text;
  const std::string start = std::string(kCookie) + '=';
  while (!rest.empty()) {
    const auto end = rest.find(';');
    auto pair = rest.substr(0, end);
    while (pair.starts_with(' ')) pair.remove_prefix(1);
    if (pair.starts_with(start)) return std::string(pair.substr(start.size()));
    rest = end == std::string_view::npos ? std::string_view{} : rest.substr(end + 1);
  }
  return {};
}

// A page elsewhere must not be able to show ours in a frame or to send our form.
bool is_navigation(const Request& request) {
  const auto* destination = request.headers.find("Sec-Fetch-Dest");
  return destination == nullptr || *destination == "document";
}

bool is_own_form(const Request& request, std::string_view issuer) {
  const auto* origin = request.headers.find("Origin");
  const auto* site = request.headers.find("Sec-Fetch-Site");
  return (origin == nullptr || *origin == issuer) && (site == nullptr || *site == "same-origin");
}

}  // namespace

Issuer::Issuer(IssuerOptions options, std::shared_ptr<Clock> clock, Random& random,
               Accounts& accounts, TokenLedger& ledger)
    : options_(std::move(options)),
      random_(random),
      accounts_(accounts),
      ledger_(ledger),
      desk_(random, *clock, ledger, options_.issuer),
      proofs_(options_.issuer, clock, random, options_.nonce_rotation) {}

Response Issuer::metadata() const {
  const auto at = [&](std::string_view path) {
    return json_quote(options_.issuer + std::string(path));
  };
  return json_answer(
      200,
      json_object(
          {{"issuer", json_quote(options_.issuer)},
           {"authorization_endpoint", at("/oauth/authorize")},
           {"token_endpoint", at("/oauth/token")},
           {"pushed_authorization_request_endpoint", at("/oauth/par")},
           {"revocation_endpoint", at("/oauth/revoke")},
           {"jwks_uri", at("/oauth/jwks")},
           {"scopes_supported", json_strings({"atproto", "transition:email", "transition:generic",
                                              "transition:chat.bsky"})},
           {"response_types_supported", json_strings({"code"})},
           {"response_modes_supported", json_strings({"query"})},
           {"grant_types_supported", json_strings({"authorization_code", "refresh_token"})},
           {"code_challenge_methods_supported", json_strings({"S256"})},
           {"token_endpoint_auth_methods_supported", json_strings({"none", "private_key_jwt"})},
           {"token_endpoint_auth_signing_alg_values_supported", json_strings({"ES256"})},
           {"dpop_signing_alg_values_supported", json_strings({"ES256"})},
           {"protected_resources", json_strings({options_.pds})},
           {"authorization_response_iss_parameter_supported", "true"},
           {"require_pushed_authorization_requests", "true"},
           {"client_id_metadata_document_supported", "true"}}));
}

Response Issuer::handle(const Request& request) {
  const bool get = request.method == "GET", post = request.method == "POST";
  if (request.path == "/.well-known/oauth-authorization-server") {
    return get ? metadata() : wrong_method("GET");
  }
  if (request.path == "/oauth/jwks") {
    return get ? json_answer(200, json_object({{"keys", "[]"}})) : wrong_method("GET");
  }
  if (request.path == "/oauth/authorize") {
    return get ? open_page(request) : post ? decide(request) : wrong_method("GET, POST");
  }
  std::optional<Endpoint> endpoint;
  if (request.path == "/oauth/par") endpoint = Endpoint::pushed_request;
  if (request.path == "/oauth/token") endpoint = Endpoint::token;
  if (request.path == "/oauth/revoke") endpoint = Endpoint::revocation;
  if (!endpoint) return not_found();
  return post ? with_proof(request, *endpoint) : wrong_method("POST");
}

Response Issuer::ask_for_bad_nonce() {
  Response response =
      oauth_answer(refusal("use_dpop_nonce", "fault.nonce_storm", "use another nonce"));
  response.headers.emplace_back("DPoP-Nonce", proofs_.bad_nonce());
  return response;
}

// The proof is judged before anything of the request is used up.
Response Issuer::with_proof(const Request& request, Endpoint endpoint) {
  const auto respond = [&]() -> Result<Response> {
    const auto form = read_form(request);
    if (!form) return form.error();
    const auto proof = proofs_.check(request, {}, {});
    if (!proof) return proof_refusal(proof.error(), 400);
    return answer(endpoint, *form, proof->jkt);
  };
  auto answered = respond();
  Response response = answered ? *std::move(answered) : oauth_answer(answered.error());
  response.headers.emplace_back("DPoP-Nonce", proofs_.nonce());
  response.headers.emplace_back("Cache-Control", "no-store");
  return response;
}

Result<Response> Issuer::answer(Endpoint endpoint, const FormFields& form, std::string_view jkt) {
  if (endpoint == Endpoint::token) return tokens(form, jkt);
  if (endpoint == Endpoint::revocation) return revoke(form, jkt);
  const auto pushed = desk_.push(form, jkt);
  if (!pushed) return pushed.error();
  return json_answer(201, json_object({{"request_uri", json_quote((*pushed)->request_uri)},
                                       {"expires_in", "300"}}));
}

Result<Response> Issuer::tokens(const FormFields& form, std::string_view jkt) {
  const auto client = read_client(form, "token");
  if (!client) return client.error();
  const auto grant_type = required_field(form, "token", "grant_type");
  if (!grant_type) return grant_type.error();
  Result<IssuedTokens> issued =
      refusal("unsupported_grant_type", "token.grant_type", "there is no such grant_type");
  if (*grant_type == "authorization_code") {
    issued = desk_.exchange(form, client->client_id, jkt);
  } else if (*grant_type == "refresh_token") {
    const auto token = required_field(form, "token", "refresh_token");
    if (!token) return token.error();
    issued = ledger_.refresh(*token, client->client_id, jkt);
  }
  if (!issued) return std::move(issued).error();
  return json_answer(200, json_object({{"access_token", json_quote(issued->access_token)},
                                       {"token_type", "\"DPoP\""},
                                       {"refresh_token", json_quote(issued->refresh_token)},
                                       {"scope", json_quote(issued->scope)},
                                       {"expires_in", std::to_string(issued->expires_in.count())},
                                       {"sub", json_quote(issued->did)}}));
}

Result<Response> Issuer::revoke(const FormFields& form, std::string_view jkt) {
  const auto client = read_client(form, "revoke");
  if (!client) return client.error();
  const auto token = required_field(form, "revoke", "token");
  if (!token) return token.error();
  auto revoked = ledger_.revoke(*token, client->client_id, jkt);
  if (!revoked) return std::move(revoked).error();
  return json_answer(200, "{}");
}

Response Issuer::page(const AuthorizationRequest& request, std::string_view identifier,
                      std::string_view problem, int status) const {
  return sign_in_page({.client_id = request.client.client_id,
                       .request_uri = request.request_uri,
                       .redirect_uri = request.redirect_uri,
                       .scope = request.scope,
                       .form_token = request.form_token,
                       .identifier = std::string(identifier),
                       .problem = std::string(problem)},
                      status);
}

Response Issuer::open_page(const Request& request) {
  const auto fields = form_decode(request.query);
  const auto client_id = fields ? field(*fields, "client_id") : std::nullopt;
  const auto request_uri = fields ? field(*fields, "request_uri") : std::nullopt;
  if (!client_id || !request_uri || fields->size() != 2) {
    return error_page(400, "The address must have a client_id and a pushed request, and no more.",
                      "authorize.not_pushed");
  }
  if (!is_navigation(request)) {
    return error_page(400, "This page must not be part of another.", "authorize.framed");
  }
  auto* pushed = desk_.find(*request_uri, *client_id);
  if (pushed == nullptr) {
    return error_page(400, "There is no such request, or it is over.", "authorize.unknown");
  }
  const Account* hinted = accounts_.find_here(pushed->login_hint);
  if (pushed->login_hint.empty() && accounts_.all().size() == 1) {
    hinted = accounts_.find_here(accounts_.all().front().did);
  }
  if (hinted != nullptr && hinted->auto_approve) {
    return redirect_to(desk_.approve(*pushed, hinted->did));
  }
  const std::string cookie = cookie_of(request);
  // Two browsers with one request: somebody sent the address on, or stole it.
  if (!pushed->browser.empty() && !constant_time_equal(pushed->browser, cookie)) {
    Response response = redirect_to(desk_.deny(*pushed, "opened in a second browser"));
    response.detail = "authorize.second_browser";
    return response;
  }
  if (pushed->browser.empty()) {
    pushed->browser = cookie.empty() ? random_token(random_, 16) : cookie;
  }
  Response response = page(*pushed, pushed->login_hint, {}, 200);
  response.headers.emplace_back("Set-Cookie", std::string(kCookie) + '=' + pushed->browser +
                                                  "; Path=/oauth; HttpOnly; SameSite=Lax");
  return response;
}

Response Issuer::decide(const Request& request) {
  const auto form = read_form(request);
  if (!form || !is_own_form(request, options_.issuer)) {
    return error_page(400, "This did not come from the sign-in page.", "authorize.foreign_form");
  }
  auto* pushed =
      desk_.find(field(*form, "request_uri").value_or(""), field(*form, "client_id").value_or(""));
  if (pushed == nullptr) {
    return error_page(400, "There is no such request, or it is over.", "authorize.unknown");
  }
  if (!constant_time_equal(field(*form, "form_token").value_or(""), pushed->form_token) ||
      pushed->browser.empty() || !constant_time_equal(cookie_of(request), pushed->browser)) {
    return error_page(400, "This did not come from the sign-in page.", "authorize.foreign_form");
  }
  const auto decision = field(*form, "decision");
  if (decision == "deny") return redirect_to(desk_.deny(*pushed, "the user said no"));
  const std::string identifier = field(*form, "identifier").value_or("");
  const Account* account = accounts_.find_here(identifier);
  const bool right = account != nullptr && decision == "allow" &&
                     constant_time_equal(field(*form, "password").value_or(""), account->password);
  if (right) return redirect_to(desk_.approve(*pushed, account->did));
  if (++pushed->failures >= kMaxFailures) {
    return redirect_to(desk_.deny(*pushed, "too many wrong passwords"));
  }
  Response response = page(*pushed, identifier, "Wrong handle or password.", 401);
  response.detail = "authorize.password";
  return response;
}

}  // namespace latchkey::sandbox
