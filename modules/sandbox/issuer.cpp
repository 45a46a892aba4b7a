// SPDX-License-Identifier: MIT
module;
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
import latchkey.oauth.scope;
import latchkey.sandbox.accounts;
import latchkey.sandbox.authorization;
import latchkey.sandbox.client_auth;
import latchkey.sandbox.clients;
import latchkey.sandbox.device;
import latchkey.sandbox.front;
import latchkey.sandbox.id_tokens;
import latchkey.sandbox.message;
import latchkey.sandbox.metadata;
import latchkey.sandbox.proofs;
import latchkey.sandbox.tokens;
import latchkey.sandbox.userinfo;

namespace latchkey::sandbox {
namespace {

Response not_found() {
  return oauth_answer(refusal("not_found", "issuer.path", "there is nothing here", 404));
}

Response wrong_method(std::string_view allowed) {
  Response response =
      oauth_answer(refusal("invalid_request", "issuer.method", "wrong method", 405));
  response.headers.emplace_back("Allow", std::string(allowed));
  return response;
}

Presenter presenter_of(const Caller& caller) {
  return {.client_id = caller.client_id(), .client_key = caller.key, .jkt = caller.jkt};
}

}  // namespace

Issuer::Issuer(IssuerOptions options, std::shared_ptr<Clock> clock, Random& random,
               Accounts& accounts, TokenLedger& ledger)
    : options_(std::move(options)),
      clock_(clock),
      accounts_(accounts),
      ledger_(ledger),
      gate_(clients_, clock, options_.issuer),
      desk_(random, *clock, ledger, options_.issuer),
      devices_(random, *clock, ledger),
      front_(options_.issuer, random, accounts, clients_, desk_, devices_),
      keys_(*clock),
      proofs_(options_.issuer, clock, random, options_.nonce_rotation) {}

Response Issuer::handle(const Request& request) {
  const bool get = request.method == "GET", post = request.method == "POST";
  if (request.path == "/oauth/authorize") {
    return get ? front_.open(request) : post ? front_.decide(request) : wrong_method("GET, POST");
  }
  if (request.path == "/device") {
    return get    ? front_.open_device(request)
           : post ? front_.decide_device(request)
                  : wrong_method("GET, POST");
  }
  if (request.path == "/oauth/userinfo") {
    return get || post ? userinfo(request, accounts_, ledger_, proofs_) : wrong_method("GET, POST");
  }
  std::optional<Endpoint> endpoint;
  if (request.path == "/oauth/par") endpoint = Endpoint::pushed_request;
  if (request.path == "/oauth/token") endpoint = Endpoint::token;
  if (request.path == "/oauth/revoke") endpoint = Endpoint::revocation;
  if (request.path == "/oauth/device") endpoint = Endpoint::device;
  if (!endpoint) return documents(request);
  return post ? authenticated(request, *endpoint) : wrong_method("POST");
}

Response Issuer::documents(const Request& request) {
  const bool server = request.path == "/.well-known/oauth-authorization-server";
  const bool openid = request.path == "/.well-known/openid-configuration";
  if (!server && !openid && request.path != "/oauth/jwks") return not_found();
  if (request.method != "GET") return wrong_method("GET");
  if (server) {
    return json_answer(200, authorization_server_metadata(options_.issuer, options_.pds));
  }
  if (openid) return json_answer(200, openid_configuration(options_.issuer));
  auto jwks = keys_.jwks();
  return jwks ? json_answer(200, *std::move(jwks)) : oauth_answer(jwks.error());
}

Response Issuer::ask_for_bad_nonce() {
  Response response =
      oauth_answer(refusal("use_dpop_nonce", "fault.nonce_storm", "use another nonce"));
  response.headers.emplace_back("DPoP-Nonce", proofs_.bad_nonce());
  return response;
}

Response Issuer::authenticated(const Request& request, Endpoint endpoint) {
  const auto respond = [&]() -> Result<Response> {
    const auto form = read_form(request);
    if (!form) return form.error();
    const auto caller = caller_of(request, *form, endpoint);
    if (!caller) return caller.error();
    return answer(endpoint, *form, *caller);
  };
  auto answered = respond();
  Response response = answered ? *std::move(answered) : oauth_answer(answered.error());
  if (response.status == 401) {
    response.headers.emplace_back("WWW-Authenticate", "Basic realm=\"sandbox\"");
  }
  response.headers.emplace_back("DPoP-Nonce", proofs_.nonce());
  response.headers.emplace_back("Cache-Control", "no-store");
  return response;
}

// The proof is judged before anything of the request is used up, the client's assertion included.
// Clients with Bearer tokens may come without; at the device endpoint nothing is bound yet; outside
// of ATProto nobody proves a key to revoke; and who is unknown hears that first.
Result<Caller> Issuer::caller_of(const Request& request, const FormFields& form,
                                 Endpoint endpoint) {
  const auto step = step_of(endpoint);
  const auto named = gate_.named(request, form);
  const bool may_lack = !named || !named->dpop_bound || endpoint == Endpoint::device ||
                        (endpoint == Endpoint::revocation && !named->atproto);
  if (may_lack && request.headers.all("DPoP").empty()) {
    return gate_.authenticate(request, form, {}, step);
  }
  const auto proof = proofs_.check(request, {}, {});
  if (!proof) return proof_refusal(proof.error(), 400);
  return gate_.authenticate(request, form, proof->jkt, step);
}

std::string_view Issuer::step_of(Endpoint endpoint) noexcept {
  switch (endpoint) {
    case Endpoint::pushed_request:
      return "par";
    case Endpoint::token:
      return "token";
    case Endpoint::device:
      return "device";
    case Endpoint::revocation:
      break;
  }
  return "revoke";
}

Result<Response> Issuer::answer(Endpoint endpoint, const FormFields& form, const Caller& caller) {
  switch (endpoint) {
    case Endpoint::pushed_request:
      return push(form, caller);
    case Endpoint::token:
      return tokens(form, caller);
    case Endpoint::device:
      return start_device(form, caller);
    case Endpoint::revocation:
      break;
  }
  return revoke(form, caller);
}

Result<Response> Issuer::push(const FormFields& form, const Caller& caller) {
  const auto pushed = desk_.push(form, caller);
  if (!pushed) return pushed.error();
  return json_answer(201, json_object({{"request_uri", json_quote((*pushed)->request_uri)},
                                       {"expires_in", "300"}}));
}

Result<Response> Issuer::tokens(const FormFields& form, const Caller& caller) {
  const auto grant_type = required_field(form, "token", "grant_type");
  if (!grant_type) return grant_type.error();
  const bool code = *grant_type == "authorization_code", refresh = *grant_type == "refresh_token";
  if (!code && !refresh && *grant_type != kDeviceGrant) {
    return refusal("unsupported_grant_type", "token.grant_type", "there is no such grant_type");
  }
  if (!caller.client->allows_grant(*grant_type)) {
    return refusal("unauthorized_client", "token.grant_not_registered",
                   "the client does not register for this grant_type");
  }
  if (refresh) {
    const auto token = required_field(form, "token", "refresh_token");
    if (!token) return token.error();
    const auto issued = ledger_.refresh(*token, presenter_of(caller));
    if (!issued) return issued.error();
    return token_answer(*issued, caller, {});  // Core §12.2: no nonce this time
  }
  const auto issued = code ? desk_.exchange(form, caller) : devices_.poll(form, caller);
  if (!issued) return issued.error();
  if (accounts_.find_here(issued->grant.did) == nullptr) {
    ledger_.end_all(issued->grant.did);
    return refusal("invalid_grant", "token.account_moved", "the account has moved since");
  }
  return token_answer(*issued, caller, issued->grant.nonce);
}

Result<Response> Issuer::token_answer(const IssuedTokens& issued, const Caller& caller,
                                      std::string_view nonce) {
  const Grant& grant = issued.grant;
  JsonMembers members{{"access_token", json_quote(issued.access_token)},
                      {"token_type", json_quote(grant.jkt.empty() ? "Bearer" : "DPoP")},
                      {"scope", json_quote(grant.scope)},
                      {"expires_in", std::to_string(issued.expires_in.count())}};
  if (!issued.refresh_token.empty()) {
    members.emplace_back("refresh_token", json_quote(issued.refresh_token));
  }
  const auto scope = ScopeSet::parse(grant.scope);
  if (scope && scope->contains("openid")) {
    auto id_token = make_id_token(keys_, caller.client->id_token_alg, options_.issuer, issued,
                                  nonce, clock_->now());
    if (!id_token) return std::move(id_token).error();
    members.emplace_back("id_token", json_quote(*id_token));
  }
  if (caller.client->atproto) members.emplace_back("sub", json_quote(grant.did));
  return json_answer(200, json_object(members));
}

Result<Response> Issuer::revoke(const FormFields& form, const Caller& caller) {
  const auto token = required_field(form, "revoke", "token");
  if (!token) return token.error();
  auto revoked = ledger_.revoke(*token, presenter_of(caller));
  if (!revoked) return std::move(revoked).error();
  return json_answer(200, "{}");
}

Result<Response> Issuer::start_device(const FormFields& form, const Caller& caller) {
  const auto started = devices_.start(form, caller);
  if (!started) return started.error();
  const std::string page = options_.issuer + "/device";
  return json_answer(200, json_object({{"device_code", json_quote(started->device_code)},
                                       {"user_code", json_quote(started->user_code)},
                                       {"verification_uri", json_quote(page)},
                                       {"verification_uri_complete",
                                        json_quote(page + "?user_code=" + started->user_code)},
                                       {"expires_in", std::to_string(started->expires_in.count())},
                                       {"interval", std::to_string(started->interval.count())}}));
}

}  // namespace latchkey::sandbox
