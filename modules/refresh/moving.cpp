// SPDX-License-Identifier: MIT
module;
#include <string>
module latchkey.refresh.moving;
import latchkey.core.crypto;
import latchkey.core.time;
import latchkey.refresh.context;
import latchkey.session;

namespace latchkey {

bool is_being_moved(const SessionSummary& session) noexcept {
  return session.state == SessionState::dead && session.state_cause == kMovingCause;
}

OAuthSession as_moving(const OAuthSession& session, TimePoint now, Random& random) {
  OAuthSession moving = session.clone();
  moving.state = SessionState::dead;
  moving.state_cause = kMovingCause;
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

}  // namespace latchkey
