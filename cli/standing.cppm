// SPDX-License-Identifier: MIT
module;
#include <optional>
#include <string>
#include <string_view>
export module latchkey.cli.standing;
import latchkey.cli.profile;
import latchkey.core.time;
import latchkey.session;

// What a stored session is still good for, as `latchkey status` tells it.

export namespace latchkey::cli {

enum class StandingState {
  ready,          ///< can be used, renewed first if that is due
  login_needed,   ///< over, or about to be and nothing to renew it with
  revoking,       ///< logged out here, and the server is to be told yet
  moving,         ///< on its way to another store
  not_logged_in,  ///< a profile that was configured and never logged in
};
[[nodiscard]] std::string_view to_string(StandingState state) noexcept;

enum class StandingKind { atproto, profile, api_key };
[[nodiscard]] std::string_view to_string(StandingKind kind) noexcept;

struct Standing {
  std::string subject;
  StandingKind kind = StandingKind::atproto;
  StandingState state = StandingState::ready;
  bool renewable = false;  ///< there is a refresh token
  bool bound = false;      ///< the token is of no use without its key
  std::string text;        ///< in words, with the remedy
  /// When a person is needed again; empty: unknown, or never as far as we are told.
  std::optional<TimePoint> login_needed_at{};
};

[[nodiscard]] Standing standing_of(const OAuthSession& session, TimePoint now);
/// Of a profile without a session.
[[nodiscard]] Standing standing_of(const std::string& name, const Profile& profile);

}  // namespace latchkey::cli
