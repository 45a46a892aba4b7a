// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <utility>
module latchkey.flows.device_login;
import latchkey.core.error;
import latchkey.core.time;
import latchkey.flows.device_shelf;
import latchkey.flows.grant;
import latchkey.http;
import latchkey.http.policy;
import latchkey.oauth.device;
import latchkey.oauth.pending_device;
import latchkey.oauth.token;
import latchkey.refresh.context;
import latchkey.refresh.keeper;
import latchkey.session;
import latchkey.store;

namespace latchkey {
namespace {

using SharedSession = std::shared_ptr<const OAuthSession>;
using SharedOptions = std::shared_ptr<const DeviceFlowOptions>;

constexpr Duration kTick = std::chrono::seconds{1};

// Whether the tokens may have been in the answer that did not arrive.
bool may_have_granted(const Error& trouble) {
  return trouble.delivery == Delivery::maybe_sent || trouble.http_status >= 500;
}

}  // namespace

DeviceCodes codes_of(const PendingDevice& pending) {
  return {.id = pending.id,
          .subject = pending.subject,
          .user_code = pending.user_code,
          .verification_uri = pending.verification_uri,
          .verification_uri_complete = pending.verification_uri_complete,
          .expires_at = pending.expires_at};
}

struct PendingDeviceLogin::Impl {
  Impl(SharedOptions o, PendingDevice p, std::unique_ptr<Lease> l)
      : options(std::move(o)),
        context(options->keeper->context()),
        pending(std::move(p)),
        codes(codes_of(pending)),
        shelf(context),
        held(std::move(l)),
        deadline(context.clock->steady_now() + (pending.expires_at - context.clock->now())) {}

  SharedOptions options;
  const SessionContext& context;
  PendingDevice pending;
  DeviceCodes codes;
  DeviceShelf shelf;
  std::unique_ptr<Lease> held;
  std::chrono::steady_clock::time_point deadline;

  // What the last poll has taught.
  std::optional<Error> trouble{};
  std::optional<std::chrono::seconds> retry_after{};
  unsigned troubles = 0;  // in a row
  bool answer_lost = false;

