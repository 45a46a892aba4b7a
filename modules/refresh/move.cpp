// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <chrono>
#include <compare>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
module latchkey.refresh.move;
import latchkey.core.crypto;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.secret;
import latchkey.core.time;
import latchkey.refresh.context;
import latchkey.refresh.moving;
import latchkey.refresh.run;
import latchkey.refresh.saving;
import latchkey.session;
import latchkey.store;
import latchkey.store.vault;

namespace latchkey {
namespace {

constexpr std::string_view kSource = "source", kTarget = "target";

TimePoint last_change(const SessionSummary& session) {
  return std::max(session.issued_at, session.state_changed_at.value_or(session.issued_at));
}

// Who has logged out does not come back; and what one store believes to have ended may go on in the
// other.
int weight(SessionState state) {
  switch (state) {
    case SessionState::revoking:
      return 2;
    case SessionState::active:
      return 1;
    case SessionState::dead:
      break;
  }
  return 0;
}

bool same_tokens(const OAuthSession& one, const OAuthSession& other) {
  return one.access_token == other.access_token && one.refresh_token == other.refresh_token &&
         one.id_token == other.id_token;
}

bool is_same(const OAuthSession& one, const OAuthSession& other) {
  return static_cast<const SessionSummary&>(one) == other && same_tokens(one, other);
}

// Of a source that is on its way: whether the target's is what became of it, rather than what was
// there before. Who has logged out there does not come back in any case.
bool is_sequel(const OAuthSession& target, const OAuthSession& source) {
  if (same_tokens(target, source)) return true;
  switch (target.state) {
    case SessionState::revoking:
      return true;
    case SessionState::active:
      return target.issued_at > source.issued_at;
    case SessionState::dead:
      break;
  }
  return target.state_changed_at > source.state_changed_at;
}

// What the target gets: a record on its way becomes usable there.
OAuthSession arriving(const OAuthSession& source) {
  return is_being_moved(source) ? as_arrived(source) : source.clone();
}

Error refusal(MoveVerdict verdict, std::string_view subject) {
  const std::string cannot = "cannot move the session of " + printable(subject, 100) + ": ";
  switch (verdict) {
    case MoveVerdict::other_login:
      return make_error(ErrorCode::conflict, "migration.other_login",
                        cannot +
                            "there has been another login of it at the target; log out of one of "
                            "the two, and run the migration again");
    case MoveVerdict::target_leaving:
      return make_error(ErrorCode::locked, "migration.target_leaving",
                        cannot +
                            "the target's is on its way elsewhere by a migration that was cut off; "
                            "run that one again first");
    default:
      return make_error(ErrorCode::conflict, "migration.unclear",
                        cannot +
                            "both stores have it with different tokens, and neither is the newer; "
                            "log out at one of the two, and run the migration again");
  }
}

Error key_missing(std::string_view jkt) {
  return make_error(ErrorCode::key_missing, "vault.key_missing",
                    "the key " + printable(jkt, 64) +
                        " is in neither store's vault: without it the session is of no use; log "
                        "in again");
}

// Its answer may come yet, or its new tokens may be lost: what is stored is in doubt until a
// refresh has told. Moved, the session could neither take the answer nor know of the doubt.
Result<void> check_no_refresh(OAuthTokenStore& store, const SessionSummary& session,
                              std::string_view where) {
  const auto claim = counting_claim(store, session);
  if (!claim) return claim.error();
  if (!*claim) return {};
  return make_error(ErrorCode::locked, "migration.refresh_unfinished",
                    "cannot move the session of " + printable(session.subject, 100) +
                        ": a refresh of it at the " + std::string(where) +
                        " is under way or was cut off; let it be refreshed once there "
                        "(latchkey refresh), then run the migration again");
}

// Its copy may be in use there: it must not get a second one, nor become usable here.
Result<void> check_target(const SessionSummary& source, std::string_view target) {
  if (!is_being_moved(source) || is_being_moved_to(source, target)) return {};
  const std::string_view begun = moving_target(source);
  return make_error(
      ErrorCode::conflict, "migration.other_target",
      "cannot move the session of " + printable(source.subject, 100) + ": it is on its way to " +
          (begun.empty() ? "a store without a name" : printable(begun, kMaxTargetName)) +
          " by a migration that was cut off; run that one again, and move it on from there");
}

Error differs(std::string_view subject) {
  return make_error(ErrorCode::corrupt, "migration.differs",
                    "the target does not give back what was saved of " + printable(subject, 100) +
                        ", and the source keeps it; check the target's store and vault");
}

Result<void> expect_key(KeyVault& vault, std::string_view jkt) {
  const auto key = vault.get(jkt);
  if (!key) return key.error();
  return *key ? Result<void>() : key_missing(jkt);
}

// A record that has ended needs its key no more; without it nothing is lost.
bool needs_key(const SessionSummary& session) {
  return session.state != SessionState::dead || is_being_moved(session);
}

class Move {
 public:
  Move(const MigrationPlace& from, const MigrationPlace& to, const MoveOptions& options)
      : from_(from), to_(to), options_(options) {}

