// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
module latchkey.strategy.renewal;
import latchkey.core.crypto;
import latchkey.core.error;
import latchkey.core.os.locks;
import latchkey.core.secret;
import latchkey.core.time;
import latchkey.refresh.classify;
import latchkey.refresh.context;
import latchkey.session;
import latchkey.store;
import latchkey.strategy;
import latchkey.strategy.single_flight;
import latchkey.strategy.token_store;

namespace latchkey {
namespace {

constexpr Duration kLongestLife = std::chrono::hours{24 * 366};
constexpr Duration kLeaseWait = std::chrono::seconds{40};

RenewalOptions with_defaults(RenewalOptions options) {
  if (!options.store) options.store = std::make_shared<NoStore>();
  if (!options.clock) options.clock = std::make_shared<SystemClock>();
  if (!options.random) options.random = std::make_shared<SystemRandom>();
  return options;
}

}  // namespace

TokenRenewal::TokenRenewal(RenewalOptions options)
    : options_(with_defaults(std::move(options))),
      jitter_(draw_id(*options_.random)),
      flight_(options_.purpose, options_.clock,
              [this](std::stop_token stop) { return renew(std::move(stop)); }) {}

TokenRenewal::~TokenRenewal() {
  flight_.finish();
  if (unsaved_) {
    static_cast<void>(options_.store->save(unsaved_->session, unsaved_->expected).has_value());
  }
}

Result<std::shared_ptr<const OAuthSession>> TokenRenewal::get(const TokenOptions& options) {
  SharedSession held;
  for (;;) {
    const Due state = due(options.rejected, held);
    if (state == Due::no) return held;
    if (state == Due::soon) {
      // A failure is not this caller's trouble: the token is good.
      static_cast<void>(flight_.begin().has_value());
      return held;
    }
    // A flight that begins from here on knows what was refused.
    const bool informed = !flight_.under_way();
    auto landed = flight_.join(options);
    const std::scoped_lock lock(mutex_);
    if (!landed) {
      const bool usable =
          held_ && fingerprint_ != refused_ && !held_->is_expired(options_.clock->now());
      if (usable) return held_;
      return std::move(landed).error();
    }
    // Some servers give the token that was refused once more: there is no better one then.
    if (informed || fingerprint_ != options.rejected) return held_;
  }
}

// When a token is due, and which one that is.
Due TokenRenewal::due(const std::string& rejected, SharedSession& held) {
  const std::scoped_lock lock(mutex_);
  if (!rejected.empty() && (!held_ || fingerprint_ == rejected)) refused_ = rejected;
  held = held_;
  if (!held_ || fingerprint_ == refused_) return Due::now;
  return refresh_due(*held_, options_.clock->now(), window_);
}

Result<void> TokenRenewal::renew(std::stop_token stop) {
  SharedSession held;
  // Another flight may have landed since the caller looked.
  if (due({}, held) == Due::no) return {};
  const auto lease =
      options_.store->lease({.deadline = options_.clock->steady_now() + kLeaseWait, .stop = stop});
  if (!lease) return lease.error();
  // The newest token there is waits to be saved: nothing is spent before that.
  if (auto unsaved = std::exchange(unsaved_, std::nullopt)) {
    return keep(std::move(unsaved->session), unsaved->expected);
  }
  auto stored = options_.store->load();
  if (!stored) return std::move(stored).error();
  const bool usable = is_of_use(*stored);
  if (usable && adopt(**stored)) return {};
  auto obtained = options_.source(usable ? &**stored : held.get(), std::move(stop));
  if (!obtained) return std::move(obtained).error();
  if (auto checked = check(*obtained); !checked) return checked;
  obtained->revision = draw_revision(*options_.random);
  return keep(*std::move(obtained), stored->has_value() ? (*stored)->revision : Revision{});
}

bool TokenRenewal::is_of_use(const std::optional<OAuthSession>& stored) const {
  return stored && stored->state == SessionState::active &&
         (!options_.is_ours || options_.is_ours(*stored));
}

// Takes over what another process has saved, unless it is what we have, was refused, or is due.
bool TokenRenewal::adopt(OAuthSession& stored) {
  const std::string fingerprint = token_fingerprint(stored.access_token);
  {
    const std::scoped_lock lock(mutex_);
    if (fingerprint == refused_ || fingerprint == fingerprint_) return false;
  }
  const auto window = refresh_window(stored, jitter_);
  if (refresh_due(stored, options_.clock->now(), window) == Due::now) return false;
  install(std::move(stored));
  return true;
}

Result<void> TokenRenewal::check(const OAuthSession& session) const {
  const auto refuse = [&](ErrorCode code, std::string_view fact, const std::string& why) {
    return make_error(code, "renewal." + std::string(fact),
                      "cannot " + options_.purpose + ": the new token " + why);
  };
  if (session.access_token.empty()) {
    return refuse(ErrorCode::invalid_response, "no_token", "is empty");
  }
  const TimePoint now = options_.clock->now();
  if (session.is_expired(now)) {
    return refuse(ErrorCode::token_invalid, "expired",
                  "has ended already; check the clock of this machine");
  }
  if (session.time_until_expiry(now).value_or(Duration::zero()) > kLongestLife) {
    return refuse(ErrorCode::token_invalid, "expires_at",
                  "is said to be good for more than 366 days, so its expiry is not one");
  }
  return {};
}

// Saved before it is handed out. What can be had again is handed out all the same; a refresh token
// may be the only one there is, so it waits for the next attempt.
Result<void> TokenRenewal::keep(OAuthSession session, Revision expected) {
  auto saved = options_.store->save(session, expected);
  if (saved) {
    install(std::move(session));
    return {};
  }
  Error why = std::move(saved).error();
  if (why.code == ErrorCode::conflict) {
    auto stored = options_.store->load();
    if (stored && is_of_use(*stored) && adopt(**stored)) return {};
    return why;
  }
  if (!session.refresh_token) {
    if (options_.on_warning) options_.on_warning(why);
    install(std::move(session));
    return {};
  }
  unsaved_ = Unsaved{std::move(session), expected};
  return make_error(ErrorCode::session_not_durable, "renewal.not_durable",
                    "a new token was obtained but could not be saved (" + why.message +
                        "); it is kept in memory and saved by the next call for which that works");
}

void TokenRenewal::install(OAuthSession session) {
  auto installed = std::make_shared<const OAuthSession>(std::move(session));
  const std::scoped_lock lock(mutex_);
  fingerprint_ = token_fingerprint(installed->access_token);
  // The server insists: to ask again at every call would change nothing.
  if (refused_ == fingerprint_) refused_.clear();
  window_ = refresh_window(*installed, jitter_ ^ installed->revision.value);
  held_ = std::move(installed);
}

}  // namespace latchkey