  void end();
  Result<void> wait(const DevicePollOptions& waiting);
  Result<SharedSession> run(const DevicePollOptions& waiting);
  Result<HttpResponse> ask();
  void learn(JudgedPoll judged);
  void slow_down();
  Error refuse(Error error);
  Result<SharedSession> complete(const TokenAnswer& answer, TimePoint asked_at);
  GrantTerms terms() const;
  Error expired() const;
};

// It can't be resumed any more, and nothing is left of it.
void PendingDeviceLogin::Impl::end() {
  shelf.forget(pending);
  shelf.drop_key(pending.dpop_jkt);
}

Error PendingDeviceLogin::Impl::expired() const {
  std::string message = "device login failed: the code was not confirmed in time; log in again";
  if (trouble) message += " (the last thing that went wrong: " + trouble->message + ")";
  return make_error(ErrorCode::timeout, "device.expired_token", std::move(message));
}

// Until the next poll; an error if there is none.
Result<void> PendingDeviceLogin::Impl::wait(const DevicePollOptions& waiting) {
  const auto until =
      context.clock->steady_now() + device_poll_delay(pending.interval, troubles, retry_after);
  if (until >= deadline) {
    end();
    return expired();
  }
  for (;;) {
    const auto now = context.clock->steady_now();
    const auto left = std::chrono::ceil<Duration>(until - now);
    if (left <= Duration::zero()) return {};
    if (waiting.on_progress) {
      waiting.on_progress({.time_left = std::chrono::ceil<Duration>(deadline - now),
                           .next_poll = left,
                           .trouble = trouble ? &*trouble : nullptr});
    }
    if (!context.clock->sleep_for(std::min(left, kTick), waiting.stop)) {
      return make_error(ErrorCode::cancelled, "device.cancelled",
                        "stopped waiting for the device login; it can be resumed until it expires");
    }
  }
}

Result<HttpResponse> PendingDeviceLogin::Impl::ask() {
  const auto request =
      build_device_poll(pending.token_endpoint, pending.issuer, pending.client_auth_kid,
                        pending.device_code, *context.client);
  if (!request) return request.error();
  const auto transport = session_transport(context, pending.dpop_jkt);
  if (!transport) return transport.error();
  return (*transport)->send(*request, token_limits());
}

// Kept too: who resumes with a shorter interval than the server's would be told so for ever.
void PendingDeviceLogin::Impl::slow_down() {
  pending.interval += kDeviceSlowDown;
  shelf.forget(pending);
  static_cast<void>(shelf.keep(pending).has_value());
}

Error PendingDeviceLogin::Impl::refuse(Error error) {
  end();
  if (error.code != ErrorCode::invalid_grant || !answer_lost) return error;
  error.detail = "device.answer_lost";
  error.message =
      "device login failed: the server's answer got lost on the way, and it gives it only once; "
      "log in again";
  return error;
}

// From a poll that decided nothing.
void PendingDeviceLogin::Impl::learn(JudgedPoll judged) {
  if (judged.verdict == DeviceVerdict::slow_down) slow_down();
  const bool heard = judged.verdict != DeviceVerdict::trouble;
  troubles = heard ? 0 : troubles + 1;
  retry_after = judged.error->retry_after;
  // Who still waits has not been answered before.
  answer_lost = !heard && (answer_lost || may_have_granted(*judged.error));
  trouble = heard ? std::nullopt : std::move(judged.error);
}

Result<SharedSession> PendingDeviceLogin::Impl::run(const DevicePollOptions& waiting) {
  for (;;) {
    if (auto waited = wait(waiting); !waited) return std::move(waited).error();
    if (!held->still_held()) {
      return make_error(ErrorCode::locked, "device.lease_lost",
                        "stopped waiting for the device login: the store has given the right to "
                        "do so to somebody else; resume it");
    }
    const TimePoint asked_at = context.clock->now();
    const auto response = ask();
    auto judged = judge_device_poll(response, context.clock->now(), options->map_answer);
    switch (judged.verdict) {
      case DeviceVerdict::granted:
        return complete(*judged.answer, asked_at);
      case DeviceVerdict::refused:
        if (response) revoke_unread(context, terms(), *response);
        return refuse(*std::move(judged.error));
      case DeviceVerdict::failed:
        return *std::move(judged.error);
      case DeviceVerdict::pending:
      case DeviceVerdict::slow_down:
      case DeviceVerdict::trouble:
        learn(std::move(judged));
    }
  }
}

GrantTerms PendingDeviceLogin::Impl::terms() const {
  return {.server = options->server,
          .client_id = pending.client_id,
          .client_auth_method = pending.client_auth_method,
          .client_auth_kid = pending.client_auth_kid,
          .scope = pending.scope,
          .subject = pending.subject,
          .handle = options->handle,
          .dpop_jkt = pending.dpop_jkt,
          .redirect_uri = {},
          .resource_server = options->resource_server,
          .validator = options->validator,
          .nonce = {}};
}

// Not to be cancelled any more: what is not saved now is lost.
Result<SharedSession> PendingDeviceLogin::Impl::complete(const TokenAnswer& answer,
                                                         TimePoint asked_at) {
  // Before the session is saved: a device code that is used again ends its session at some servers.
  shelf.forget(pending);
  auto session = session_from_grant(answer, terms(), asked_at);
  if (!session) {
    revoke_answer(context, terms(), answer);
    shelf.drop_key(pending.dpop_jkt);
    return std::move(session).error();
  }
  session->login_id = draw_id(*context.random);
  auto saved = options->keeper->save_login(*std::move(session));
  if (!saved) shelf.drop_key(pending.dpop_jkt);
  return saved;
}

PendingDeviceLogin::PendingDeviceLogin(SharedOptions options, PendingDevice pending,
                                       std::unique_ptr<Lease> held)
    : impl_(std::make_unique<Impl>(std::move(options), std::move(pending), std::move(held))) {}
PendingDeviceLogin::PendingDeviceLogin(PendingDeviceLogin&&) noexcept = default;
PendingDeviceLogin& PendingDeviceLogin::operator=(PendingDeviceLogin&&) noexcept = default;
PendingDeviceLogin::~PendingDeviceLogin() = default;

const DeviceCodes& PendingDeviceLogin::codes() const noexcept {
  return impl_->codes;
}

Result<SharedSession> PendingDeviceLogin::poll(const DevicePollOptions& options) && {
  const auto impl = std::move(impl_);
  return impl->run(options);
}

void PendingDeviceLogin::abandon() && {
  const auto impl = std::move(impl_);
  impl->end();
}

}  // namespace latchkey
