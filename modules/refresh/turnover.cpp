// SPDX-License-Identifier: MIT
module;
#include <array>
#include <chrono>
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
import latchkey.refresh.events;
import latchkey.refresh.moving;
import latchkey.refresh.run;
import latchkey.refresh.saving;
import latchkey.session;
import latchkey.store;

namespace latchkey {
namespace {

constexpr std::size_t kMaxSubject = 2048;
constexpr std::string_view kBeside = "revoking|";

// Keys of sessions that are over are of no use to anybody; a key that can't be removed does no
// harm.
void drop_key(const SessionContext& context, const SessionSummary& session,
              std::string_view kept_jkt) {
  if (session.dpop_jkt.empty() || session.dpop_jkt == kept_jkt) return;
  static_cast<void>(context.provers->remove(session.dpop_jkt).has_value());
}

// A tombstone has no tokens: there is nothing to revoke.
bool has_tokens(const OAuthSession& session) {
  return session.refresh_token || !session.access_token.empty();
}

// The session that a login replaces or a logout ends: the stored one, or the newer one that could
// not be saved over it.
Result<std::optional<OAuthSession>> newest(const SessionContext& context, std::string_view subject,
                                           const UnsavedSession* unsaved) {
  auto stored = context.store->load(subject);
  if (!stored || unsaved == nullptr) return stored;
  if (stored->has_value() && (*stored)->revision == unsaved->expected) {
    OAuthSession renewed = unsaved->session->clone();
    renewed.revision = unsaved->expected;
    return std::optional<OAuthSession>(std::move(renewed));
  }
  // Somebody saved first: what could not be saved is ended, unless that would end the stored
  // session of its login too.
  if (!goes_on_as(*unsaved->session, *stored))
    static_cast<void>(revoke_session(context, *unsaved->session).has_value());
  return stored;
}

bool is_stored(const SessionContext& context, const OAuthSession& session) {
  const auto stored = context.store->load(session.subject);
  return stored && stored->has_value() && (*stored)->revision == session.revision;
}

// All or nothing: a login that is refused for its save must not leave its record, nor take the one
// before it away.
Result<void> save_whole(const SessionContext& context, const OAuthSession& session,
                        const std::optional<OAuthSession>& before) {
  auto saved = save_firmly(*context.store, session, before ? before->revision : Revision{});
  if (saved || !is_stored(context, session)) return saved;
  if (before) {
    OAuthSession back = before->clone();
    back.revision = draw_revision(*context.random);
    static_cast<void>(context.store->save(back, session.revision).has_value());
  } else {
    static_cast<void>(context.store->remove(session.subject, session.revision).has_value());
  }
  return saved;
}

struct Told {
  enum class Outcome {
    confirmed,
    not_yet,
    hopeless,  // nobody will ever be able to
  } outcome{};
  std::optional<Error> error{};
};

Told tell_server(const SessionContext& context, const OAuthSession& session) {
  using enum Told::Outcome;
  if (session.revocation_endpoint.empty()) return {.outcome = hopeless};
  const auto revoked = revoke_session(context, session);
  if (revoked) return {.outcome = confirmed};
  const bool marked = session.state == SessionState::revoking && session.state_changed_at;
  const bool old = marked && context.clock->now() - *session.state_changed_at >= kLongestRevoking;
  const bool keyless = revoked.error().code == ErrorCode::key_missing;
  return {.outcome = old || keyless ? hopeless : not_yet, .error = revoked.error()};
}

void announce_end(const SessionContext& context, SessionEventCause cause,
                  const SessionSummary& session, std::optional<Error> error = std::nullopt) {
  announce(
      context,
      {.cause = cause, .subject = session.subject, .session = session, .error = std::move(error)});
}

// A logout that the server has not confirmed must not get lost because somebody logs in again: it
// moves to a subject of its own, where lists show it and a later run can finish it.
Result<void> keep_beside(const SessionContext& context, const OAuthSession& revoking) {
  OAuthSession beside = revoking.clone();
  std::array<unsigned char, 8> id{};
  for (std::size_t i = 0; i < id.size(); ++i)
    id[i] = static_cast<unsigned char>(revoking.login_id >> (8 * i));
  beside.subject = std::string(kBeside) + hex_encode(id);
  // The login id tells it apart; the subject is for those who read the list.
  if (beside.subject.size() + 1 + revoking.subject.size() <= kMaxSubject)
    beside.subject += "|" + revoking.subject;
  beside.revision = draw_revision(*context.random);
  auto saved = save_firmly(*context.store, beside, Revision{});
  if (!saved && saved.error().code == ErrorCode::conflict) return {};  // kept by an earlier attempt
  return saved;
}

// Nothing in it can be used, all of it can be revoked.
OAuthSession as_revoking(const SessionContext& context, const OAuthSession& session,
                         std::string_view cause) {
  OAuthSession marked = session.clone();
  marked.state = SessionState::revoking;
  marked.state_cause = cause;
  marked.state_changed_at = context.clock->now();
  // Without a refresh token the access token is what can be revoked.
  if (marked.refresh_token) marked.access_token = SecretString{};
  marked.id_token.reset();
  marked.revision = draw_revision(*context.random);
  return marked;
}

// The new login stands whatever becomes of the old one. True if that is over: what can't be ended
// now is kept beside, unless the disk refuses that too.
bool end_replaced(const SessionContext& context, const OAuthSession& old) {
  if (!has_tokens(old) || !context.profile.revokes_replaced) return true;
  if (tell_server(context, old).outcome != Told::Outcome::not_yet) return true;
  return !keep_beside(context, as_revoking(context, old, "session.replaced"));
}

}  // namespace

Result<std::shared_ptr<const OAuthSession>> put_login(const SessionContext& context,
                                                      OAuthSession session,
                                                      const UnsavedSession* unsaved) {
  auto found = newest(context, session.subject, unsaved);
  if (!found) return std::move(found).error();
  const std::optional<OAuthSession>& old = *found;
  bool old_is_over = true;
  if (old && old->state == SessionState::revoking && has_tokens(*old)) {
    old_is_over = tell_server(context, *old).outcome != Told::Outcome::not_yet;
    if (!old_is_over) {
      if (auto kept = keep_beside(context, *old); !kept) return std::move(kept).error();
    }
  }
  session.revision = draw_revision(*context.random);
  auto saved = std::make_shared<const OAuthSession>(std::move(session));
  if (auto done = save_whole(context, *saved, old); !done) return std::move(done).error();

  const bool replaces = old && old->state == SessionState::active;
  if (replaces) announce_end(context, SessionEventCause::replaced, *old);
  announce(context,
           {.cause = SessionEventCause::logged_in, .subject = saved->subject, .session = *saved});
  if (!old) return saved;
  if (replaces) old_is_over = end_replaced(context, *old);
  if (old_is_over) drop_key(context, *old, saved->dpop_jkt);
  return saved;
}

namespace {

// The record between "logged out here" and "the server knows".
Result<void> mark_revoking(const SessionContext& context, OAuthSession& session) {
  if (session.state == SessionState::revoking) return {};
  OAuthSession marked = as_revoking(context, session, "session.logged_out");
  auto saved = save_firmly(*context.store, marked, session.revision);
  if (!saved && !is_stored(context, marked)) return saved;
  session = std::move(marked);
  return {};
}

// Whether the login that replaced a session kept beside is bound to the same key, as those of one
// device are. What can't be read may be.
bool shares_key(const SessionContext& context, const OAuthSession& session) {
  constexpr std::size_t kLoginId = 16;
  constexpr std::size_t kName = kBeside.size() + kLoginId + 1;
  if (!session.subject.starts_with(kBeside) || session.subject.size() <= kName) return false;
  const auto current = context.store->load(session.subject.substr(kName));
  if (!current) return true;
  return current->has_value() && (*current)->dpop_jkt == session.dpop_jkt;
}

Result<EndedAs> erase(const SessionContext& context, const OAuthSession& session, EndedAs outcome) {
  auto removed = context.store->remove(session.subject, session.revision);
  if (!removed && removed.error().code != ErrorCode::conflict) {
    removed = context.store->remove(session.subject, session.revision);
  }
  if (!removed) return std::move(removed).error();
  if (!shares_key(context, session)) drop_key(context, session, {});
  return outcome;
}

}  // namespace

EndOfSession end_session(const SessionContext& context, std::string_view subject,
                         WhenUnreachable unreachable, const UnsavedSession* unsaved) {
  auto found = newest(context, subject, unsaved);
  if (!found) return {.outcome = std::move(found).error(), .settled = false};
  if (!found->has_value()) return {.outcome = EndedAs::not_logged_in, .settled = true};
  OAuthSession session = std::move(**found);
  // Its usable copy may be elsewhere by now: who logs out here must not believe that it is over.
  if (is_being_moved(session)) return {.outcome = unusable_session_error(session)};
  if (session.state == SessionState::dead || !has_tokens(session)) {
    return {.outcome = erase(context, session, EndedAs::not_logged_in), .settled = true};
  }
  const bool was_active = session.state == SessionState::active;
  // A disk that takes no record is no reason not to log out, if the server can be told at once.
  const auto marked = mark_revoking(context, session);
  if (!marked && marked.error().code == ErrorCode::conflict)
    return {.outcome = marked.error(), .settled = false};
  const Told told = tell_server(context, session);
  const bool confirmed = told.outcome == Told::Outcome::confirmed;
  const bool forgotten = !confirmed && (told.outcome == Told::Outcome::hopeless ||
                                        unreachable == WhenUnreachable::erase_at_once);
  if (!marked && !confirmed && !forgotten) return {.outcome = marked.error(), .settled = false};
  EndOfSession end{.outcome = EndedAs::pending, .settled = true};
  if (confirmed || forgotten) {
    end.outcome = erase(context, session, confirmed ? EndedAs::revoked : EndedAs::forgotten);
  }
  if (was_active && (marked || end.outcome)) {
    announce_end(context, SessionEventCause::logged_out, session);
  }
  if (!confirmed && end.outcome) {
    announce_end(context, SessionEventCause::logout_unconfirmed, session, told.error);
  }
  return end;
}

}  // namespace latchkey
