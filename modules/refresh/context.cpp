// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
module latchkey.refresh.context;
import latchkey.core.crypto;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.secret;
import latchkey.core.time;
import latchkey.dpop.nonce;
import latchkey.dpop.transport;
import latchkey.http;
import latchkey.http.policy;
import latchkey.oauth.client_auth;
import latchkey.oauth.revocation;
import latchkey.refresh.events;
import latchkey.session;
import latchkey.store;

namespace latchkey {
namespace {

class StoreNonces final : public NonceStorage {
 public:
  explicit StoreNonces(std::shared_ptr<OAuthTokenStore> store) : store_(std::move(store)) {}
  std::optional<std::string> load_nonce(std::string_view origin, std::string_view jkt) override {
    return store_->load_nonce(origin, jkt);
  }
  void save_nonce(std::string_view origin, std::string_view jkt, std::string_view nonce) override {
    store_->save_nonce(origin, jkt, nonce);
  }

 private:
  std::shared_ptr<OAuthTokenStore> store_;
};

}  // namespace

void announce(const SessionContext& context, const SessionEvent& event) {
  if (context.on_event) context.on_event(event);
}

std::shared_ptr<NonceStorage> nonce_storage(std::shared_ptr<OAuthTokenStore> store) {
  return std::make_shared<StoreNonces>(std::move(store));
}

std::uint64_t draw_id(Random& random) {
  std::uint64_t id = 0;
  while (id == 0) random.fill(std::span(reinterpret_cast<unsigned char*>(&id), sizeof id));
  return id;
}

Result<std::shared_ptr<HttpTransport>> session_transport(const SessionContext& context,
                                                         std::string_view jkt) {
  if (jkt.empty()) return context.transport;
  if (context.client && context.client->owns_key(jkt)) {
    return make_error(ErrorCode::invalid_key, "dpop.client_key",
                      "cannot bind a session to the key " + printable(jkt, 64) +
                          ": it is one of the client's own keys, and servers refuse that; log in "
                          "again, and keep the client's keys out of the vault");
  }
  auto prover = context.provers->find(jkt);
  if (!prover) return std::move(prover).error();
  return std::shared_ptr<HttpTransport>(
      std::make_shared<DpopTransport>(DpopContext{.inner = context.transport,
                                                  .prover = *std::move(prover),
                                                  .nonces = context.nonces,
                                                  .clock = context.clock,
                                                  .skew = context.skew}));
}

namespace {

// A server refuses to revoke, or does not, what was issued to another client (RFC 7009 §2.1). A
// public client has no secret, so a session of one can speak for its own, whichever client this
// process is.
Result<std::shared_ptr<ClientAuthenticator>> client_of(const SessionContext& context,
                                                       const SessionSummary& session) {
  if (session.client_id == context.client_id) return context.client;
  if (session.client_auth_method == ClientAuthMethod::none) return public_client(session.client_id);
  return make_error(ErrorCode::client_mismatch, "session.client_mismatch",
                    "cannot revoke the session of " + printable(session.subject, 100) +
                        ": it belongs to another client_id; use that client");
}

}  // namespace

Result<void> revoke_token(const SessionContext& context, const SessionSummary& session,
                          const SecretString& token, TokenKind kind) {
  auto client = client_of(context, session);
  if (!client) return std::move(client).error();
  auto request = build_revocation_request(session, token, kind, **client);
  if (!request) return std::move(request).error();
  auto transport = session_transport(context, session.dpop_jkt);
  if (!transport) return std::move(transport).error();
  SendOptions options = token_limits();
  options.timeout = std::chrono::seconds{5};
  auto answer = (*transport)->send(*request, options);
  if (!answer) return std::move(answer).error();
  return process_revocation_response(*answer, context.clock->now());
}

Result<void> revoke_session(const SessionContext& context, const OAuthSession& session) {
  if (session.refresh_token)
    return revoke_token(context, session, *session.refresh_token, TokenKind::refresh_token);
  return revoke_token(context, session, session.access_token, TokenKind::access_token);
}

}  // namespace latchkey
