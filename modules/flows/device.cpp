// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
module latchkey.flows.device;
import latchkey.core.crypto;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.os.locks;
import latchkey.core.time;
import latchkey.flows.code_login;
import latchkey.flows.grant;
import latchkey.http;
import latchkey.http.policy;
import latchkey.oauth.device;
import latchkey.oauth.pending_device;
import latchkey.oauth.scope;
import latchkey.oauth.token;
import latchkey.refresh.context;
import latchkey.refresh.keeper;
import latchkey.refresh.pending;
import latchkey.session;
import latchkey.store;

namespace latchkey {
namespace {

using namespace std::chrono_literals;
using SharedSession = std::shared_ptr<const OAuthSession>;
using SharedOptions = std::shared_ptr<const DeviceFlowOptions>;

constexpr std::size_t kIdBytes = 16;
constexpr Duration kTick = 1s;
// A poll holds the lease all the time; whoever finds it taken for this long has found one.
constexpr Duration kLeaseWait = 500ms;

DeviceCodes codes_of(const PendingDevice& pending) {
  return {.id = pending.id,
          .subject = pending.subject,
          .user_code = pending.user_code,
          .verification_uri = pending.verification_uri,
          .verification_uri_complete = pending.verification_uri_complete,
          .expires_at = pending.expires_at};
}

Error not_pending() {
  return make_error(ErrorCode::login_required, "device.not_pending",
                    "cannot resume this device login: it is finished, was given up, or has "
                    "expired; log in again");
}

Result<void> keep(const SessionContext& context, const PendingDevice& pending) {
  const auto record = seal_pending_device(pending, context.store->sealer());
  if (!record) return record.error();
  return context.store->save_pending(*record, context.clock->now());
}

// Best effort: what stays behind has expired soon.
void forget(const SessionContext& context, std::string_view id) {
  static_cast<void>(
      context.store->take_pending(pending_device_key(id), context.clock->now()).has_value());
}

// A key without a session is of no use to anybody; one that can't be removed does no harm.
void drop_key(const SessionContext& context, const std::string& jkt) {
  if (!jkt.empty()) static_cast<void>(context.provers->remove(jkt).has_value());
}

Result<std::unique_ptr<Lease>> lease(const SessionContext& context, std::string_view id) {
  auto held = context.store->lease("device_login|" + std::string(id),
                                   {.deadline = context.clock->steady_now() + kLeaseWait});
  if (held || held.error().code != ErrorCode::locked) return held;
  return make_error(ErrorCode::locked, "device.in_progress",
                    "cannot resume this device login: another program is waiting for it already");
}

// Whether a login that was begun by somebody is one of ours.
bool is_ours(const PendingDevice& pending, const DeviceFlowOptions& options) {
  const SessionContext& context = options.keeper->context();
  return pending.client_id == context.client_id &&
         pending.client_auth_method == context.client->method() &&
         pending.issuer == options.server.issuer &&
         pending.token_endpoint == options.server.token_endpoint;
}

// Id tokens are asked for by a scope (OpenID Connect Core 1.0 §3.1.2.1).
Result<std::string> with_openid(std::string scope) {
  if (scope.empty()) return std::string("openid");
  const auto tokens = ScopeSet::parse(scope);
  if (!tokens) return tokens.error();
  return tokens->contains("openid") ? std::move(scope) : "openid " + scope;
}

PendingDevice describe(const DeviceFlowOptions& options, DeviceAuthorization given,
                       std::string jkt, TimePoint asked_at) {
  const SessionContext& context = options.keeper->context();
  const Duration lifetime = std::min<Duration>(given.expires_in, kLongestDeviceLogin);
  return {.id = random_token(*context.random, kIdBytes),
          .device_code = std::move(given.device_code),
          .user_code = std::move(given.user_code),
          .verification_uri = std::move(given.verification_uri),
          .verification_uri_complete = std::move(given.verification_uri_complete),
          .issuer = options.server.issuer,
          .token_endpoint = options.server.token_endpoint,
          .client_id = context.client_id,
          .client_auth_method = context.client->method(),
          .client_auth_kid = context.client->kid(),
          .scope = options.scope,
          .subject = options.subject,
          .dpop_jkt = std::move(jkt),
          .interval = given.interval,
          .expires_at = asked_at + lifetime};
}

Result<PendingDevice> ask_for_codes(const DeviceFlowOptions& options, const std::string& jkt,
                                    std::stop_token stop) {
  const SessionContext& context = options.keeper->context();
  const auto request =
      build_device_request({.endpoint = options.server.device_authorization_endpoint,
                            .issuer = options.server.issuer,
                            .client_auth_kid = context.client->kid(),
                            .scope = options.scope,
                            .extra = options.extra},
                           *context.client);
  if (!request) return request.error();
  const auto transport = session_transport(context, jkt);
  if (!transport) return transport.error();
  const TimePoint asked_at = context.clock->now();
  const auto response = (*transport)->send(*request, token_limits(std::move(stop)));
  if (!response) return response.error();
  auto given = process_device_response(*response, context.clock->now());
  if (!given) return std::move(given).error();
  return describe(options, *std::move(given), jkt, asked_at);
}

}  // namespace

struct PendingDeviceLogin::Impl {
  Impl(SharedOptions o, PendingDevice p, std::unique_ptr<Lease> l)
      : options(std::move(o)),
        context(options->keeper->context()),
        pending(std::move(p)),
        codes(codes_of(pending)),
        held(std::move(l)),
        deadline(context.clock->steady_now() + (pending.expires_at - context.clock->now())) {}

