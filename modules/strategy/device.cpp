// SPDX-License-Identifier: MIT
module;
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <utility>
module latchkey.strategy.device;
import latchkey.core.error;
import latchkey.core.time;
import latchkey.flows.device;
import latchkey.http;
import latchkey.refresh.keeper;
import latchkey.strategy;
import latchkey.strategy.oauth;

namespace latchkey {
namespace {

// Only a person can mend these.
bool needs_login(const Error& error) {
  return error.code == ErrorCode::login_required || error.code == ErrorCode::session_dead ||
         error.code == ErrorCode::refresh_interrupted;
}

// One that was begun and not finished: its code may be on somebody's screen already.
std::optional<PendingDeviceLogin> begun_before(const DeviceFlow& flow, const std::string& subject) {
  const auto resumable = flow.resumable();
  if (!resumable) return std::nullopt;
  for (const DeviceCodes& codes : *resumable) {
    if (codes.subject != subject) continue;
    if (auto resumed = flow.resume(codes.id)) return *std::move(resumed);
  }
  return std::nullopt;
}

}  // namespace

LogIn device_login(DeviceFlow flow, std::string subject,
                   std::function<void(const DeviceCodes&)> show) {
  return [flow = std::move(flow), subject = std::move(subject),
          show = std::move(show)](std::stop_token stop) -> Result<void> {
    auto pending = begun_before(flow, subject);
    if (!pending) {
      auto begun = flow.begin(stop);
      if (!begun) return std::move(begun).error();
      pending = *std::move(begun);
    }
    show(pending->codes());
    auto session = (*std::move(pending)).poll({.stop = std::move(stop)});
    if (!session) return std::move(session).error();
    return {};
  };
}

DeviceCodeStrategy::DeviceCodeStrategy(std::shared_ptr<SessionKeeper> keeper, std::string subject,
                                       LogIn log_in, std::shared_ptr<Clock> clock)
    : session_(std::move(keeper), std::move(subject)),
      log_in_(std::move(log_in)),
      flight_("log in by device", clock ? std::move(clock) : std::make_shared<SystemClock>(),
              [this](std::stop_token stop) { return this->log_in(std::move(stop)); }) {}

Result<AuthToken> DeviceCodeStrategy::get_token(const TokenOptions& options) {
  auto token = session_.get_token(options);
  if (token || !needs_login(token.error())) return token;
  if (!options.rejected.empty()) {
    const std::scoped_lock lock(mutex_);
    rejected_ = options.rejected;
  }
  if (auto logged_in = flight_.join(options); !logged_in) return std::move(logged_in).error();
  return session_.get_token(options);
}

Result<void> DeviceCodeStrategy::log_in(std::stop_token stop) {
  TokenOptions options{.stop = stop};
  {
    const std::scoped_lock lock(mutex_);
    options.rejected = rejected_;
  }
  // Somebody may have logged in since the caller looked.
  const auto token = session_.get_token(options);
  if (token || !needs_login(token.error())) return {};
  return log_in_(std::move(stop));
}

Result<std::shared_ptr<HttpTransport>> DeviceCodeStrategy::bind(
    std::shared_ptr<HttpTransport> plain, const AuthToken& token) {
  return session_.bind(std::move(plain), token);
}

}  // namespace latchkey
