// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
export module latchkey.session;
import latchkey.core.secret;
import latchkey.core.time;

// What a login is: whose it is, where it is valid, how to renew it, and until when. The non-secret
// part stands alone as SessionSummary, because stores keep it in clear and lists show it.

export namespace latchkey {

/// 64 random bits drawn for each session to be saved; compared for equality only. 0 is never drawn:
/// it means "none".
struct Revision {
  std::uint64_t value = 0;
  [[nodiscard]] bool operator==(const Revision&) const = default;
  [[nodiscard]] bool is_none() const noexcept { return value == 0; }
};

enum class SessionState {
  active,
  dead,      ///< a tombstone: ended, kept with its cause until the next login
  revoking,  ///< logged out here, revocation at the server not confirmed yet
};

/// How the client authenticates at the token endpoint (RFC 6749 §2.3, RFC 7523).
enum class ClientAuthMethod { none, client_secret_basic, client_secret_post, private_key_jwt };

/// Everything about a session that is not secret.
struct SessionSummary {
  std::string subject;  ///< the key: a DID for ATProto, "issuer|sub" for OIDC, a profile name
                        ///< otherwise; 1 to 2048 bytes
  std::string issuer;
  std::string resource_server;  ///< PDS URL for ATProto; empty: none
  std::string token_endpoint;
  std::string revocation_endpoint;  ///< empty: none
  std::string par_endpoint;         ///< empty: none
  std::string client_id;
  ClientAuthMethod client_auth_method = ClientAuthMethod::none;
  std::string client_auth_kid;  ///< empty: none
  std::string redirect_uri;
  std::string scope;       ///< granted
  std::string token_type;  ///< "DPoP" or "Bearer"
  std::string dpop_jkt;    ///< RFC 7638 thumbprint of the session's key; empty for Bearer
  std::string handle;      ///< for display only
  TimePoint issued_at{};
  std::optional<TimePoint> expires_at{};  ///< absent: unknown, the server's 401 decides
  std::optional<TimePoint> refresh_expires_at{};
  TimePoint session_started_at{};
  std::uint64_t login_id = 0;  ///< drawn at login, kept through all refreshes
  Revision revision{};
  SessionState state = SessionState::active;
  std::string state_cause;  ///< detail of the error that ended it
  std::optional<TimePoint> state_changed_at{};

  [[nodiscard]] bool operator==(const SessionSummary&) const = default;

  // Each helper takes `now`. A malformed time counts as expired in all of them; a missing one is
  // unknown: not expired, no need to refresh, empty duration.

  /// now >= expires_at.
  [[nodiscard]] bool is_expired(TimePoint now) const;
  /// What is left, never negative; empty if unknown.
  [[nodiscard]] std::optional<Duration> time_until_expiry(TimePoint now) const;
  /// Remaining time <= threshold. A negative threshold means: only that long after the expiry.
  [[nodiscard]] bool needs_refresh(TimePoint now,
                                   Duration threshold = std::chrono::seconds{60}) const;
  /// now >= refresh_expires_at.
  [[nodiscard]] bool refresh_expired(TimePoint now) const;
};

/// A session with its tokens. Move-only; clone() where a copy is really meant.
struct OAuthSession : SessionSummary {
  SecretString access_token;
  std::optional<SecretString> refresh_token;
  std::optional<SecretString> id_token;

  [[nodiscard]] OAuthSession clone() const;
};

[[nodiscard]] std::string_view to_string(SessionState state) noexcept;
[[nodiscard]] std::string_view to_string(ClientAuthMethod method) noexcept;
[[nodiscard]] std::optional<SessionState> session_state_from(std::string_view text) noexcept;
[[nodiscard]] std::optional<ClientAuthMethod> client_auth_method_from(
    std::string_view text) noexcept;

/// A short, stable, non-secret name for an access token (first 16 characters of
/// base64url(SHA-256)): what `rejected` means in SessionKeeper::fresh.
[[nodiscard]] std::string token_fingerprint(const SecretString& token);

}  // namespace latchkey
