// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
module latchkey.refresh.run;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.os.locks;
import latchkey.core.os.process;
import latchkey.core.secret;
import latchkey.core.time;
import latchkey.http;
import latchkey.http.policy;
import latchkey.oauth.token;
import latchkey.refresh.classify;
import latchkey.refresh.context;
import latchkey.refresh.events;
import latchkey.refresh.moving;
import latchkey.session;
import latchkey.store;

namespace latchkey {
namespace {

using namespace std::chrono_literals;
using SharedSession = std::shared_ptr<const OAuthSession>;

// The coming record is of the size of this one; tokens that grow past twice that are not worth a
// failed refresh.
constexpr std::size_t kRoomSlack = 8 * 1024;

constexpr std::string_view kLeaseLost = "lease.lost";

SharedSession share(OAuthSession session) {
  return std::make_shared<const OAuthSession>(std::move(session));
}

std::size_t room_for(const OAuthSession& session) {
  const std::size_t tokens = session.access_token.size() +
                             (session.refresh_token ? session.refresh_token->size() : 0) +
                             (session.id_token ? session.id_token->size() : 0);
  return 2 * tokens + kRoomSlack;
}

// Another process or an earlier moment put this here: may it be handed out instead of refreshing?
bool adoptable(const OAuthSession& session, std::string_view stale_token, TimePoint now) {
  if (session.state != SessionState::active ||
      token_fingerprint(session.access_token) == stale_token)
    return false;
  return refresh_due(session, now, refresh_window(session, 0)) != Due::now;
}

class RefreshRun {
 public:
  RefreshRun(const SessionContext& context, const RefreshOrder& order)
      : context_(context), order_(order) {}

  Refreshed run() {
    Refreshed result = steps();
    context_.store->release_room(order_.subject);
    if (const auto* error = std::get_if<Error>(&result); error && is_transient(*error))
      warn(*error);
    return result;
  }

 private:
  using Step = std::optional<Refreshed>;  // empty: go on

  Refreshed steps() {
    for (const auto step :
         {&RefreshRun::take_lease, &RefreshRun::read_again, &RefreshRun::respect_found_claim,
          &RefreshRun::confirm_authority, &RefreshRun::prepare, &RefreshRun::write_claim}) {
      if (auto done = (this->*step)()) return *std::move(done);
    }
    return settle(send());
  }

  void warn(const Error& error) const {
    SessionEvent event{
        .cause = SessionEventCause::refresh_failed,
        .subject = order_.subject,
        .error = error,
        .next_attempt = context_.clock->now() + back_off(order_.failures + 1, error.retry_after)};
    if (!session_.subject.empty()) event.session = session_;
    announce(context_, event);
  }

  Step take_lease() {
    auto lease = context_.store->lease(order_.subject, order_.lease_wait);
    if (!lease) return std::move(lease).error();
    lease_ = *std::move(lease);
    leased_at_ = context_.clock->steady_now();
    return std::nullopt;
  }

  Step read_again() {
    auto stored = context_.store->load(order_.subject);
    if (!stored) return std::move(stored).error();
    if (!stored->has_value()) return absent_session_error(order_.subject);
    session_ = std::move(**stored);
    if (session_.state != SessionState::active) return unusable_session_error(session_);
    if (adoptable(session_, order_.stale_token, context_.clock->now()))
      return share(std::move(session_));
    if (session_.client_id != context_.client_id) {
      return make_error(ErrorCode::client_mismatch, "session.client_mismatch",
                        "cannot refresh the session of " + printable(session_.subject, 100) +
                            ": it belongs to another client_id; use that client, or log in again");
    }
    return std::nullopt;
  }

  // Uncached, and before anything is spent: what fails here burns nothing (C7.5).
  Step confirm_authority() {
    if (!context_.profile.confirm) return std::nullopt;
    auto resource_server = context_.profile.confirm(session_, order_.lease_wait.stop);
    if (!resource_server) return std::move(resource_server).error();
    resource_server_ = *std::move(resource_server);
    return std::nullopt;
  }

