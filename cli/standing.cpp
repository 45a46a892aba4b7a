// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
module latchkey.cli.standing;
import latchkey.atproto.lifetime;
import latchkey.cli.profile;
import latchkey.cli.report;
import latchkey.core.encoding;
import latchkey.core.time;
import latchkey.oauth.client_metadata;
import latchkey.refresh.moving;
import latchkey.session;

namespace latchkey::cli {
namespace {

StandingKind kind_of(const SessionSummary& session) {
  if (!check_profile_name(original_subject(session.subject))) return StandingKind::atproto;
  return session.token_endpoint.empty() ? StandingKind::api_key : StandingKind::profile;
}

// A plain login would be of another client. Its document is at the client_id.
std::string client_options(const SessionSummary& session) {
  if (session.client_id.empty() || parse_loopback_client_id(session.client_id)) return {};
  const bool has_keys = session.client_auth_method == ClientAuthMethod::private_key_jwt;
  return " --client-metadata " + printable(session.client_id, 200) +
         (has_keys ? " --client-keys FILE" : "");
}

std::string login_command(const Standing& standing, const SessionSummary& session) {
  switch (standing.kind) {
    case StandingKind::atproto:
      return "latchkey login " +
             printable(session.handle.empty() ? session.subject : session.handle, 200) +
             client_options(session);
    case StandingKind::api_key:
      return "latchkey login --profile " + standing.subject + " --api-key-file FILE";
    case StandingKind::profile:
      break;
  }
  return "latchkey login --profile " + standing.subject;
}

// Until when something renews it, as far as one can tell.
std::optional<TimePoint> renewable_until(const Standing& standing, const OAuthSession& session) {
  const auto guess =
      standing.kind == StandingKind::atproto ? likely_end(session) : std::optional<TimePoint>();
  return guess ? guess : session.refresh_expires_at;
}

// When a person is needed, in words. A guess that was wrong is no reason for alarm.
std::string need_of_a_person(const Standing& standing, const OAuthSession& session, TimePoint now) {
  if (!standing.login_needed_at) return standing.renewable ? ", renewed by itself" : "";
  if (*standing.login_needed_at <= now) return ", a login may be needed any time";
  std::string text = ", login needed " + relative_time(standing.login_needed_at, now);
  if (standing.kind == StandingKind::atproto && ends_soon(session, now))
    text += ": run " + login_command(standing, session);
  return text;
}

// An active session: until when is it good without a person?
void judge_active(Standing& standing, const OAuthSession& session, TimePoint now) {
  standing.login_needed_at =
      standing.renewable ? renewable_until(standing, session) : session.expires_at;
  const std::string remedy = ": run " + login_command(standing, session);
  if (standing.renewable && session.refresh_expired(now)) {
    standing.state = StandingState::login_needed;
    standing.text = "what would renew it has expired" + remedy;
  } else if (!standing.renewable && session.is_expired(now)) {
    standing.state = StandingState::login_needed;
    standing.text = "the token has expired, and nothing renews it" + remedy;
  } else if (standing.kind == StandingKind::api_key) {
    standing.text = "API key";
  } else {
    standing.text = token_text(session, now) + need_of_a_person(standing, session, now);
  }
}

}  // namespace

std::string_view to_string(StandingState state) noexcept {
  switch (state) {
    case StandingState::ready:
      return "ready";
    case StandingState::login_needed:
      return "login_needed";
    case StandingState::revoking:
      return "revoking";
    case StandingState::moving:
      return "moving";
    case StandingState::not_logged_in:
      break;
  }
  return "not_logged_in";
}

std::string_view to_string(StandingKind kind) noexcept {
  switch (kind) {
    case StandingKind::atproto:
      return "atproto";
    case StandingKind::profile:
      return "profile";
    case StandingKind::api_key:
      break;
  }
  return "api_key";
}

Standing standing_of(const OAuthSession& session, TimePoint now) {
  Standing standing{.subject = session.subject,
                    .kind = kind_of(session),
                    .renewable = session.refresh_token.has_value(),
                    .bound = !session.dpop_jkt.empty(),
                    .text = {}};
  switch (session.state) {
    case SessionState::active:
      judge_active(standing, session, now);
      break;
    case SessionState::dead:
      standing.state =
          is_being_moved(session) ? StandingState::moving : StandingState::login_needed;
      standing.text = token_text(session, now) + ": run " +
                      (is_being_moved(session) ? "latchkey store migrate again if it was cut off"
                                               : login_command(standing, session));
      break;
    case SessionState::revoking:
      standing.state = StandingState::revoking;
      standing.text = token_text(session, now) + ": run latchkey logout again";
      break;
  }
  return standing;
}

Standing standing_of(const std::string& name, const Profile& profile) {
  Standing standing{
      .subject = name,
      .kind = profile.kind == ProfileKind::api_key ? StandingKind::api_key : StandingKind::profile,
      .state = StandingState::not_logged_in,
      .text = {}};
  SessionSummary nobody;
  standing.text = "not logged in: run " + login_command(standing, nobody);
  return standing;
}

}  // namespace latchkey::cli
