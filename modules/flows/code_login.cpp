// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
module latchkey.flows.code_login;
import latchkey.core.crypto;
import latchkey.core.error;
import latchkey.core.secret;
import latchkey.core.time;
import latchkey.core.url;
import latchkey.dpop.nonce;
import latchkey.flows.grant;
import latchkey.http;
import latchkey.http.policy;
import latchkey.oauth.authorization;
import latchkey.oauth.client_auth;
import latchkey.oauth.pkce;
import latchkey.oauth.server_metadata;
import latchkey.oauth.token;
import latchkey.refresh.context;
import latchkey.refresh.keeper;
import latchkey.refresh.pending;
import latchkey.session;
import latchkey.store;

namespace latchkey {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t kStateBytes = 32;
constexpr std::size_t kNonceBytes = 32;
constexpr std::size_t kBindingBytes = 32;
constexpr Duration kPendingLifetime = 10min;

PendingLogin describe(const SessionContext& context, const CodeRequest& request) {
  const ServerMetadata& server = request.server;
  return PendingLogin{
      .state = random_token(*context.random, kStateBytes),
      .code_verifier = {},
      .issuer = server.issuer,
      .token_endpoint = server.token_endpoint,
      .revocation_endpoint = server.revocation_endpoint,
      .par_endpoint = server.pushed_authorization_request_endpoint,
      .client_id = context.client_id,
      .client_auth_method = context.client->method(),
      .client_auth_kid = context.client->kid(),
      .redirect_uri = request.redirect_uri,
      .scope = request.scope,
      .expected_subject = request.subject,
      .handle = request.handle,
      .resource_server = request.resource_server,
      .dpop_jkt = {},
      .app_state = request.app_state,
      .created_at = context.clock->now(),
      .nonce = request.openid ? random_token(*context.random, kNonceBytes) : std::string{},
      .resources = request.resources,
      .max_age = request.max_age,
      .iss_required = request.iss_required ||
                      server.authorization_response_iss_parameter_supported.value_or(false),
      .browser_binding_hash = {}};
}

Result<Url> push(const SessionContext& context, const CodeRequest& request,
                 const PendingLogin& pending, std::string_view challenge, std::stop_token stop) {
  auto par = build_par_request(pending, challenge, request.login_hint, *context.client,
                               request.extra, request.response_mode);
  if (!par) return std::move(par).error();
  auto transport = session_transport(context, pending.dpop_jkt);
  if (!transport) return std::move(transport).error();
  auto answer = (*transport)->send(*par, token_limits(std::move(stop)));
  if (!answer) return std::move(answer).error();
  auto pushed = process_par_response(*answer, context.clock->now());
  if (!pushed) return std::move(pushed).error();
  return authorization_url(request.server.authorization_endpoint, pending.client_id,
                           pushed->request_uri);
}

Result<Url> page_for(const SessionContext& context, const CodeRequest& request,
                     const PendingLogin& pending, std::string_view challenge,
                     std::stop_token stop) {
  if (!pending.par_endpoint.empty()) {
    return push(context, request, pending, challenge, std::move(stop));
  }
  if (request.server.require_pushed_authorization_requests.value_or(false)) {
    return make_error(ErrorCode::invalid_metadata, "metadata.par_endpoint_missing",
                      "cannot log in: the server requires pushed authorization requests, and its "
                      "metadata names no endpoint for them (RFC 9126 section 5)");
  }
  return plain_authorization_url(request.server.authorization_endpoint, pending, challenge,
                                 request.login_hint, request.extra, request.response_mode);
}

// What the caller got wrong.
Result<void> check_request(const CodeRequest& request) {
  if (request.app_state.size() > kMaxAppState) {
    return make_error(ErrorCode::invalid_argument, "login.app_state",
                      "cannot carry the application's state through a login: it is over " +
                          std::to_string(kMaxAppState) + " bytes; keep it, and send its name");
  }
  return check_extra_parameters(request.extra);
}

// Strict mode (C6.8). Judged after the answer was read: what an intermediary answers (413, 429, 502
// to 504) never has a nonce, and is the error that it is by its status.
Result<void> check_nonce_given(const SessionContext& context, const PendingLogin& pending,
                               const HttpResponse& response) {
  if (!context.profile.require_dpop_nonce || pending.dpop_jkt.empty()) return {};
  const auto nonces = response.headers.all("DPoP-Nonce");
  if (nonces.size() == 1 && is_dpop_nonce(nonces[0])) return {};
  return make_error(ErrorCode::token_invalid, "token.dpop_nonce_missing",
                    "token answer refused: it has no DPoP-Nonce, which is required here; tell the "
                    "server's operator, or allow such answers (require_dpop_nonce)");
}

}  // namespace

