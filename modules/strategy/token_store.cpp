// SPDX-License-Identifier: MIT
module;
#include <memory>
#include <optional>
#include <utility>
module latchkey.strategy.token_store;
import latchkey.core.error;
import latchkey.core.os.locks;
import latchkey.session;
import latchkey.session.json;
import latchkey.store;

namespace latchkey {

TokenStore::~TokenStore() = default;

Result<std::unique_ptr<Lease>> TokenStore::lease(const LockWait&) {
  return std::unique_ptr<Lease>();
}

Result<std::optional<OAuthSession>> TokenStoreFn::load() {
  auto text = load_();
  if (!text) return std::move(text).error();
  if (!text->has_value()) return std::nullopt;
  auto session = session_from_json(**text);
  if (!session) return std::move(session).error();
  return std::optional(*std::move(session));
}

Result<void> TokenStoreFn::save(const OAuthSession& session, Revision) {
  auto text = session_to_json(session);
  if (!text) return std::move(text).error();
  return save_(*text);
}

Result<std::optional<OAuthSession>> SessionTokenStore::load() {
  return store_->load(subject_);
}

Result<void> SessionTokenStore::save(const OAuthSession& session, Revision expected) {
  OAuthSession ours = session.clone();
  ours.subject = subject_;
  return store_->save(ours, expected);
}

Result<std::unique_ptr<Lease>> SessionTokenStore::lease(const LockWait& wait) {
  return store_->lease(subject_, wait);
}

}  // namespace latchkey
