// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <list>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
module latchkey.sandbox.authorization;
import latchkey.atproto.identifier;
import latchkey.core.crypto;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.secret;
import latchkey.core.time;
import latchkey.oauth.client_metadata;
import latchkey.oauth.scope;
import latchkey.sandbox.message;
import latchkey.sandbox.permissions;
import latchkey.sandbox.tokens;

namespace latchkey::sandbox {
namespace {

using std::chrono::minutes;

constexpr minutes kRequestLifetime{5};
constexpr minutes kCodeLifetime{5};
constexpr std::size_t kMaxState = 512;
constexpr std::size_t kChallengeSize = 43;

bool is_base64url(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_';
  });
}

// RFC 7636 §4.1: 43 to 128 unreserved characters.
bool is_verifier(std::string_view text) {
  return text.size() >= 43 && text.size() <= 128 &&
         std::all_of(text.begin(), text.end(), [](char c) {
           return is_base64url(std::string_view(&c, 1)) || c == '.' || c == '~';
         });
}

Error invalid_request(std::string_view detail, std::string description) {
  return refusal("invalid_request", detail, std::move(description));
}

Result<void> check_response(const FormFields& form) {
  for (const std::string_view name : {"request", "request_uri"}) {
    if (field(form, name)) {
      return invalid_request("par.request_uri", "a pushed request must not name another");
    }
  }
  if (field(form, "response_type") != "code") {
    return refusal("unsupported_response_type", "par.response_type", "response_type must be code");
  }
  if (field(form, "response_mode").value_or("query") != "query") {
    return invalid_request("par.response_mode", "response_mode must be query");
  }
  if (field(form, "prompt") == "none") {
    return invalid_request("par.prompt", "public clients can't ask for prompt=none");
  }
  return {};
}

Result<std::string> read_challenge(const FormFields& form) {
  auto challenge = required_field(form, "par", "code_challenge");
  if (!challenge) return challenge;
  if (field(form, "code_challenge_method") != "S256") {
    return invalid_request("par.code_challenge_method", "code_challenge_method must be S256");
  }
  if (challenge->size() != kChallengeSize || !is_base64url(*challenge)) {
    return invalid_request("par.code_challenge", "code_challenge is no SHA-256 in base64url");
  }
  return challenge;
}

Result<std::string> read_redirect(const FormFields& form, const ClientIdentity& client) {
  auto redirect = required_field(form, "par", "redirect_uri");
  if (redirect && !allows_redirect(client, *redirect)) {
    return invalid_request("par.redirect_uri", "redirect_uri is not one of the client's");
  }
  return redirect;
}

Result<std::string> read_scope(const FormFields& form, const ClientIdentity& client) {
  auto scope = required_field(form, "par", "scope");
  if (!scope) return scope;
  const auto asked = ScopeSet::parse(*scope), declared = ScopeSet::parse(client.scope);
  if (!asked) return refusal("invalid_scope", "par.scope", "scope is malformed");
  if (!asked->contains("atproto")) {
    return refusal("invalid_scope", "par.scope_without_atproto", "scope must contain atproto");
  }
  if (!declared || !declared->covers(*asked)) {
    return refusal("invalid_scope", "par.scope_not_declared", "scope is more than the client's");
  }
  return known_scope(*scope);
}

Result<std::string> read_state(const FormFields& form) {
  auto state = required_field(form, "par", "state");
  if (state && state->size() > kMaxState) {
    return invalid_request("par.state", "state is over 512 characters");
  }
  return state;
}

Result<std::string> read_hint(const FormFields& form) {
  const auto hint = field(form, "login_hint");
  if (!hint) return std::string();
  if (!parse_did(*hint) && !parse_handle(*hint)) {
    return invalid_request("par.login_hint", "login_hint is neither a handle nor a DID");
  }
  return *hint;
}

}  // namespace

Result<ClientIdentity> read_client(const FormFields& form, std::string_view step) {
  const std::string prefix = std::string(step) + '.';
  const auto client_id = required_field(form, step, "client_id");
  if (!client_id) return client_id.error();
  for (const std::string_view name :
       {"client_secret", "client_assertion", "client_assertion_type"}) {
    if (field(form, name)) {
      return refusal("invalid_client", prefix + "client_authentication",
                     "a public client must not authenticate");
    }
  }
  auto client = parse_loopback_client_id(*client_id);
  if (!client) {
    return refusal("invalid_client", prefix + "client_id", "client_id is no loopback client");
  }
  return client;
}

AuthorizationDesk::AuthorizationDesk(Random& random, const Clock& clock, TokenLedger& ledger,
                                     std::string issuer)
    : random_(random), clock_(clock), ledger_(ledger), issuer_(std::move(issuer)) {}

void AuthorizationDesk::forget_old() {
  const TimePoint now = clock_.now();
  requests_.remove_if([&](const auto& request) { return now >= request.expires_at; });
}

