// SPDX-License-Identifier: MIT
module;
#include <cstdint>
#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>
export module latchkey.refresh.context;
import latchkey.core.crypto;
import latchkey.core.error;
import latchkey.core.secret;
import latchkey.core.time;
import latchkey.dpop.nonce;
import latchkey.dpop.transport;
import latchkey.http;
import latchkey.oauth.client_auth;
import latchkey.oauth.revocation;
import latchkey.oauth.token;
import latchkey.refresh.events;
import latchkey.refresh.provers;
import latchkey.session;
import latchkey.store;

// Everything that work on a session needs, in one place, and the requests that carry its proofs.

export namespace latchkey {

/// What a profile (ATProto, plain OAuth) demands of a session beyond OAuth. Empty functions demand
/// nothing.
struct SessionProfile {
  /// Before a refresh: may this issuer still speak for the subject? Gives the resource server to
  /// use from now on. A failure is transient: nothing has been sent.
  std::function<Result<std::string>(const SessionSummary&, std::stop_token)> confirm{};
  /// After one: is this answer acceptable for the session? May take out of it what is not.
  std::function<Result<void>(TokenAnswer&, const OAuthSession&)> check{};
  /// Reads answers of an unusual shape.
  TokenAnswerMapper map_answer{};
  std::vector<std::string> resources{};  ///< named in every refresh (RFC 8707 §2.2)
  /// Whether a session that a new login replaces is ended at the server. Not where the same
  /// person's logins of one client are one grant there, and revoking any token ends all of them
  /// (RFC 7009 §2.1 allows that).
  bool revokes_replaced = true;
  /// Refuses a login by code whose token answer has no DPoP-Nonce, which the AT Protocol demands of
  /// its servers and few clients insist on. Nothing but that answer: a refresh without one is as
  /// good as any other, for its refresh token is spent.
  bool require_dpop_nonce = false;
};

/// All members are shared and thread-safe.
struct SessionContext {
  std::shared_ptr<OAuthTokenStore> store;
  std::shared_ptr<ProverCache> provers;
  std::shared_ptr<HttpTransport> transport;
  std::shared_ptr<NonceCache> nonces;
  std::shared_ptr<ClockSkew> skew;
  std::shared_ptr<Clock> clock;
  std::shared_ptr<Random> random;
  std::shared_ptr<ClientAuthenticator> client;
  std::string client_id;
  SessionProfile profile{};
  /// Empty: nobody listens. SessionKeeper calls it as SessionListener says; without a keeper it is
  /// called where the event happens, with the lease held.
  SessionListener on_event{};
};

/// Tells the listener, if there is one.
void announce(const SessionContext& context, const SessionEvent& event);

/// The transport of a session: with proofs of the key `jkt`, or the plain one if that is empty.
/// Errors: those of ProverCache::find; invalid_key, "dpop.client_key" for a key that is one of the
/// client's own (C1.12).
[[nodiscard]] Result<std::shared_ptr<HttpTransport>> session_transport(
    const SessionContext& context, std::string_view jkt);
/// Best effort to end a token at the server, as the client that it was issued to. Errors:
/// client_mismatch (another client's, which needs that client's secret), those of build_ and
/// process_revocation_response, and of the transport.
[[nodiscard]] Result<void> revoke_token(const SessionContext& context,
                                        const SessionSummary& session, const SecretString& token,
                                        TokenKind kind);
/// Ends the whole session: its refresh token, or its access token if it has none.
[[nodiscard]] Result<void> revoke_session(const SessionContext& context,
                                          const OAuthSession& session);

/// 64 random bits, never 0.
[[nodiscard]] std::uint64_t draw_id(Random& random);
[[nodiscard]] inline Revision draw_revision(Random& random) {
  return Revision{draw_id(random)};
}

/// A store's nonces as the storage of a NonceCache.
[[nodiscard]] std::shared_ptr<NonceStorage> nonce_storage(std::shared_ptr<OAuthTokenStore> store);

}  // namespace latchkey