  Result<MoveOutcome> run(std::string_view subject) {
    for (auto* place : {&from_, &to_}) {
      auto lease = place->store->lease(
          subject, {.deadline = options_.clock->steady_now() + options_.lease_patience,
                    .stop = options_.stop});
      if (!lease) return std::move(lease).error();
      (place == &from_ ? source_lease_ : target_lease_) = *std::move(lease);
    }
    auto found = from_.store->load(subject);
    if (!found) return std::move(found).error();
    if (!*found) return MoveOutcome::gone;
    source_ = std::move(**found);
    if (auto same = check_target(source_, options_.target); !same) return std::move(same).error();
    if (auto quiet = check_no_refresh(*from_.store, source_, kSource); !quiet)
      return std::move(quiet).error();
    auto target = to_.store->load(subject);
    if (!target) return std::move(target).error();
    target_ = *std::move(target);
    return carry_out(judge_move(source_, target_));
  }

 private:
  Result<MoveOutcome> carry_out(MoveVerdict verdict) {
    if (verdict == MoveVerdict::finish) return finish();
    if (verdict == MoveVerdict::copy) return copy();
    // Only then is it certain that the target's is not the copy, on its way further.
    if (verdict == MoveVerdict::other_login) put_back();
    return refusal(verdict, source_.subject);
  }

  Result<MoveOutcome> finish() {
    // Whoever put it there may not have come to the key.
    auto keyed = target_->dpop_jkt == source_.dpop_jkt
                     ? copy_key(*from_.vault, *to_.vault, source_.dpop_jkt)
                     : Result<void>();
    if (target_->revision == source_.revision) {
      if (auto done = settle_target(arriving(source_)); !done) return std::move(done).error();
    } else if (!keyed && target_->state == SessionState::active) {
      return std::move(keyed).error();
    }
    if (auto ours = check_still_ours(); !ours) return std::move(ours).error();
    if (auto removed = from_.store->remove(source_.subject, source_.revision); !removed)
      return std::move(removed).error();
    return MoveOutcome::finished;
  }

  Result<MoveOutcome> copy() {
    if (target_) {
      if (auto quiet = check_no_refresh(*to_.store, *target_, kTarget); !quiet)
        return std::move(quiet).error();
    }
    auto keyed = copy_key(*from_.vault, *to_.vault, source_.dpop_jkt);
    const bool keyless = !keyed && keyed.error().code == ErrorCode::key_missing;
    if (!keyed && !(keyless && !needs_key(source_))) return give_up(std::move(keyed).error());
    if (auto sent_off = send_off(); !sent_off) return std::move(sent_off).error();
    const OAuthSession copy = arriving(source_);
    if (auto saved = save_in_target(copy); !saved) return std::move(saved).error();
    if (auto settled = settle_target(copy); !settled) return std::move(settled).error();
    if (auto removed = from_.store->remove(source_.subject, source_.revision); !removed)
      return std::move(removed).error();
    return MoveOutcome::moved;
  }

  // From here on only whoever finishes the move can use the session.
  Result<void> send_off() {
    if (source_.state != SessionState::active) return {};
    if (auto ours = check_still_ours(); !ours) return ours;
    OAuthSession moving =
        as_moving(source_, options_.clock->now(), *options_.random, options_.target);
    if (auto saved = save_firmly(*from_.store, moving, source_.revision); !saved) return saved;
    source_ = std::move(moving);
    return {};
  }

  // A lease may run out while this one is paused; the revision alone does not tell that another has
  // sent a refresh since.
  Result<void> check_still_ours() {
    if (source_.state != SessionState::active) return {};
    if (!source_lease_->still_held()) {
      return make_error(ErrorCode::locked, "lease.lost",
                        "cannot move the session of " + printable(source_.subject, 100) +
                            " now: its lease ran out; run the migration again");
    }
    return check_no_refresh(*from_.store, source_, kSource);
  }

  Result<void> save_in_target(const OAuthSession& copy) {
    const Revision expected = target_ ? target_->revision : Revision{};
    auto saved = save_firmly(*to_.store, copy, expected);
    if (saved) return saved;
    // Whether it is there all the same decides who may use it. What can't be told now stays on its
    // way until the next run can.
    const auto stored = to_.store->load(copy.subject);
    if (!stored) return saved;
    if (*stored && (*stored)->revision == copy.revision) return {};
    return give_up(std::move(saved).error());
  }

