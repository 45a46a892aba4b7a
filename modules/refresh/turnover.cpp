// SPDX-License-Identifier: MIT
module;
#include <array>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
module latchkey.refresh.turnover;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.secret;
import latchkey.core.time;
import latchkey.refresh.context;
import latchkey.session;
import latchkey.store;

namespace latchkey {
namespace {

// Keys of sessions that are over are of no use to anybody; a key that can't be removed does no harm.
void drop_key(const SessionContext& context, const SessionSummary& session, std::string_view kept_jkt) {
  if (session.dpop_jkt.empty() || session.dpop_jkt == kept_jkt) return;
  static_cast<void>(context.provers->remove(session.dpop_jkt).has_value());
}

// A logout that the server has not confirmed must not get lost because somebody logs in again: it moves to a subject of
// its own, where lists show it and a later run can finish it.
Result<void> keep_beside(const SessionContext& context, const OAuthSession& revoking) {
  OAuthSession beside = revoking.clone();
  std::array<unsigned char, 8> id{};
  for (std::size_t i = 0; i < id.size(); ++i) id[i] = static_cast<unsigned char>(revoking.login_id >> (8 * i));
  beside.subject = "revoking|" + hex_encode(id) + "|" + revoking.subject;
  if (beside.subject.size() > 2048) beside.subject.resize(2048);
  beside.revision = draw_revision(*context.random);
  auto saved = context.store->save(beside, Revision{});
  if (!saved && saved.error().code == ErrorCode::conflict) return {};  // kept by an earlier attempt
  return saved;
}

// The summary is enough to end what it names only with tokens; a tombstone has none.
bool has_tokens(const OAuthSession& session) { return session.refresh_token || !session.access_token.empty(); }

}  // namespace

Result<std::shared_ptr<const OAuthSession>> put_login(const SessionContext& context, OAuthSession session) {
  auto stored = context.store->load(session.subject);
  if (!stored) return std::move(stored).error();
  bool old_is_over = true;
  if (stored->has_value() && (*stored)->state == SessionState::revoking) {
    old_is_over = revoke_session(context, **stored).has_value();
    if (!old_is_over) {
      if (auto kept = keep_beside(context, **stored); !kept) return std::move(kept).error();
    }
  }
  const Revision expected = stored->has_value() ? (*stored)->revision : Revision{};
  session.revision = draw_revision(*context.random);
  auto saved = std::make_shared<const OAuthSession>(std::move(session));
  if (auto done = context.store->save(*saved, expected); !done) return std::move(done).error();

  if (!stored->has_value()) return saved;
  const OAuthSession& old = **stored;
  if (old.state == SessionState::active && has_tokens(old)) {
    static_cast<void>(revoke_session(context, old).has_value());  // the new login stands whatever becomes of the old one
  }
  if (old_is_over) drop_key(context, old, saved->dpop_jkt);
  return saved;
}

namespace {

// The record between "logged out here" and "the server knows": nothing in it can be used, all of it can be revoked.
Result<OAuthSession> mark_revoking(const SessionContext& context, OAuthSession session) {
  if (session.state == SessionState::revoking) return session;
  const Revision expected = session.revision;
  session.state = SessionState::revoking;
  session.state_cause = "session.logged_out";
  session.state_changed_at = context.clock->now();
  // Without a refresh token the access token is what can be revoked.
  if (session.refresh_token) session.access_token = SecretString{};
  session.id_token.reset();
  session.revision = draw_revision(*context.random);
  if (auto saved = context.store->save(session, expected); !saved) return std::move(saved).error();
  return session;
}

Result<EndedAs> erase(const SessionContext& context, const OAuthSession& session, EndedAs outcome) {
  if (auto removed = context.store->remove(session.subject, session.revision); !removed) {
    return std::move(removed).error();
  }
  drop_key(context, session, {});
  return outcome;
}

}  // namespace

Result<EndedAs> end_session(const SessionContext& context, std::string_view subject, WhenUnreachable unreachable) {
  auto stored = context.store->load(subject);
  if (!stored) return std::move(stored).error();
  if (!stored->has_value()) return EndedAs::not_logged_in;
  if ((*stored)->state == SessionState::dead || !has_tokens(**stored)) {
    return erase(context, **stored, EndedAs::not_logged_in);
  }
  auto session = mark_revoking(context, std::move(**stored));
  if (!session) return std::move(session).error();
  if (session->revocation_endpoint.empty()) return erase(context, *session, EndedAs::forgotten);
  if (revoke_session(context, *session)) return erase(context, *session, EndedAs::revoked);
  if (unreachable == WhenUnreachable::erase_at_once) return erase(context, *session, EndedAs::forgotten);
  return EndedAs::pending;
}

}  // namespace latchkey