  // Whoever finds a claim owns an unfinished refresh. Its request may still be under way: it is
  // given time to end, so that two requests do not meet and the cause reported later is true. Where
  // leases can run out, its answer may be waiting to be saved, too: what is stored by then counts.
  Step respect_found_claim() {
    const auto found = find_claim();
    if (!found) return found.error();
    if (!*found) return std::nullopt;
    if (!wait_behind(**found)) {
      return make_error(ErrorCode::cancelled, "refresh.cancelled",
                        "the refresh was cancelled before it was sent");
    }
    if (!lease_->can_expire()) return std::nullopt;
    if (auto done = read_again()) return done;
    const auto left = find_claim();
    return left ? Step() : Step(left.error());
  }

  /// Of the revision that was read; remembers whether there is one.
  Result<std::optional<RefreshClaim>> find_claim() {
    auto claim = context_.store->load_claim(order_.subject);
    if (!claim) return claim;
    if (claim->has_value() && (*claim)->revision != session_.revision) claim->reset();
    interrupted_ = claim->has_value();
    return claim;
  }

  // The holder of an expired lease has been cut off for longer than that, and can save only since
  // the store is back, which is about when the lease was given to us.
  [[nodiscard]] bool wait_behind(const RefreshClaim& claim) const {
    const Duration age =
        lease_->can_expire()
            ? std::chrono::duration_cast<Duration>(context_.clock->steady_now() - leased_at_)
            : context_.clock->now() - claim.at;
    const Duration rest = std::clamp<Duration>(kClaimAge - age, Duration::zero(), kClaimAge);
    return rest == Duration::zero() || context_.clock->sleep_for(rest, order_.lease_wait.stop);
  }

  // All that can fail without the server having seen anything.
  Step prepare() {
    auto request = build_refresh_request(session_, *context_.client, context_.profile.resources);
    if (!request) return std::move(request).error();
    request_.emplace(*std::move(request));
    auto transport = session_transport(context_, session_.dpop_jkt);
    if (!transport) return std::move(transport).error();
    transport_ = *std::move(transport);
    // A vault that was put under another master key seals no more after a while.
    if (auto sealed = context_.store->sealer().seal({}, {}); !sealed)
      return std::move(sealed).error();
    if (auto room = context_.store->reserve_room(order_.subject, room_for(session_)); !room) {
      return std::move(room).error();
    }
    return std::nullopt;
  }

  Step write_claim() {
    if (order_.lease_wait.stop.stop_requested()) {
      return make_error(ErrorCode::cancelled, "refresh.cancelled",
                        "the refresh was cancelled before it was sent");
    }
    // An id of its own also where a claim was found: whoever wrote that one may come back from a
    // long pause, and must not clear this one.
    claim_id_ = draw_id(*context_.random);
    auto saved = context_.store->save_claim({.subject = order_.subject,
                                             .revision = session_.revision,
                                             .id = claim_id_,
                                             .at = context_.clock->now(),
                                             .pid = process_id(),
                                             .host = host_name()});
    if (!saved) {
      // A store whose leases can run out checks lease and revision with the claim.
      const Error& error = saved.error();
      if (error.code == ErrorCode::conflict || error.detail == kLeaseLost) return yield_lease();
      clear_own_claim();  // it may have been written all the same
      return error;
    }
    if (lease_->still_held()) return std::nullopt;
    clear_own_claim();
    return yield_lease();
  }

  // Another process has taken the lease, after it had run out, or its former holder has saved over
  // the revision that was read here: then there is a newer session.
  Step yield_lease() {
    auto stored = context_.store->load(order_.subject);
    if (!stored) return std::move(stored).error();
    if (!stored->has_value()) return absent_session_error(order_.subject);
    if ((*stored)->state != SessionState::active) return unusable_session_error(**stored);
    if (adoptable(**stored, order_.stale_token, context_.clock->now()))
      return share(std::move(**stored));
    return make_error(ErrorCode::locked, kLeaseLost,
                      "cannot refresh now: the lease ran out before the request; try again");
  }