  // What the target has must be what was saved there, with its key.
  Result<void> settle_target(const OAuthSession& copy) {
    const auto stored = to_.store->load(copy.subject);
    if (!stored) return stored.error();
    if (!*stored || !is_same(**stored, copy)) return take_back(copy);
    const auto keyed = has_key(copy);
    if (!keyed) return keyed.error();
    return *keyed ? Result<void>() : take_back(copy);
  }

  Result<bool> has_key(const OAuthSession& copy) {
    if (copy.dpop_jkt.empty() || !needs_key(copy)) return true;
    const auto key = to_.vault->get(copy.dpop_jkt), before = from_.vault->get(copy.dpop_jkt);
    if (!key) return key.error();
    if (!before) return before.error();
    return key->has_value() && (!*before || **before == **key);
  }

  Error take_back(const OAuthSession& copy) {
    if (const auto removed = to_.store->remove(copy.subject, copy.revision); removed) put_back();
    return differs(copy.subject);
  }

  Error give_up(Error error) {
    put_back();
    return error;
  }

  // The source's record is made usable again. Best effort: if that fails too, it is the next run's.
  void put_back() {
    if (!is_being_moved(source_)) return;
    OAuthSession session = as_arrived(source_);
    session.revision = draw_revision(*options_.random);
    static_cast<void>(save_firmly(*from_.store, session, source_.revision).has_value());
  }

  const MigrationPlace& from_;
  const MigrationPlace& to_;
  const MoveOptions& options_;
  std::unique_ptr<Lease> source_lease_, target_lease_;
  OAuthSession source_;
  std::optional<OAuthSession> target_;
};

Result<MoveOutcome> foresee_copy(const MigrationPlace& from, const MigrationPlace& to,
                                 const SessionSummary& source,
                                 const std::optional<OAuthSession>& target) {
  if (target) {
    if (auto quiet = check_no_refresh(*to.store, *target, kTarget); !quiet)
      return std::move(quiet).error();
  }
  if (source.dpop_jkt.empty() || !needs_key(source)) return MoveOutcome::moved;
  auto keyed = expect_key(*from.vault, source.dpop_jkt);
  if (!keyed && keyed.error().code == ErrorCode::key_missing)
    keyed = expect_key(*to.vault, source.dpop_jkt);
  return keyed ? Result<MoveOutcome>(MoveOutcome::moved) : std::move(keyed).error();
}

}  // namespace

MoveVerdict judge_move(const OAuthSession& source, const std::optional<OAuthSession>& target) {
  if (!target) return MoveVerdict::copy;
  if (target->login_id != source.login_id) return MoveVerdict::other_login;
  if (is_being_moved(*target)) return MoveVerdict::target_leaving;
  if (target->revision == source.revision) return MoveVerdict::finish;
  if (is_being_moved(source))
    return is_sequel(*target, source) ? MoveVerdict::finish : MoveVerdict::copy;
  const auto order = std::pair(weight(source.state), last_change(source)) <=>
                     std::pair(weight(target->state), last_change(*target));
  if (order < 0) return MoveVerdict::finish;
  if (order > 0) return MoveVerdict::copy;
  return same_tokens(source, *target) ? MoveVerdict::finish : MoveVerdict::unclear;
}

Result<void> copy_key(KeyVault& from, KeyVault& to, std::string_view jkt) {
  if (jkt.empty()) return {};
  const auto key = from.get(jkt);
  if (!key) return key.error();
  // A move that was cut off may have been the last to need it there.
  return *key ? to.put(jkt, **key) : expect_key(to, jkt);
}

Result<MoveOutcome> move_session(const MigrationPlace& from, const MigrationPlace& to,
                                 std::string_view subject, const MoveOptions& options) {
  return Move(from, to, options).run(subject);
}

Result<MoveOutcome> foresee_move(const MigrationPlace& from, const MigrationPlace& to,
                                 std::string_view subject, std::string_view target_name) {
  const auto source = from.store->load(subject);
  if (!source) return source.error();
  if (!*source) return MoveOutcome::gone;
  if (auto same = check_target(**source, target_name); !same) return std::move(same).error();
  if (auto quiet = check_no_refresh(*from.store, **source, kSource); !quiet)
    return std::move(quiet).error();
  const auto target = to.store->load(subject);
  if (!target) return target.error();
  const MoveVerdict verdict = judge_move(**source, *target);
  if (verdict == MoveVerdict::finish) return MoveOutcome::finished;
  if (verdict != MoveVerdict::copy) return refusal(verdict, subject);
  return foresee_copy(from, to, **source, *target);
}

}  // namespace latchkey
