// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
module latchkey.atproto.login;
import latchkey.atproto.discovery;
import latchkey.atproto.identity;
import latchkey.core.crypto;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.json;
import latchkey.core.secret;
import latchkey.core.time;
import latchkey.core.url;
import latchkey.http;
import latchkey.http.policy;
import latchkey.oauth.authorization;
import latchkey.oauth.client_metadata;
import latchkey.oauth.pkce;
import latchkey.oauth.revocation;
import latchkey.oauth.scope;
import latchkey.oauth.token;
import latchkey.refresh.context;
import latchkey.refresh.keeper;
import latchkey.refresh.pending;
import latchkey.session;
import latchkey.store;
import latchkey.store.vault;

namespace latchkey {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t kStateBytes = 32;
constexpr Duration kPendingLifetime = 10min;

Result<std::string> requested_scope(const ClientIdentity& client, std::string_view wanted) {
  if (wanted.empty()) return client.scope;
  auto asked = ScopeSet::parse(wanted);
  if (!asked) return std::move(asked).error();
  const auto declared = ScopeSet::parse(client.scope);
  if (!declared || !declared->covers(*asked) || !asked->contains("atproto")) {
    return make_error(ErrorCode::invalid_argument, "login.scope",
                      "cannot ask for these permissions: they must contain atproto and be declared "
                      "by the client");
  }
  return asked->text();
}

Result<void> keep(const SessionContext& context, const PendingLogin& pending) {
  const auto record =
      seal_pending(pending, pending.created_at + kPendingLifetime, context.store->sealer());
  if (!record) return record.error();
  return context.store->save_pending(*record, pending.created_at);
}

PendingLogin describe(const LoginTarget& target, const LoginBeginning& beginning,
                      const SessionContext& context) {
  return PendingLogin{.state = random_token(*context.random, kStateBytes),
                      .code_verifier = {},
                      .issuer = target.server.issuer,
                      .token_endpoint = target.server.token_endpoint,
                      .revocation_endpoint = target.server.revocation_endpoint,
                      .par_endpoint = target.server.pushed_authorization_request_endpoint,
                      .client_id = context.client_id,
                      .client_auth_method = context.client->method(),
                      .client_auth_kid = context.client->kid(),
                      .redirect_uri = beginning.redirect_uri,
                      .scope = {},
                      .expected_subject = target.identity.did,
                      .handle = target.identity.handle,
                      .resource_server = target.pds,
                      .dpop_jkt = {},
                      .app_state = beginning.app_state,
                      .created_at = context.clock->now()};
}

}  // namespace

AtprotoLogin::AtprotoLogin(std::shared_ptr<SessionKeeper> keeper,
                           std::shared_ptr<AtprotoDiscovery> discovery, ClientIdentity client)
    : keeper_(std::move(keeper)), discovery_(std::move(discovery)), client_(std::move(client)) {}

Result<BegunLogin> AtprotoLogin::begin(const LoginTarget& target, const LoginBeginning& beginning) {
  const SessionContext& context = keeper_->context();
  if (!allows_redirect(client_, beginning.redirect_uri)) {
    return make_error(ErrorCode::invalid_argument, "login.redirect",
                      "cannot log in with the redirect " + printable(beginning.redirect_uri, 200) +
                          ": the client does not declare it");
  }
  auto scope = requested_scope(client_, beginning.scope);
  if (!scope) return std::move(scope).error();
  // A record that can't be read now could not be replaced after the browser either: say so before
  // it opens.
  if (!target.identity.did.empty()) {
    if (auto readable = context.store->load(target.identity.did); !readable)
      return std::move(readable).error();
  }
  auto prover = context.provers->create();
  if (!prover) return std::move(prover).error();
  const std::string jkt = (*prover)->jkt();
  auto fail = [&](Error error) {
    static_cast<void>(context.provers->remove(jkt).has_value());
    return error;
  };

  PendingLogin pending = describe(target, beginning, context);
  Pkce pkce = make_pkce(*context.random);
  pending.code_verifier = std::move(pkce.code_verifier);
  pending.scope = *std::move(scope);
  pending.dpop_jkt = jkt;
  auto request =
      build_par_request(pending, pkce.code_challenge, target.login_hint, *context.client);
  if (!request) return fail(std::move(request).error());
  auto transport = session_transport(context, jkt);
  if (!transport) return fail(std::move(transport).error());
  auto answer = (*transport)->send(*request, token_limits(beginning.stop));
  if (!answer) return fail(std::move(answer).error());
  auto pushed = process_par_response(*answer, context.clock->now());
  if (!pushed) return fail(std::move(pushed).error());
  auto url = authorization_url(target.server.authorization_endpoint, context.client_id,
                               pushed->request_uri);
  if (!url) return fail(std::move(url).error());
  // Remembered before the browser opens (C4.11), and not before there is something to wait for.
  if (auto kept = keep(context, pending); !kept) return fail(std::move(kept).error());
  return BegunLogin{.url = *std::move(url), .state = pending.state};
}

