// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <memory>
#include <stop_token>
#include <string>
#include <string_view>
export module latchkey.refresh.keeper;
import latchkey.core.error;
import latchkey.core.time;
import latchkey.refresh.context;
import latchkey.session;

// Hands out sessions that are good now, and renews them when they are due: one refresh at a time
// for each subject, across threads and processes, saved before it is handed out.

export namespace latchkey {

struct FreshOptions {
  std::chrono::milliseconds timeout{
      45'000};  ///< how long this caller waits; a refresh under way goes on without it
  std::stop_token stop{};
  /// Fingerprint (token_fingerprint) of an access token that a server has just refused: it is not
  /// handed out again.
  std::string rejected{};
};

struct LoginOptions {
  std::chrono::milliseconds timeout{45'000};
  std::stop_token stop{};
};

enum class Forget {
  when_revoked,  ///< keep what is needed to revoke later if the server can't be reached now
  now,           ///< erase everything here, whatever the server says
};
struct LogoutOptions {
  std::chrono::milliseconds timeout{45'000};
  std::stop_token stop{};
  Forget forget = Forget::when_revoked;
};
enum class LogoutOutcome {
  revoked,        ///< the server confirmed it; nothing is left here
  not_logged_in,  ///< there was no session
  pending,    ///< access token erased; the refresh token stays sealed until the server can be told
  forgotten,  ///< erased here; the server could not be told
};

/// Thread-safe. The destructor waits for refreshes that have been sent (at most the HTTP deadline),
/// tries unsaved sessions once more, and returns after the last event was told.
class SessionKeeper {
 public:
  explicit SessionKeeper(SessionContext context);
  SessionKeeper(const SessionKeeper&) = delete;
  SessionKeeper& operator=(const SessionKeeper&) = delete;
  ~SessionKeeper();

  /// A session whose access token is good now. A caller whose `stop` is requested begins no
  /// refresh; one that was begun goes on without it. Errors: login_required (none, logged out, or
  /// no refresh token), session_dead, refresh_interrupted, session_not_durable, backing_off (a
  /// recent refresh failed; its cause in the message), client_mismatch, key_missing, locked,
  /// timeout, cancelled, and what a refresh itself met.
  [[nodiscard]] Result<std::shared_ptr<const OAuthSession>> fresh(std::string_view subject,
                                                                  const FreshOptions& options = {});
  /// True from when a refresh begins here until its session is saved or it has failed.
  [[nodiscard]] bool is_refreshing(std::string_view subject) const;
  /// A renewed session that could not be saved yet; null if there is none. It is retried in the
  /// background.
  [[nodiscard]] std::shared_ptr<const OAuthSession> unsaved(std::string_view subject) const;

  /// Saves a new login in place of whatever was there, durable when it returns; a replaced session
  /// is revoked, one that was being logged out is revoked first or kept beside. The revision is
  /// drawn here. On an error the new tokens have been revoked, as far as the server could be
  /// reached.
  [[nodiscard]] Result<std::shared_ptr<const OAuthSession>> save_login(
      OAuthSession session, const LoginOptions& options = {});
  /// Ends a session here and at the server (RFC 7009). Errors: locked, cancelled, and the store's.
  [[nodiscard]] Result<LogoutOutcome> logout(std::string_view subject,
                                             const LogoutOptions& options = {});

  /// Asks anew where the subject's resource server is, and saves that; true if it is another one
  /// than the session had. For calls whose answer hints at a move; asks nobody, and says false,
  /// for a minute after it last asked, and while a refresh is unsaved or its outcome unknown: the
  /// stored session tells whether somebody else has found a move.
  /// Errors: those of SessionProfile::confirm ("issuer.not_authoritative": log in again; the
  /// session is kept), locked, cancelled, login_required, session_dead, and the store's.
  [[nodiscard]] Result<bool> relocate(std::string_view subject, const LoginOptions& options = {});

  /// Waits until no refresh is under way, nothing is unsaved and all events were told; false if the
  /// time was over first. For programs that are about to end; not from a SessionListener.
  [[nodiscard]] bool settle(std::chrono::milliseconds timeout);
  [[nodiscard]] const SessionContext& context() const noexcept;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace latchkey
