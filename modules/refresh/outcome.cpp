// SPDX-License-Identifier: MIT
module;
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
module latchkey.refresh.outcome;
import latchkey.core.error;
import latchkey.core.secret;
import latchkey.core.time;
import latchkey.refresh.context;
import latchkey.refresh.keeper;
import latchkey.refresh.run;
import latchkey.session;
import latchkey.store;

namespace latchkey {

Result<RefreshResult> refresh_if_needed(SessionKeeper& keeper, std::string_view subject,
                                        Duration threshold, const FreshOptions& options) {
  const SessionContext& context = keeper.context();
  auto stored = context.store->load(subject);
  if (!stored) return std::move(stored).error();
  if (!stored->has_value()) return absent_session_error(subject);
  if ((*stored)->state != SessionState::active) return unusable_session_error(**stored);
  auto session = std::make_shared<const OAuthSession>(std::move(**stored));

  FreshOptions forced = options;
  forced.rejected = token_fingerprint(session->access_token);
  const bool refused = forced.rejected == options.rejected;
  if (!refused && !session->needs_refresh(context.clock->now(), threshold)) {
    return RefreshResult{RefreshOutcome::not_needed, std::move(session)};
  }
  if (!session->refresh_token || session->refresh_token->empty()) {
    return RefreshResult{RefreshOutcome::no_refresh_token, std::move(session)};
  }
  auto renewed = keeper.fresh(subject, forced);
  if (!renewed) return std::move(renewed).error();
  return RefreshResult{RefreshOutcome::refreshed, *std::move(renewed)};
}

bool refuses_token(const Error& error) noexcept {
  if (error.http_status != 401) return false;
  return error.code == ErrorCode::token_invalid ||
         (error.oauth && error.oauth->error == "invalid_token");
}

}  // namespace latchkey
