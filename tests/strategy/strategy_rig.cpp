// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <barrier>
#include <chrono>
#include <cstddef>
#include <functional>
#include <future>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>
module latchkey.test.strategy_rig;
import latchkey.core;
import latchkey.session;
import latchkey.strategy;
import latchkey.strategy.renewal;
import latchkey.test.outcome;

namespace latchkey::test {

TokenSource TokenMint::source() {
  return [this](const OAuthSession* held, std::stop_token stop) { return obtain(held, stop); };
}

Result<OAuthSession> TokenMint::obtain(const OAuthSession* held, const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  ++calls_;
  peak_ = std::max(peak_, ++under_way_);
  seen_.push_back(held == nullptr        ? "no token"
                  : !held->refresh_token ? "none"
                                         : std::string(held->refresh_token->expose()));
  changed_.notify_all();
  changed_.wait(lock, stop, [&] { return !held_back_; });
  --under_way_;
  if (at_end_) at_end_();
  if (stop.stop_requested()) return make_error(ErrorCode::cancelled, "mint.stopped", "stopped");
  if (std::exchange(throw_, false)) throw std::runtime_error("secret-in-what");
  return next_locked();
}

Result<OAuthSession> TokenMint::next_locked() {
  if (auto failure = std::exchange(failure_, std::nullopt)) return *std::move(failure);
  if (!repeating_) ++tokens_;
  const std::string number = std::to_string(tokens_);
  OAuthSession session;
  session.subject = "mint";
  session.token_type = "Bearer";
  session.issued_at = clock_->now();
  if (lifetime_) session.expires_at = session.issued_at + *lifetime_;
  session.access_token = SecretString("t-" + number);
  if (rotating_) session.refresh_token = SecretString("r-" + number);
  return session;
}

void TokenMint::fail_next(Error error) {
  const std::scoped_lock lock(mutex_);
  failure_ = std::move(error);
}

void TokenMint::throw_next() {
  const std::scoped_lock lock(mutex_);
  throw_ = true;
}

void TokenMint::set_lifetime(std::optional<std::chrono::seconds> lifetime) {
  const std::scoped_lock lock(mutex_);
  lifetime_ = lifetime;
}

void TokenMint::rotate() {
  const std::scoped_lock lock(mutex_);
  rotating_ = true;
}

void TokenMint::repeat() {
  const std::scoped_lock lock(mutex_);
  repeating_ = true;
}

void TokenMint::at_end(std::function<void()> action) {
  const std::scoped_lock lock(mutex_);
  at_end_ = std::move(action);
}

void TokenMint::hold() {
  const std::scoped_lock lock(mutex_);
  held_back_ = true;
}

void TokenMint::release() {
  const std::scoped_lock lock(mutex_);
  held_back_ = false;
  changed_.notify_all();
}

void TokenMint::wait_for_call(unsigned count) const {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return calls_ >= count; });
}

unsigned TokenMint::calls() const {
  const std::scoped_lock lock(mutex_);
  return calls_;
}

unsigned TokenMint::peak() const {
  const std::scoped_lock lock(mutex_);
  return peak_;
}

std::vector<std::string> TokenMint::held() const {
  const std::scoped_lock lock(mutex_);
  return seen_;
}

Result<std::optional<OAuthSession>> ScriptedTokenStore::load() {
  const std::scoped_lock lock(mutex_);
  if (load_failure_) return *load_failure_;
  if (!session_) return std::nullopt;
  return std::optional(session_->clone());
}

Result<void> ScriptedTokenStore::save(const OAuthSession& session, Revision expected) {
  const std::scoped_lock lock(mutex_);
  ++saves_;
  if (save_failure_) return *save_failure_;
  if (expected != (session_ ? session_->revision : Revision{})) {
    return make_error(ErrorCode::conflict, "store.conflict", "somebody else saved first");
  }
  session_ = session.clone();
  return {};
}

void ScriptedTokenStore::put(const OAuthSession& session) {
  const std::scoped_lock lock(mutex_);
  session_ = session.clone();
}

void ScriptedTokenStore::fail_saves(std::optional<Error> error) {
  const std::scoped_lock lock(mutex_);
  save_failure_ = std::move(error);
}

void ScriptedTokenStore::fail_loads(std::optional<Error> error) {
  const std::scoped_lock lock(mutex_);
  load_failure_ = std::move(error);
}

std::string ScriptedTokenStore::stored() const {
  const std::scoped_lock lock(mutex_);
  return session_ ? std::string(session_->access_token.expose()) : std::string();
}

unsigned ScriptedTokenStore::saves() const {
  const std::scoped_lock lock(mutex_);
  return saves_;
}

OAuthSession token_session(std::string_view token, std::chrono::seconds lifetime) {
  OAuthSession session;
  session.subject = "mint";
  session.token_type = "Bearer";
  session.issued_at = kRigNow;
  session.expires_at = kRigNow + lifetime;
  session.revision = Revision{99};
  session.access_token = SecretString(token);
  return session;
}

std::vector<std::string> ask_together(unsigned count, const std::function<std::string()>& ask,
                                      const std::function<void()>& meanwhile) {
  std::barrier start(static_cast<std::ptrdiff_t>(count));
  std::vector<std::future<std::string>> callers;
  callers.reserve(count);
  for (unsigned i = 0; i < count; ++i) {
    callers.push_back(std::async(std::launch::async, [&] {
      start.arrive_and_wait();
      return ask();
    }));
  }
  if (meanwhile) meanwhile();
  std::vector<std::string> answers;
  answers.reserve(count);
  for (auto& caller : callers) answers.push_back(caller.get());
  return answers;
}

std::string RenewalRig::get(const TokenOptions& options) {
  const auto session = renewal.get(options);
  return session ? std::string((*session)->access_token.expose()) : outcome(session);
}

std::vector<std::string> RenewalRig::get_together(unsigned count,
                                                  const std::function<void()>& meanwhile) {
  return ask_together(count, [this] { return get(); }, meanwhile);
}

void RenewalRig::land() {
  mint.release();
  while (renewal.under_way()) std::this_thread::yield();
}

DueRig::DueRig() {
  static_cast<void>(get());
  clock->advance(std::chrono::hours{1} - std::chrono::seconds{20});
}

EndedRig::EndedRig() {
  static_cast<void>(get());
  clock->advance(std::chrono::hours{1});
}

Error cut_cable(ErrorCode code) {
  return make_error(code, "test.cause", "the cable is cut");
}

bool all_are(const std::vector<std::string>& answers, std::string_view expected) {
  return std::all_of(answers.begin(), answers.end(),
                     [&](const auto& answer) { return answer == expected; });
}

}  // namespace latchkey::test
