// SPDX-License-Identifier: MIT
module;
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
module latchkey.refresh.moving;
import latchkey.core.crypto;
import latchkey.core.encoding;
import latchkey.core.time;
import latchkey.refresh.context;
import latchkey.session;

namespace latchkey {
namespace {

constexpr char kSeparator = '|';

// What can't be written as it is stays one name of one target by its hash.
std::string target_name(std::string_view target) {
  constexpr std::size_t kHash = 16, kCut = 4;  // "..." and "#"
  std::string name = printable(target, kMaxTargetName);
  if (name == target) return name;
  return printable(target, kMaxTargetName - kHash - kCut) + "#" +
         sha256_base64url(target).substr(0, kHash);
}

std::string moving_cause(std::string_view target) {
  std::string cause(kMovingCause);
  return target.empty() ? cause : cause + kSeparator + target_name(target);
}

}  // namespace

bool is_being_moved(const SessionSummary& session) noexcept {
  const std::string_view cause = session.state_cause;
  return session.state == SessionState::dead && cause.starts_with(kMovingCause) &&
         (cause.size() == kMovingCause.size() || cause[kMovingCause.size()] == kSeparator);
}

std::string_view moving_target(const SessionSummary& session) noexcept {
  std::string_view cause = session.state_cause;
  if (!is_being_moved(session) || cause.size() == kMovingCause.size()) return {};
  cause.remove_prefix(kMovingCause.size() + 1);
  return cause;
}

bool is_being_moved_to(const SessionSummary& session, std::string_view target) {
  return is_being_moved(session) && session.state_cause == moving_cause(target);
}

OAuthSession as_moving(const OAuthSession& session, TimePoint now, Random& random,
                       std::string_view target) {
  OAuthSession moving = session.clone();
  moving.state = SessionState::dead;
  moving.state_cause = moving_cause(target);
  moving.state_changed_at = now;
  moving.revision = draw_revision(random);
  return moving;
}

OAuthSession as_arrived(const OAuthSession& moving) {
  OAuthSession session = moving.clone();
  session.state = SessionState::active;
  session.state_cause.clear();
  session.state_changed_at.reset();
  return session;
}

bool goes_on_as(const OAuthSession& ours, const std::optional<OAuthSession>& stored) {
  return stored && stored->login_id == ours.login_id &&
         (stored->state == SessionState::active || is_being_moved(*stored));
}

}  // namespace latchkey