  SharedOptions options;
  const SessionContext& context;
  PendingDevice pending;
  DeviceCodes codes;
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
  forget(context, pending.id);
  drop_key(context, pending.dpop_jkt);
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
  forget(context, pending.id);
  static_cast<void>(keep(context, pending).has_value());
}

Error PendingDeviceLogin::Impl::refuse(Error error) {
  end();
  if (error.code != ErrorCode::invalid_grant || !answer_lost) return error;
  error.detail = "device.answer_lost";
  error.message =
      "device login failed: the connection broke while the server was answering, and it does not "
      "give the answer again; log in again";
  return error;
}

// From a poll that decided nothing.
void PendingDeviceLogin::Impl::learn(JudgedPoll judged) {
  if (judged.verdict == DeviceVerdict::slow_down) slow_down();
  const bool heard = judged.verdict != DeviceVerdict::trouble;
  troubles = heard ? 0 : troubles + 1;
  retry_after = judged.error->retry_after;
  answer_lost = answer_lost || judged.error->delivery == Delivery::maybe_sent;
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
  forget(context, pending.id);
  auto session = session_from_grant(answer, terms(), asked_at);
  if (!session) {
    revoke_answer(context, terms(), answer);
    drop_key(context, pending.dpop_jkt);
    return std::move(session).error();
  }
  session->login_id = draw_id(*context.random);
  auto saved = options->keeper->save_login(*std::move(session));
  if (!saved) drop_key(context, pending.dpop_jkt);
  return saved;
}

PendingDeviceLogin::PendingDeviceLogin(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
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

DeviceFlow::DeviceFlow(SharedOptions options) : options_(std::move(options)) {}

Result<DeviceFlow> DeviceFlow::create(DeviceFlowOptions options) {
  if (!options.keeper) {
    return make_error(ErrorCode::invalid_argument, "device.keeper_missing",
                      "cannot log devices in: there is nothing to keep their sessions; set "
                      "DeviceFlowOptions::keeper");
  }
  if (options.server.device_authorization_endpoint.empty() ||
      options.server.token_endpoint.empty()) {
    return make_error(ErrorCode::invalid_argument, "device.no_endpoint",
                      "cannot log devices in: the server has no endpoint for it; log in with a "
                      "browser");
  }
  if (options.subject.empty() && !options.validator) {
    return make_error(ErrorCode::invalid_argument, "device.subject_missing",
                      "cannot log devices in: without an id token nothing says whose the session "
                      "is; set DeviceFlowOptions::subject");
  }
  if (options.validator) {
    auto scope = with_openid(std::move(options.scope));
    if (!scope) return std::move(scope).error();
    options.scope = *std::move(scope);
  }
  return DeviceFlow(std::make_shared<const DeviceFlowOptions>(std::move(options)));
}

Result<PendingDeviceLogin> DeviceFlow::begin(std::stop_token stop) const {
  const SessionContext& context = options_->keeper->context();
  // A record that can't be read now could not be replaced afterwards either.
  if (!options_->subject.empty()) {
    if (auto readable = context.store->load(options_->subject); !readable)
      return std::move(readable).error();
  }
  std::string jkt;
  if (options_->binding == TokenBinding::dpop) {
    const auto prover = context.provers->create();
    if (!prover) return prover.error();
    jkt = (*prover)->jkt();
  }
  const auto fail = [&](Error error) {
    drop_key(context, jkt);
    return error;
  };
  auto pending = ask_for_codes(*options_, jkt, std::move(stop));
  if (!pending) return fail(std::move(pending).error());
  auto held = lease(context, pending->id);
  if (!held) return fail(std::move(held).error());
  if (auto kept = keep(context, *pending); !kept) return fail(std::move(kept).error());
  return PendingDeviceLogin(std::make_unique<PendingDeviceLogin::Impl>(
      options_, *std::move(pending), *std::move(held)));
}

Result<std::vector<DeviceCodes>> DeviceFlow::resumable() const {
  const SessionContext& context = options_->keeper->context();
  const auto side = context.store->side_records();
  if (!side) return side.error();
  std::vector<DeviceCodes> codes;
  for (const auto& row : side->pending) {
    // What can't be read is the doctor's business.
    if (!row.pending || context.clock->now() >= row.pending->expires_at) continue;
    const auto pending = open_pending_device(*row.pending, context.store->sealer());
    if (pending && *pending && is_ours(**pending, *options_)) codes.push_back(codes_of(**pending));
  }
  return codes;
}

Result<PendingDeviceLogin> DeviceFlow::resume(std::string_view id) const {
  const SessionContext& context = options_->keeper->context();
  auto held = lease(context, id);
  if (!held) return std::move(held).error();
  const auto side = context.store->side_records();
  if (!side) return side.error();
  const std::string key = pending_device_key(id);
  const auto row = std::find_if(side->pending.begin(), side->pending.end(), [&](const auto& one) {
    return one.pending && one.pending->key == key;
  });
  if (row == side->pending.end() || context.clock->now() >= row->pending->expires_at) {
    return not_pending();
  }
  auto pending = open_pending_device(*row->pending, context.store->sealer());
  if (!pending) return std::move(pending).error();
  if (!*pending) return not_pending();
  if (!is_ours(**pending, *options_)) {
    return make_error(ErrorCode::client_mismatch, "device.other_client",
                      "cannot resume this device login: another client began it, or it is of "
                      "another server; use the settings that it was begun with");
  }
  return PendingDeviceLogin(std::make_unique<PendingDeviceLogin::Impl>(
      options_, **std::move(pending), *std::move(held)));
}

}  // namespace latchkey
