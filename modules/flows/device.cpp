// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <cstddef>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
module latchkey.flows.device;
import latchkey.core.crypto;
import latchkey.core.error;
import latchkey.core.time;
import latchkey.flows.code_login;
import latchkey.flows.device_login;
import latchkey.flows.device_shelf;
import latchkey.http;
import latchkey.http.policy;
import latchkey.oauth.device;
import latchkey.oauth.pending_device;
import latchkey.oauth.scope;
import latchkey.refresh.context;

namespace latchkey {
namespace {

using SharedOptions = std::shared_ptr<const DeviceFlowOptions>;

constexpr std::size_t kIdBytes = 16;

Error not_pending() {
  return make_error(ErrorCode::login_required, "device.not_pending",
                    "cannot resume this device login: it is finished, was given up, or has "
                    "expired; log in again");
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

PendingDevice describe(const DeviceFlowOptions& options, DeviceAuthorization given, std::string jkt,
                       TimePoint asked_at) {
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
  const DeviceShelf shelf(context);
  const auto fail = [&](Error error) {
    shelf.drop_key(jkt);
    return error;
  };
  auto pending = ask_for_codes(*options_, jkt, std::move(stop));
  if (!pending) return fail(std::move(pending).error());
  auto held = shelf.lease(pending->id);
  if (!held) return fail(std::move(held).error());
  if (auto kept = shelf.keep(*pending); !kept) return fail(std::move(kept).error());
  return PendingDeviceLogin(options_, *std::move(pending), *std::move(held));
}

Result<std::vector<DeviceCodes>> DeviceFlow::resumable() const {
  const auto waiting = DeviceShelf(options_->keeper->context()).all();
  if (!waiting) return waiting.error();
  std::vector<DeviceCodes> codes;
  for (const auto& pending : *waiting) {
    if (is_ours(pending, *options_)) codes.push_back(codes_of(pending));
  }
  return codes;
}

Result<PendingDeviceLogin> DeviceFlow::resume(std::string_view id) const {
  const DeviceShelf shelf(options_->keeper->context());
  auto held = shelf.lease(id);
  if (!held) return std::move(held).error();
  auto pending = shelf.find(id);
  if (!pending) return std::move(pending).error();
  if (!*pending) return not_pending();
  if (!is_ours(**pending, *options_)) {
    return make_error(ErrorCode::client_mismatch, "device.other_client",
                      "cannot resume this device login: another client began it, or it is of "
                      "another server; use the settings that it was begun with");
  }
  return PendingDeviceLogin(options_, **std::move(pending), *std::move(held));
}

}  // namespace latchkey