  Result<HttpResponse> send() {
    requested_at_ = context_.clock->now();
    return transport_->send(*request_, token_limits());
  }

  Refreshed settle(const Result<HttpResponse>& answer) {
    JudgedAnswer judged = judge_refresh(answer, context_.clock->now());
    switch (judged.verdict) {
      case Verdict::answered:
        return accept(*answer);
      case Verdict::grant_refused:
        return bury(*judged.error);
      case Verdict::not_consumed:
        clear_own_claim();
        break;
      case Verdict::unknown:
        break;  // the claim stays
    }
    return *std::move(judged.error);
  }

  Refreshed accept(const HttpResponse& response) {
    auto answer = process_token_response("refresh", response, context_.clock->now(),
                                         context_.profile.map_answer);
    if (!answer) return unanswered(std::move(answer).error());
    const auto acceptable =
        context_.profile.check ? context_.profile.check(*answer, session_) : Result<void>{};
    OAuthSession next = session_from_refresh(session_, *std::move(answer), requested_at_);
    if (!acceptable) {
      // The old record stays; what was issued to somebody else is ended (C5.11).
      static_cast<void>(revoke_session(context_, next).has_value());
      return acceptable.error();
    }
    next.revision = draw_revision(*context_.random);
    if (!resource_server_.empty()) next.resource_server = resource_server_;
    return save(share(std::move(next)));
  }

  // An OAuth error is an answer, also under status 200. What can't be read is none: the claim
  // stays.
  Refreshed unanswered(Error error) {
    if (!error.oauth) return error;
    if (error.code == ErrorCode::invalid_grant) return bury(error);
    clear_own_claim();
    return error;
  }

  Refreshed save(SharedSession next) {
    auto unsaved = std::make_unique<UnsavedSession>(UnsavedSession{
        .session = std::move(next), .expected = session_.revision, .lease = nullptr, .cause = {}});
    Refreshed result;
    if (try_save_again(context_, *unsaved, result)) return result;
    announce(context_, {.cause = SessionEventCause::not_durable,
                        .subject = order_.subject,
                        .session = *unsaved->session,
                        .error = unsaved->cause});
    unsaved->lease = std::move(lease_);
    return unsaved;
  }

  // invalid_grant: another process may have renewed the session in spite of everything; else it is
  // over.
  Refreshed bury(const Error& refusal) {
    for (const Duration pause : {25ms, 50ms, 100ms}) {
      context_.clock->sleep_for(pause, {});
      auto stored = context_.store->load(order_.subject);
      if (!stored) return std::move(stored).error();
      if (!stored->has_value()) return absent_session_error(order_.subject);
      if ((*stored)->revision == session_.revision) continue;
      if ((*stored)->state != SessionState::active) return unusable_session_error(**stored);
      return share(std::move(**stored));
    }
    OAuthSession tombstone = session_.clone();
    tombstone.state = SessionState::dead;
    tombstone.state_cause = interrupted_ ? "refresh.interrupted" : refusal.detail;
    tombstone.state_changed_at = context_.clock->now();
    tombstone.access_token = SecretString{};
    tombstone.refresh_token.reset();
    tombstone.id_token.reset();
    tombstone.revision = draw_revision(*context_.random);
    // If the tombstone can't be written the next refresh comes to the same end: nothing to report
    // beside the cause.
    static_cast<void>(context_.store->save(tombstone, session_.revision).has_value());
    Error error = unusable_session_error(tombstone);
    error.oauth = refusal.oauth;
    error.http_status = refusal.http_status;
    announce(context_,
             {.cause = interrupted_ ? SessionEventCause::interrupted : SessionEventCause::refused,
              .subject = order_.subject,
              .session = tombstone,
              .error = error});
    return error;
  }

