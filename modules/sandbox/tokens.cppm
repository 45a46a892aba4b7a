// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
export module latchkey.sandbox.tokens;
import latchkey.core.crypto;
import latchkey.core.error;
import latchkey.core.time;
import latchkey.sandbox.storage;

// The tokens that were issued: rotating refresh tokens, good once; using one twice, or with another
// key or client, ends the session. Kept are only their hashes.

export namespace latchkey::sandbox {

struct TokenLifetimes {
  std::chrono::seconds access{3600};
  std::chrono::seconds refresh = std::chrono::hours{14 * 24};  ///< since the last refresh
  std::chrono::seconds session = std::chrono::hours{14 * 24};  ///< since the login
};

/// What the account's owner agreed to.
struct Grant {
  std::string did;
  std::string client_id;
  std::string scope;
  std::string jkt;           ///< the DPoP key that the tokens are bound to; empty: Bearer tokens
  std::string client_key{};  ///< thumbprint of the key with which the client authenticated itself
  std::string nonce{};       ///< of the authorization request, for the id token
  TimePoint auth_time{};     ///< when the owner signed in
  bool refreshable = true;   ///< the client may use refresh tokens
};

struct IssuedTokens {
  std::string access_token;
  std::string refresh_token;  ///< empty unless the grant is refreshable
  Grant grant;
  std::chrono::seconds expires_in{0};
};

/// Who presents a token, after all checks of client and proof.
struct Presenter {
  std::string_view client_id;
  std::string_view client_key;
  std::string_view jkt;
};

/// How sessions fared, for tests.
struct TokenCounts {
  unsigned logins = 0;
  unsigned refreshes = 0;  ///< that succeeded
  unsigned replays = 0;    ///< of spent refresh tokens
  unsigned ended = 0;      ///< sessions ended by a replay, a wrong key or a wrong client
  unsigned revoked = 0;    ///< sessions ended by revocation
};

using SessionId = std::uint64_t;

/// Not thread-safe.
class TokenLedger {
 public:
  TokenLedger(Random& random, const Clock& clock, TokenLifetimes lifetimes)
      : random_(random), clock_(clock), lifetimes_(lifetimes) {}

  /// Reads what is kept, and keeps everything from now on. Errors: those of Storage; corrupt,
  /// "session.…".
  [[nodiscard]] Result<void> restore(Storage& storage);

  struct Login {
    SessionId session;
    IssuedTokens tokens;
  };
  [[nodiscard]] Login begin(Grant grant);
  /// Errors, as of refusal: invalid_grant, "refresh.unknown", "refresh.replayed",
  /// "refresh.ended", "refresh.expired", "refresh.wrong_key", "refresh.wrong_client"; and
  /// "refresh.wrong_client_key", which uses nothing up: a session stays with the key that its
  /// client had at the login (C8.3).
  [[nodiscard]] Result<IssuedTokens> refresh(std::string_view token, const Presenter& presenter);
  /// Either token ends the session; an unknown one is fine (RFC 7009 §2.2). Errors: invalid_grant,
  /// "revoke.wrong_key" (unless no key was proven), "revoke.wrong_client": nothing is revoked.
  [[nodiscard]] Result<void> revoke(std::string_view token, const Presenter& presenter);
  /// The grant behind an access token, whatever became of it.
  struct Access {
    Grant grant;
    std::string problem;  ///< empty, or "access.expired", "access.replaced", "access.ended"
  };
  [[nodiscard]] std::optional<Access> find_access(std::string_view token) const;
  void end(SessionId session);
  /// Ends all sessions of an account, as an administrator can. Gives how many there were.
  unsigned end_all(std::string_view did);
  /// Access tokens issued so far are no longer good; refresh tokens are.
  void expire_access();
  /// Sessions that a refresh token still opens.
  [[nodiscard]] unsigned alive(std::string_view did) const;
  [[nodiscard]] const TokenCounts& counts() const noexcept { return counts_; }
  void set_access_lifetime(std::chrono::seconds lifetime) { lifetimes_.access = lifetime; }

 private:
  struct Session {
    SessionId id = 0;
    Grant grant;
    std::string refresh_hash, access_hash;  // of the current ones
    TimePoint started, refreshed, access_expires;
    bool alive = true;
  };
  [[nodiscard]] IssuedTokens issue(Session& session);
  void close(Session& session);
  void kill(Session& session);
  void keep(const Session& session);
  void keep_tokens(const Session& session);
  [[nodiscard]] static std::string session_json(const Session& session);
  [[nodiscard]] static Result<Session> read_session(const KeptRow& row);

  Random& random_;
  const Clock& clock_;
  Storage* storage_ = nullptr;  // null: in memory only
  TokenLifetimes lifetimes_;
  SessionId next_ = 1;
  std::map<SessionId, Session> sessions_;
  /// Every token ever issued, by its hash.
  std::unordered_map<std::string, SessionId> refresh_tokens_, access_tokens_;
  TokenCounts counts_;
};

}  // namespace latchkey::sandbox
