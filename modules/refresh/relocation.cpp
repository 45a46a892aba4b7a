// SPDX-License-Identifier: MIT
module;
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
module latchkey.refresh.relocation;
import latchkey.core.error;
import latchkey.refresh.context;
import latchkey.refresh.run;
import latchkey.session;
import latchkey.store;

namespace latchkey {

Result<bool> relocate_session(const SessionContext& context, std::string_view subject,
                              std::stop_token stop) {
  if (!context.profile.confirm) return false;
  auto stored = context.store->load(subject);
  if (!stored) return std::move(stored).error();
  if (!stored->has_value()) return absent_session_error(subject);
  OAuthSession session = std::move(**stored);
  if (session.state != SessionState::active) return unusable_session_error(session);
  auto claim = context.store->load_claim(subject);
  if (!claim) return std::move(claim).error();
  if (claim->has_value() && (*claim)->revision == session.revision) return false;

  auto resource_server = context.profile.confirm(session, std::move(stop));
  if (!resource_server) return std::move(resource_server).error();
  if (resource_server->empty() || *resource_server == session.resource_server) return false;
  session.resource_server = *std::move(resource_server);
  const Revision before = std::exchange(session.revision, draw_revision(*context.random));
  if (auto saved = context.store->save(session, before); !saved) return std::move(saved).error();
  return true;
}

}  // namespace latchkey
