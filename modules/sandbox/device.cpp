// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <list>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
module latchkey.sandbox.device;
import latchkey.core.crypto;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.time;
import latchkey.sandbox.authorization_request;
import latchkey.sandbox.client_auth;
import latchkey.sandbox.clients;
import latchkey.sandbox.message;
import latchkey.sandbox.tokens;

namespace latchkey::sandbox {
namespace {

using std::chrono::minutes;
using std::chrono::seconds;

constexpr minutes kLifetime{10};
// A poll that comes after that is told expired_token and not that the code is unknown.
constexpr minutes kRemembered{60};
constexpr seconds kSlower{5};  // RFC 8628 §3.5
// RFC 8628 §6.1: no vowels, so that no words come out, and nothing that looks like another.
constexpr std::string_view kLetters = "BCDFGHJKLMNPQRSTVWXZ";
constexpr std::size_t kCodeSize = 8;

// As it was drawn, however it was typed.
std::string normalised(std::string_view typed) {
  std::string out;
  for (const char c : typed) {
    if (c == '-' || c == ' ') continue;
    out += c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
  }
  return out;
}

Error fail(std::string_view name, std::string_view detail, std::string description) {
  return refusal(name, detail, std::move(description));
}

}  // namespace

std::string shown_user_code(std::string_view user_code) {
  return std::string(user_code.substr(0, kCodeSize / 2)) + '-' +
         std::string(user_code.substr(std::min(user_code.size(), kCodeSize / 2)));
}

// Bytes above the last whole multiple are drawn again, or some letters would be likelier.
std::string DeviceDesk::draw_user_code() {
  constexpr std::size_t kFair = 256 / kLetters.size() * kLetters.size();
  std::string code;
  while (code.size() < kCodeSize) {
    std::array<unsigned char, 1> byte{};
    random_.fill(byte);
    if (byte[0] < kFair) code += kLetters[byte[0] % kLetters.size()];
  }
  return code;
}

void DeviceDesk::forget_old() {
  const TimePoint now = clock_.now();
  requests_.remove_if([&](const auto& one) { return now >= one.expires_at + kRemembered; });
}

Result<DeviceStart> DeviceDesk::start(const FormFields& form, Caller caller) {
  forget_old();
  if (!caller.client->allows_grant(kDeviceGrant)) {
    return fail("unauthorized_client", "device.grant_type",
                "the client does not register for the device grant");
  }
  auto scope = read_scope(form, *caller.client, "device");
  if (!scope) return std::move(scope).error();
  const std::string device_code = "dev-" + random_token(random_, 32);
  std::string user_code = draw_user_code();
  while (find(user_code) != nullptr) user_code = draw_user_code();
  requests_.push_back({.caller = std::move(caller),
                       .scope = *std::move(scope),
                       .device_code_hash = sha256_base64url(device_code),
                       .user_code = user_code,
                       .expires_at = clock_.now() + kLifetime});
  return DeviceStart{.device_code = device_code,
                     .user_code = shown_user_code(user_code),
                     .expires_in = kLifetime,
                     .interval = requests_.back().interval};
}

DeviceRequest* DeviceDesk::find(std::string_view user_code) {
  const std::string wanted = normalised(user_code);
  const auto found = std::find_if(requests_.begin(), requests_.end(), [&](const auto& one) {
    return one.user_code == wanted && one.state == DeviceRequest::State::pending &&
           clock_.now() < one.expires_at;
  });
  return found == requests_.end() ? nullptr : &*found;
}

void DeviceDesk::approve(DeviceRequest& request, std::string_view did) {
  request.state = DeviceRequest::State::allowed;
  request.did = did;
  request.auth_time = clock_.now();
}

void DeviceDesk::deny(DeviceRequest& request) {
  request.state = DeviceRequest::State::denied;
}

Result<void> DeviceDesk::check_poll(DeviceRequest& request, const Caller& caller) {
  if (request.caller.client_id() != caller.client_id()) {
    return fail("invalid_grant", "device.wrong_client", "device code of another client");
  }
  if (request.state == DeviceRequest::State::used) {
    if (request.session) ledger_.end(*request.session);
    return fail("invalid_grant", "device.used", "device code used twice");
  }
  const TimePoint now = clock_.now();
  if (now >= request.expires_at) {
    return fail("expired_token", "device.expired", "the device code has expired");
  }
  const auto last = std::exchange(request.polled, now);
  if (last && now < *last + request.interval) {
    request.interval += kSlower;
    return fail("slow_down", "device.too_early", "ask less often");
  }
  if (request.state == DeviceRequest::State::denied) {
    return fail("access_denied", "device.denied", "the user said no");
  }
  if (request.state == DeviceRequest::State::pending) {
    return fail("authorization_pending", "device.pending", "the user has not answered yet");
  }
  return {};
}

Result<IssuedTokens> DeviceDesk::poll(const FormFields& form, const Caller& caller) {
  const auto device_code = required_field(form, "token", "device_code");
  if (!device_code) return device_code.error();
  const std::string hash = sha256_base64url(*device_code);
  const auto found = std::find_if(requests_.begin(), requests_.end(),
                                  [&](const auto& one) { return one.device_code_hash == hash; });
  if (found == requests_.end()) {
    return fail("invalid_grant", "device.unknown", "unknown device code");
  }
  if (auto good = check_poll(*found, caller); !good) return std::move(good).error();
  found->state = DeviceRequest::State::used;
  auto login = ledger_.begin({.did = found->did,
                              .client_id = caller.client_id(),
                              .scope = found->scope,
                              .jkt = caller.jkt,
                              .client_key = caller.key,
                              .auth_time = found->auth_time,
                              .refreshable = caller.client->allows_grant("refresh_token")});
  found->session = login.session;
  return std::move(login.tokens);
}

}  // namespace latchkey::sandbox