Result<PendingLogin> AtprotoLogin::take(std::string_view state) {
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

void AtprotoLogin::abandon(std::string_view state) {
  if (auto pending = take(state))
    static_cast<void>(keeper_->context().provers->remove(pending->dpop_jkt).has_value());
}

Result<std::shared_ptr<const OAuthSession>> AtprotoLogin::finish(std::string_view query,
                                                                 std::stop_token stop) {
  auto pending = take(callback_state(query));
  if (!pending) return std::move(pending).error();
  auto session = exchange(*pending, query, std::move(stop));
  if (!session)
    static_cast<void>(keeper_->context().provers->remove(pending->dpop_jkt).has_value());
  return session;
}

namespace {

// An answer that can't be read may have issued tokens all the same: they are ended, not left lying
// at the server.
void revoke_unread(const SessionContext& context, const PendingLogin& pending,
                   const HttpResponse& response) {
  if (response.status != 200) return;
  auto body = JsonObject::parse(response.body.expose(), ErrorCode::invalid_response, "token");
  if (!body) return;
  OAuthSession session = session_from_exchange(pending, TokenAnswer{}, context.clock->now());
  session.dpop_jkt = pending.dpop_jkt;
  for (const auto& [name, kind] : {std::pair{"refresh_token", TokenKind::refresh_token},
                                   std::pair{"access_token", TokenKind::access_token}}) {
    const auto token = body->take_secret(name);
    if (!token || !*token || (*token)->empty()) continue;
    static_cast<void>(revoke_token(context, session, **token, kind).has_value());
    return;
  }
}

}  // namespace

Result<std::shared_ptr<const OAuthSession>> AtprotoLogin::exchange(const PendingLogin& pending,
                                                                   std::string_view query,
                                                                   std::stop_token stop) {
  const SessionContext& context = keeper_->context();
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
  auto answer = process_token_response("token", *response, context.clock->now());
  if (!answer) {
    revoke_unread(context, pending, *response);
    return std::move(answer).error();
  }
  auto acceptable = check_atproto_token(*answer, pending.expected_subject);
  std::string subject = answer->sub;
  OAuthSession session = session_from_exchange(pending, *std::move(answer), requested_at);
  session.dpop_jkt = pending.dpop_jkt;  // also of a token that claims to be none: its revocation is
                                        // proven with the key
  auto refuse = [&](Error error) {
    static_cast<void>(revoke_session(context, session).has_value());
    return error;
  };
  if (!acceptable) return refuse(std::move(acceptable).error());
  if (pending.expected_subject.empty()) {
    // The server said who logged in: is it the one that may say so? (C5.8)
    auto pds = discovery_->confirm_authority(subject, pending.issuer, stop);
    if (!pds) return refuse(std::move(pds).error());
    session.resource_server = *std::move(pds);
    session.handle = discovery_->display_handle(subject, stop);
  }
  session.subject = std::move(subject);
  session.login_id = draw_id(*context.random);
  return keeper_->save_login(std::move(session), {.stop = std::move(stop)});
}

}  // namespace latchkey
