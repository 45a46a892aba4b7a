// SPDX-License-Identifier: MIT
module;
#include <optional>
module latchkey.refresh.saving;
import latchkey.core.error;
import latchkey.session;
import latchkey.store;

namespace latchkey {

Result<void> save_firmly(OAuthTokenStore& store, const OAuthSession& session, Revision expected) {
  auto saved = store.save(session, expected);
  if (saved || saved.error().code == ErrorCode::conflict) return saved;
  return store.save(session, expected) ? Result<void>{} : saved;
}

Result<std::optional<RefreshClaim>> counting_claim(OAuthTokenStore& store,
                                                   const SessionSummary& session) {
  auto claim = store.load_claim(session.subject);
  if (claim && *claim && (*claim)->revision != session.revision) claim->reset();
  return claim;
}

}  // namespace latchkey