Result<const AuthorizationRequest*> AuthorizationDesk::push(const FormFields& form,
                                                            std::string_view jkt) {
  forget_old();
  auto client = read_client(form, "par");
  if (!client) return std::move(client).error();
  if (auto good = check_response(form); !good) return std::move(good).error();
  auto redirect = read_redirect(form, *client);
  if (!redirect) return std::move(redirect).error();
  auto challenge = read_challenge(form);
  if (!challenge) return std::move(challenge).error();
  auto scope = read_scope(form, *client);
  if (!scope) return std::move(scope).error();
  auto state = read_state(form);
  if (!state) return std::move(state).error();
  auto hint = read_hint(form);
  if (!hint) return std::move(hint).error();
  if (const auto bound = field(form, "dpop_jkt"); bound && *bound != jkt) {
    return invalid_request("par.dpop_jkt", "dpop_jkt is not the key of the proof");
  }
  requests_.push_back(
      {.request_uri = "urn:ietf:params:oauth:request_uri:req-" + random_token(random_, 16),
       .client = *std::move(client),
       .redirect_uri = *std::move(redirect),
       .scope = *std::move(scope),
       .state = *std::move(state),
       .code_challenge = *std::move(challenge),
       .login_hint = *std::move(hint),
       .jkt = std::string(jkt),
       .expires_at = clock_.now() + kRequestLifetime,
       .browser = {},
       .form_token = random_token(random_, 16)});
  return &requests_.back();
}

AuthorizationRequest* AuthorizationDesk::find(std::string_view request_uri,
                                              std::string_view client_id) {
  forget_old();
  const auto found = std::find_if(requests_.begin(), requests_.end(), [&](const auto& request) {
    return request.request_uri == request_uri && request.client.client_id == client_id;
  });
  return found == requests_.end() ? nullptr : &*found;
}

std::string AuthorizationDesk::redirect(const AuthorizationRequest& request,
                                        const FormFields& fields) const {
  const bool has_query = request.redirect_uri.find('?') != std::string::npos;
  return request.redirect_uri + (has_query ? '&' : '?') + form_encode(fields);
}

std::string AuthorizationDesk::approve(AuthorizationRequest& request, std::string_view did) {
  const std::string code = "cod-" + random_token(random_, 32);
  std::string url = redirect(request, {{"iss", issuer_}, {"state", request.state}, {"code", code}});
  const std::string used = request.request_uri;
  codes_.emplace(sha256_base64url(code), Code{.request = std::move(request),
                                              .did = std::string(did),
                                              .expires_at = clock_.now() + kCodeLifetime,
                                              .session = {}});
  request.request_uri = used;
  requests_.remove_if([&](const auto& other) { return other.request_uri == used; });
  return url;
}

std::string AuthorizationDesk::deny(AuthorizationRequest& request, std::string_view why) {
  std::string url = redirect(request, {{"iss", issuer_},
                                       {"state", request.state},
                                       {"error", "access_denied"},
                                       {"error_description", std::string(why)}});
  const std::string used = request.request_uri;
  requests_.remove_if([&](const auto& other) { return other.request_uri == used; });
  return url;
}

Result<IssuedTokens> AuthorizationDesk::exchange(const FormFields& form, std::string_view client_id,
                                                 std::string_view jkt) {
  const auto fail = [](std::string_view detail, std::string description) {
    return refusal("invalid_grant", detail, std::move(description));
  };
  const auto code = required_field(form, "token", "code");
  if (!code) return code.error();
  const auto redirect_uri = required_field(form, "token", "redirect_uri");
  if (!redirect_uri) return redirect_uri.error();
  const auto verifier = required_field(form, "token", "code_verifier");
  if (!verifier) return verifier.error();

  const auto found = codes_.find(sha256_base64url(*code));
  if (found == codes_.end()) return fail("code.unknown", "unknown code");
  Code& known = found->second;
  if (std::exchange(known.used, true)) {
    if (known.session) ledger_.end(*known.session);
    return fail("code.replayed", "code replayed");
  }
  const AuthorizationRequest& request = known.request;
  if (clock_.now() >= known.expires_at) return fail("code.expired", "code expired");
  if (request.client.client_id != client_id) {
    return fail("code.wrong_client", "code of another client");
  }
  if (request.redirect_uri != *redirect_uri) {
    return fail("code.redirect_uri", "redirect_uri is another than the one pushed");
  }
  if (!is_verifier(*verifier) ||
      !constant_time_equal(sha256_base64url(*verifier), request.code_challenge)) {
    return fail("code.verifier", "code_verifier does not fit the challenge");
  }
  if (request.jkt != jkt) return fail("code.wrong_key", "DPoP key is not the pushed request's");
  auto login = ledger_.begin({.did = known.did,
                              .client_id = request.client.client_id,
                              .scope = request.scope,
                              .jkt = request.jkt});
  known.session = login.session;
  return std::move(login.tokens);
}

}  // namespace latchkey::sandbox
