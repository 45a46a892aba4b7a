// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <chrono>
#include <list>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
module latchkey.sandbox.authorization;
import latchkey.core.crypto;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.time;
import latchkey.sandbox.authorization_request;
import latchkey.sandbox.client_auth;
import latchkey.sandbox.clients;
import latchkey.sandbox.message;
import latchkey.sandbox.tokens;

namespace latchkey::sandbox {
namespace {

using std::chrono::minutes;

constexpr minutes kRequestLifetime{5};
constexpr minutes kCodeLifetime{5};

// RFC 7636 §4.1: 43 to 128 unreserved characters.
bool is_verifier(std::string_view text) {
  return text.size() >= 43 && text.size() <= 128 && percent_encode(text) == text;
}

Error invalid_grant(std::string_view detail, std::string description) {
  return refusal("invalid_grant", detail, std::move(description));
}

std::string with_fields(const std::string& redirect_uri, const FormFields& fields) {
  const bool has_query = redirect_uri.find('?') != std::string::npos;
  return redirect_uri + (has_query ? '&' : '?') + form_encode(fields);
}

}  // namespace

AuthorizationDesk::AuthorizationDesk(Random& random, const Clock& clock, TokenLedger& ledger,
                                     std::string issuer)
    : random_(random), clock_(clock), ledger_(ledger), issuer_(std::move(issuer)) {}

void AuthorizationDesk::forget_old() {
  const TimePoint now = clock_.now();
  requests_.remove_if([&](const auto& request) { return now >= request.expires_at; });
}

AuthorizationRequest& AuthorizationDesk::keep(AuthorizationRequest request) {
  forget_old();
  request.request_uri = "urn:ietf:params:oauth:request_uri:req-" + random_token(random_, 16);
  request.expires_at = clock_.now() + kRequestLifetime;
  requests_.push_back(std::move(request));
  return requests_.back();
}

Result<const AuthorizationRequest*> AuthorizationDesk::push(const FormFields& form, Caller caller) {
  auto redirect_uri = read_redirect(form, caller, "par");
  if (!redirect_uri) return std::move(redirect_uri).error();
  auto request = read_request(form, std::move(caller), *std::move(redirect_uri), "par");
  if (!request) return std::move(request).error();
  return &keep(*std::move(request));
}

Result<AuthorizationRequest*> AuthorizationDesk::open(const FormFields& form, Caller caller,
                                                      std::string redirect_uri) {
  auto request = read_request(form, std::move(caller), std::move(redirect_uri), "authorize");
  if (!request) return std::move(request).error();
  return &keep(*std::move(request));
}

AuthorizationRequest* AuthorizationDesk::find(std::string_view request_uri,
                                              std::string_view client_id) {
  forget_old();
  const auto found = std::find_if(requests_.begin(), requests_.end(), [&](const auto& request) {
    return request.request_uri == request_uri && request.caller.client_id() == client_id;
  });
  return found == requests_.end() ? nullptr : &*found;
}

void AuthorizationDesk::forget(const AuthorizationRequest& request) {
  const auto* gone = &request;
  requests_.remove_if([gone](const auto& other) { return &other == gone; });
}

std::string AuthorizationDesk::approve(AuthorizationRequest& request, std::string_view did) {
  const std::string code = "cod-" + random_token(random_, 32);
  std::string url = with_fields(request.redirect_uri,
                                {{"iss", issuer_}, {"state", request.state}, {"code", code}});
  codes_.emplace(
      sha256_base64url(code),
      Code{.request = request, .did = std::string(did), .auth_time = clock_.now(), .session = {}});
  forget(request);
  return url;
}

std::string AuthorizationDesk::deny(AuthorizationRequest& request, std::string_view error,
                                    std::string_view why) {
  std::string url = refuse(request.redirect_uri, request.state, error, why);
  forget(request);
  return url;
}

std::string AuthorizationDesk::refuse(const std::string& redirect_uri, std::string_view state,
                                      std::string_view error, std::string_view why) const {
  FormFields fields{{"iss", issuer_}};
  if (!state.empty()) fields.emplace_back("state", state);
  fields.emplace_back("error", error);
  fields.emplace_back("error_description", why);
  return with_fields(redirect_uri, fields);
}

Result<void> AuthorizationDesk::check_code(const Code& code, const Caller& caller,
                                           std::string_view redirect_uri,
                                           std::string_view verifier) const {
  const AuthorizationRequest& request = code.request;
  if (clock_.now() >= code.auth_time + kCodeLifetime) {
    return invalid_grant("code.expired", "code expired");
  }
  if (request.caller.client_id() != caller.client_id()) {
    return invalid_grant("code.wrong_client", "code of another client");
  }
  if (!request.caller.key.empty() && request.caller.key != caller.key) {
    return invalid_grant("code.wrong_client_key",
                         "the pushed request was of another key of the client");
  }
  if (request.redirect_uri != redirect_uri) {
    return invalid_grant("code.redirect_uri", "redirect_uri is another than the request's");
  }
  if (!is_verifier(verifier) ||
      !constant_time_equal(sha256_base64url(verifier), request.code_challenge)) {
    return invalid_grant("code.verifier", "code_verifier does not fit the challenge");
  }
  if (!request.caller.jkt.empty() && request.caller.jkt != caller.jkt) {
    return invalid_grant("code.wrong_key", "DPoP key is not the request's");
  }
  return {};
}

Result<IssuedTokens> AuthorizationDesk::exchange(const FormFields& form, const Caller& caller) {
  const auto code = required_field(form, "token", "code");
  if (!code) return code.error();
  const auto redirect_uri = required_field(form, "token", "redirect_uri");
  if (!redirect_uri) return redirect_uri.error();
  const auto verifier = required_field(form, "token", "code_verifier");
  if (!verifier) return verifier.error();

  const auto found = codes_.find(sha256_base64url(*code));
  if (found == codes_.end()) return invalid_grant("code.unknown", "unknown code");
  Code& known = found->second;
  if (std::exchange(known.used, true)) {
    if (known.session) ledger_.end(*known.session);
    return invalid_grant("code.replayed", "code replayed");
  }
  if (auto good = check_code(known, caller, *redirect_uri, *verifier); !good) {
    return std::move(good).error();
  }
  auto login = ledger_.begin({.did = known.did,
                              .client_id = caller.client_id(),
                              .scope = known.request.scope,
                              .jkt = caller.jkt,
                              .client_key = caller.key,
                              .nonce = known.request.nonce,
                              .auth_time = known.auth_time,
                              .refreshable = caller.client->allows_grant("refresh_token")});
  known.session = login.session;
  return std::move(login.tokens);
}

}  // namespace latchkey::sandbox