Result<BegunCode> begin_code(const SessionContext& context, const CodeRequest& request,
                             std::stop_token stop) {
  // Said before there is a key to remove again.
  if (auto allowed = check_request(request); !allowed) return std::move(allowed).error();
  PendingLogin pending = describe(context, request);
  Pkce pkce = make_pkce(*context.random);
  pending.code_verifier = std::move(pkce.code_verifier);
  if (request.binding == TokenBinding::dpop) {
    auto prover = context.provers->create();
    if (!prover) return std::move(prover).error();
    pending.dpop_jkt = (*prover)->jkt();
  }
  auto url = page_for(context, request, pending, pkce.code_challenge, std::move(stop));
  if (!url) {
    drop_login_key(context, pending);
    return std::move(url).error();
  }
  SecretString binding;
  if (request.browser == BrowserRule::same_only) {
    binding = random_secret_token(*context.random, kBindingBytes);
    pending.browser_binding_hash = sha256_base64url(binding.expose());
  }
  return BegunCode{
      .url = *std::move(url), .pending = std::move(pending), .browser_binding = std::move(binding)};
}

Result<ExchangedCode> exchange_code(const SessionContext& context, const PendingLogin& pending,
                                    std::string_view query, const TokenAnswerMapper& map) {
  auto callback = process_callback(query, pending);
  if (!callback) return std::move(callback).error();
  auto request = build_code_exchange(pending, callback->code, *context.client);
  if (!request) return std::move(request).error();
  auto transport = session_transport(context, pending.dpop_jkt);
  if (!transport) return std::move(transport).error();
  const TimePoint requested_at = context.clock->now();
  auto response =
      (*transport)->send(*request, token_limits());  // a code is spent by this: not to be cancelled
  if (!response) return std::move(response).error();
  auto answer = process_token_response("token", *response, context.clock->now(), map);
  if (!answer) {
    revoke_unread(context, terms_of(pending), *response);
    return std::move(answer).error();
  }
  if (auto given = check_nonce_given(context, pending, *response); !given) {
    revoke_answer(context, terms_of(pending), *answer);
    return std::move(given).error();
  }
  return ExchangedCode{.answer = *std::move(answer), .requested_at = requested_at};
}

void drop_login_key(const SessionContext& context, const PendingLogin& pending) {
  if (pending.dpop_jkt.empty()) return;
  static_cast<void>(context.provers->remove(pending.dpop_jkt).has_value());
}

GrantTerms terms_of(const PendingLogin& pending) {
  GrantTerms terms{.server = {},
                   .client_id = pending.client_id,
                   .client_auth_method = pending.client_auth_method,
                   .client_auth_kid = pending.client_auth_kid,
                   .scope = pending.scope,
                   .subject = pending.expected_subject,
                   .handle = pending.handle,
                   .dpop_jkt = pending.dpop_jkt,
                   .redirect_uri = pending.redirect_uri,
                   .resource_server = pending.resource_server,
                   .validator = {},
                   .nonce = pending.nonce,
                   .max_age = pending.max_age};
  terms.server.issuer = pending.issuer;
  terms.server.token_endpoint = pending.token_endpoint;
  terms.server.revocation_endpoint = pending.revocation_endpoint;
  terms.server.pushed_authorization_request_endpoint = pending.par_endpoint;
  return terms;
}

CodeLogin::CodeLogin(std::shared_ptr<SessionKeeper> keeper, AnswerJudge judge,
                     TokenAnswerMapper map, std::optional<OwnServer> server)
    : keeper_(std::move(keeper)),
      judge_(std::move(judge)),
      map_(std::move(map)),
      server_(std::move(server)) {}

