// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <cstddef>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
export module latchkey.sandbox.app_sessions;
import latchkey.core.crypto;
import latchkey.core.error;
import latchkey.core.time;
import latchkey.sandbox.accounts;
import latchkey.sandbox.message;
import latchkey.sandbox.tokens;

// The sessions of app passwords: com.atproto.server.createSession, refreshSession and
// deleteSession. Stricter than a real PDS: a refresh token is good once, without any grace, and
// using one twice ends the session. In memory only.

export namespace latchkey::sandbox {

/// Not thread-safe. Holds what it is given by reference.
class AppSessions {
 public:
  AppSessions(std::string origin, const Clock& clock, Random& random, const Accounts& accounts)
      : origin_(std::move(origin)), clock_(clock), random_(random), accounts_(accounts) {}

  /// Draws an app password, like "abcd-efgh-ijkl-mnop", for an account that is here.
  [[nodiscard]] std::string add_password(std::string_view did);
  /// All app passwords of the account, and their sessions, are over.
  void revoke_passwords(std::string_view did);
  void set_access_lifetime(std::chrono::seconds lifetime) { access_lifetime_ = lifetime; }

  /// The answer to one of the three procedures; nothing for any other. Refusals, with the names
  /// of the reference PDS: "app_session.input", "app_session.refused", "app_session.missing",
  /// "app_session.wrong_token", "app_session.replayed", "app_session.ended", "app_session.expired".
  [[nodiscard]] std::optional<Result<Response>> procedure(std::string_view nsid,
                                                          const Request& request);
  /// What an access token permits; nothing if it is none of ours. Errors, as of refusal:
  /// "app_session.expired", "app_session.ended".
  [[nodiscard]] std::optional<Result<Grant>> find_access(std::string_view token) const;

 private:
  struct Session {
    std::string did;
    std::string refresh;  // the current token
    TimePoint refresh_expires{};
    bool alive = true;
  };
  using SessionId = std::size_t;
  struct Access {
    SessionId session = 0;
    TimePoint expires{};
  };
  [[nodiscard]] Result<Response> create(const Request& request);
  [[nodiscard]] Result<Response> refresh(const Request& request);
  [[nodiscard]] Result<Response> remove(const Request& request);
  [[nodiscard]] Result<SessionId> presented(const Request& request);
  [[nodiscard]] Response issue(SessionId id);
  [[nodiscard]] std::string draw_token(std::string_view scope, std::string_view did,
                                       TimePoint expires);

  const std::string origin_;
  const Clock& clock_;
  Random& random_;
  const Accounts& accounts_;
  std::chrono::seconds access_lifetime_ = std::chrono::hours{1};
  std::map<std::string, std::set<std::string>, std::less<>> passwords_;  // by DID
  std::map<SessionId, Session> sessions_;
  // Every token ever issued.
  std::unordered_map<std::string, Access> access_tokens_;
  std::unordered_map<std::string, SessionId> refresh_tokens_;
};

}  // namespace latchkey::sandbox
