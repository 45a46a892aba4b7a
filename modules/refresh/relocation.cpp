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
namespace {

// What is stored, unless a refresh of it has an unknown outcome.
Result<std::optional<OAuthSession>> load_settled(const SessionContext& context,
                                                 std::string_view subject) {
  auto stored = context.store->load(subject);
  if (!stored) return stored;
  if (!stored->has_value()) return absent_session_error(subject);
  if ((**stored).state != SessionState::active) return unusable_session_error(**stored);
  auto claim = context.store->load_claim(subject);
  if (!claim) return std::move(claim).error();
  if (claim->has_value() && (*claim)->revision == (**stored).revision) stored->reset();
  return stored;
}

Result<bool> save_moved(const SessionContext& context, OAuthSession session, Lease& lease) {
  if (!lease.still_held()) {
    return make_error(ErrorCode::locked, "lease.lost",
                      "cannot follow the account to its new server now: the lease ran out before "
                      "the save; try again");
  }
  const Revision before = std::exchange(session.revision, draw_revision(*context.random));
  // Whoever has the lease by now may have sent a refresh from the same record.
  const auto now = load_settled(context, session.subject);
  if (!now) return now.error();
  if (!now->has_value()) return false;
  if (auto saved = context.store->save(session, before); !saved) return std::move(saved).error();
  return true;
}

}  // namespace

Relocation relocate_session(const SessionContext& context, std::string_view subject, Lease& lease,
                            std::stop_token stop) {
  if (!context.profile.confirm) return {};
  auto settled = load_settled(context, subject);
  if (!settled) return {.moved = std::move(settled).error()};
  if (!settled->has_value()) return {};
  OAuthSession session = std::move(**settled);

  auto resource_server = context.profile.confirm(session, std::move(stop));
  if (!resource_server) return {.asked = true, .moved = std::move(resource_server).error()};
  if (resource_server->empty() || *resource_server == session.resource_server)
    return {.asked = true};
  session.resource_server = *std::move(resource_server);
  return {.asked = true, .moved = save_moved(context, std::move(session), lease)};
}

}  // namespace latchkey