Result<BegunLogin> CodeLogin::begin(const CodeRequest& request, std::stop_token stop) {
  const SessionContext& context = keeper_->context();
  // A record that can't be read now could not be replaced after the browser either: say so before
  // it opens.
  if (!request.subject.empty()) {
    if (auto readable = context.store->load(request.subject); !readable)
      return std::move(readable).error();
  }
  auto begun = begin_code(context, request, std::move(stop));
  if (!begun) return std::move(begun).error();
  // Remembered before the browser opens (C4.11), and not before there is something to wait for.
  const PendingLogin& pending = begun->pending;
  auto kept = seal_pending(pending, pending.created_at + kPendingLifetime, context.store->sealer())
                  .and_then([&](const PendingRecord& record) {
                    return context.store->save_pending(record, pending.created_at);
                  });
  if (!kept) {
    drop_login_key(context, pending);
    return std::move(kept).error();
  }
  return BegunLogin{.url = std::move(begun->url),
                    .state = pending.state,
                    .browser_binding = std::move(begun->browser_binding)};
}

Result<PendingLogin> CodeLogin::take(std::string_view state) {
  const SessionContext& context = keeper_->context();
  const Error unknown = make_error(
      ErrorCode::callback_invalid, "callback.unknown_state",
      "cannot finish this login: it was not begun here, is finished already, or is older "
      "than ten minutes; log in again");
  if (state.empty()) return unknown;
  auto taken = context.store->take_pending(pending_key(state), context.clock->now());
  if (!taken) return std::move(taken).error();
  if (!taken->has_value()) return unknown;
  return open_pending(**taken, context.store->sealer());
}

// Several clients may keep their logins in one store. A code goes to the token endpoint that its
// login names, with this client's secret: neither may be another's (mix-up, RFC 9700 section 4.4).
Result<void> CodeLogin::check_client(const PendingLogin& pending) const {
  const SessionContext& context = keeper_->context();
  const bool same_client = pending.client_id == context.client_id &&
                           pending.client_auth_method == context.client->method();
  const bool same_server = !server_ || (pending.issuer == server_->issuer &&
                                        pending.token_endpoint == server_->token_endpoint);
  if (same_client && same_server) return {};
  return make_error(ErrorCode::callback_invalid, "callback.other_client",
                    "cannot finish this login: another client began it, or this one as it was "
                    "configured before; log in again, and give each client its own redirect");
}

void CodeLogin::abandon(std::string_view state) {
  if (auto pending = take(state)) drop_login_key(keeper_->context(), *pending);
}

AnsweredCode CodeLogin::answer(std::string_view query, const SecretString& binding,
                               std::stop_token stop) {
  auto pending = take(callback_state(query));
  if (!pending) return {.session = std::move(pending).error()};
  // A login that reached another browser is spent: its redirect has leaked, or is somebody's trap.
  // What its beginner left in app_state is not for this browser either.
  // The same goes for a login that reached another client.
  auto same = check_browser(*pending, binding);
  if (same) same = check_client(*pending);
  if (!same) {
    drop_login_key(keeper_->context(), *pending);
    return {.session = std::move(same).error()};
  }
  auto session = complete(*pending, query, std::move(stop));
  if (!session) drop_login_key(keeper_->context(), *pending);
  return {.session = std::move(session), .app_state = std::move(pending->app_state)};
}

Result<std::shared_ptr<const OAuthSession>> CodeLogin::finish(std::string_view query,
                                                              std::stop_token stop) {
  return answer(query, SecretString(), std::move(stop)).session;
}

Result<std::shared_ptr<const OAuthSession>> CodeLogin::complete(const PendingLogin& pending,
                                                                std::string_view query,
                                                                std::stop_token stop) {
  const SessionContext& context = keeper_->context();
  auto exchanged = exchange_code(context, pending, query, map_);
  if (!exchanged) return std::move(exchanged).error();
  auto session = judge_(exchanged->answer, pending, exchanged->requested_at, stop);
  if (!session) {
    revoke_answer(context, terms_of(pending), exchanged->answer);
    return std::move(session).error();
  }
  session->login_id = draw_id(*context.random);
  return keeper_->save_login(*std::move(session), {.stop = std::move(stop)});
}

}  // namespace latchkey