  // Where a claim was found, the outcome stays unknown whatever this attempt learns.
  void clear_own_claim() {
    if (!interrupted_)
      static_cast<void>(context_.store->clear_claim(order_.subject, claim_id_).has_value());
  }

  const SessionContext& context_;
  const RefreshOrder& order_;
  std::unique_ptr<Lease> lease_;
  std::chrono::steady_clock::time_point leased_at_{};
  OAuthSession session_;
  std::string resource_server_;
  bool interrupted_ =
      false;  // a claim was found: an earlier refresh of this revision has an unknown outcome
  std::uint64_t claim_id_ = 0;
  std::optional<HttpRequest> request_;
  std::shared_ptr<HttpTransport> transport_;
  TimePoint requested_at_{};
};

// The store says that someone saved first. Never overwrite it, never bring a removed session back;
// what we got is ended, unless that would end the stored session of the same login too. Empty:
// what lies there is what was to be replaced, or can't be read, so that nothing says that the new
// token is of no use.
std::optional<Refreshed> yield_to_stored(const SessionContext& context,
                                         const UnsavedSession& unsaved) {
  const OAuthSession& ours = *unsaved.session;
  auto stored = context.store->load(ours.subject);
  if (!stored) return std::nullopt;
  if (stored->has_value() && (*stored)->revision == unsaved.expected) return std::nullopt;
  if (!goes_on_as(ours, *stored)) static_cast<void>(revoke_session(context, ours).has_value());
  if (!stored->has_value()) return absent_session_error(ours.subject);
  if ((*stored)->state != SessionState::active) return unusable_session_error(**stored);
  return share(std::move(**stored));
}

}  // namespace

Refreshed run_refresh(const SessionContext& context, const RefreshOrder& order) {
  return RefreshRun(context, order).run();
}

bool try_save_again(const SessionContext& context, UnsavedSession& unsaved, Refreshed& result) {
  const auto saved = context.store->save(*unsaved.session, unsaved.expected);
  if (saved) {
    announce(context, {.cause = SessionEventCause::refreshed,
                       .subject = unsaved.session->subject,
                       .session = *unsaved.session});
    result = unsaved.session;
    return true;
  }
  if (saved.error().code == ErrorCode::conflict) {
    if (auto settled = yield_to_stored(context, unsaved)) {
      result = *std::move(settled);
      return true;
    }
  }
  unsaved.cause = saved.error();
  return false;
}

Error absent_session_error(std::string_view subject) {
  return make_error(
      ErrorCode::login_required, "session.absent",
      "no session for " + printable(subject, 100) + ": nobody has logged in; log in first");
}

Error unusable_session_error(const SessionSummary& session) {
  const std::string subject = printable(session.subject, 100);
  if (session.state == SessionState::revoking) {
    return make_error(ErrorCode::login_required, "session.logged_out",
                      "no session for " + subject + ": it was logged out; log in again");
  }
  if (is_being_moved(session)) {
    const std::string_view target = moving_target(session);
    return make_error(ErrorCode::locked, std::string(kMovingCause),
                      "the session of " + subject + " is on its way to " +
                          (target.empty() ? "another store" : printable(target, kMaxTargetName)) +
                          "; use that one, and if the migration was cut off, run it again");
  }
  if (session.state_cause == "refresh.interrupted") {
    return make_error(
        ErrorCode::refresh_interrupted, "refresh.interrupted",
        "the session of " + subject +
            " ended: an earlier refresh was cut off, and its new token was lost; log in again");
  }
  return make_error(ErrorCode::session_dead, "session.dead",
                    "the session of " + subject + " ended: the server refused its refresh token (" +
                        printable(session.state_cause, 100) + "); log in again");
}

}  // namespace latchkey
