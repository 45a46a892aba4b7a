// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
module latchkey.oauth.device;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.json;
import latchkey.core.secret;
import latchkey.core.time;
import latchkey.core.url;
import latchkey.http;
import latchkey.oauth.authorization;
import latchkey.oauth.client_auth;
import latchkey.oauth.token;

namespace latchkey {
namespace {

using std::chrono::seconds;

constexpr std::string_view kStep = "device";
constexpr std::string_view kGrantType = "urn:ietf:params:oauth:grant-type:device_code";
constexpr std::size_t kMaxDeviceCode = 4 * 1024;
constexpr std::size_t kMaxUserCode = 64;
constexpr seconds kLongestInterval{300};
constexpr seconds kLongestLifetime = std::chrono::hours{24};
constexpr Duration kLongestBackOff = std::chrono::minutes{1};

constexpr std::array<std::string_view, 7> kReserved = {"client_assertion",
                                                       "client_assertion_type",
                                                       "client_id",
                                                       "client_secret",
                                                       "device_code",
                                                       "grant_type",
                                                       "scope"};

Error answer_error(std::string_view fact, const std::string& why) {
  return make_error(ErrorCode::invalid_response, "device." + std::string(fact),
                    "cannot use the answer to the device login: " + why);
}

Result<void> check_extra(const FormFields& extra) {
  for (const auto& [name, value] : extra) {
    if (std::find(kReserved.begin(), kReserved.end(), name) != kReserved.end()) {
      return make_error(ErrorCode::invalid_argument, "device.reserved_field",
                        "cannot send the field " + name +
                            " with a device login: the login sets it itself; leave it out");
    }
    const auto same = [&](const auto& other) { return other.first == name; };
    if (name.empty() || std::count_if(extra.begin(), extra.end(), same) > 1) {
      return make_error(ErrorCode::invalid_argument, "device.duplicate_field",
                        "cannot send the field \"" + printable(name, 64) +
                            "\" with a device login: it has no name, or is there twice");
    }
  }
  return {};
}

bool is_in(std::string_view text, char first, char last) {
  return std::all_of(text.begin(), text.end(), [&](char c) { return c >= first && c <= last; });
}

// An address that a person is sent to: they would type a password there.
Result<std::string> read_address(std::string text, std::string_view name) {
  const auto url = Url::parse(text);
  if (url && check_scheme(*url, HttpRule::allow_http_for_loopback)) return text;
  return answer_error(name, "its " + std::string(name) + " is no https URL");
}

Result<std::string> read_verification_uri(const JsonObject& object) {
  // Google calls it as it was called in a draft.
  const bool draft = !object.contains("verification_uri") && object.contains("verification_url");
  auto text = object.required_string(draft ? "verification_url" : "verification_uri");
  if (!text) return text;
  return read_address(*std::move(text), "verification_uri");
}

Result<std::string> read_complete_uri(const JsonObject& object) {
  auto text = object.string("verification_uri_complete");
  if (!text) return std::move(text).error();
  if (!*text || (*text)->empty()) return std::string();
  return read_address(**std::move(text), "verification_uri_complete");
}

Result<std::string> read_user_code(const JsonObject& object) {
  auto code = object.required_string("user_code");
  if (code && (code->size() > kMaxUserCode || !is_in(*code, ' ', '~'))) {
    return answer_error("user_code", "its user_code is too long, or nothing that can be typed");
  }
  return code;
}

Result<SecretString> read_device_code(JsonObject& object) {
  auto code = object.take_secret("device_code");
  if (!code) return std::move(code).error();
  if (!*code) return object.missing("device_code");
  const auto text = (*code)->expose();
  if (text.empty() || text.size() > kMaxDeviceCode || !is_in(text, ' ', '~')) {
    return answer_error("device_code",
                        "its device_code is empty, over 4 KiB or not printable ASCII");
  }
  return **std::move(code);
}

Result<seconds> read_lifetime(const JsonObject& object) {
  const auto given = object.number("expires_in");
  if (!given) return given.error();
  if (!*given) return object.missing("expires_in");
  if (!(**given >= 1)) return answer_error("expires_in", "it has expired already");
  const double most = static_cast<double>(kLongestLifetime.count());
  return seconds(static_cast<seconds::rep>(std::min(**given, most)));
}

Result<seconds> read_interval(const JsonObject& object) {
  const auto given = object.number("interval");
  if (!given) return given.error();
  if (!*given || !(**given > 0)) return kDeviceInterval;
  const double most = static_cast<double>(kLongestInterval.count());
  return seconds(static_cast<seconds::rep>(std::ceil(std::min(**given, most))));
}

bool is_network_trouble(const Error& error) {
  switch (error.code) {
    case ErrorCode::unreachable:
    case ErrorCode::tls_failed:
    case ErrorCode::timeout:
    case ErrorCode::connection_lost:
      return true;
    default:
      return false;
  }
}

// The two ends that everybody meets, in words for the person who waits.
Error final_error(Error error) {
  const std::string_view name = error.oauth ? std::string_view(error.oauth->error) : "";
  if (name == "expired_token") {
    error.code = ErrorCode::timeout;
    error.message = "device login failed: the code was not confirmed in time; log in again";
  } else if (name == "access_denied") {
    error.message = "device login refused: the user or the server said no";
  }
  return error;
}

DeviceVerdict verdict_of(const Error& error) {
  using enum DeviceVerdict;
  if (error.http_status >= 500) return trouble;
  if (error.code == ErrorCode::invalid_response) return failed;
  const std::string_view name = error.oauth ? std::string_view(error.oauth->error) : "";
  // Some servers say it with the status 429.
  if (name == "slow_down") return slow_down;
  if (error.code == ErrorCode::rate_limited) return trouble;
  return name == "authorization_pending" ? pending : refused;
}

}  // namespace

Result<HttpRequest> build_device_request(const DeviceRequest& request,
                                         ClientAuthenticator& client) {
  auto url = parse_endpoint(request.endpoint, kStep);
  if (!url) return std::move(url).error();
  if (auto fine = check_extra(request.extra); !fine) return std::move(fine).error();
  ClientRequest post{.url = *std::move(url)};
  if (!request.scope.empty()) post.form.add("scope", request.scope);
  for (const auto& [name, value] : request.extra) post.form.add(name, value);
  return finish_request(std::move(post), client, request.issuer, request.client_auth_kid);
}

Result<DeviceAuthorization> process_device_response(const HttpResponse& response, TimePoint now) {
  if (response.status != 200) return oauth_error(kStep, response, now);
  if (!has_json_content(response)) {
    return answer_error("content_type", "its content type is not JSON");
  }
  auto object = JsonObject::parse(response.body.expose(), ErrorCode::invalid_response, kStep);
  if (!object) return std::move(object).error();
  // Some servers answer errors with 200.
  if (object->contains("error") && !object->contains("device_code")) {
    return oauth_error(kStep, response, now);
  }
  auto device_code = read_device_code(*object);
  if (!device_code) return std::move(device_code).error();
  auto user_code = read_user_code(*object);
  if (!user_code) return std::move(user_code).error();
  auto uri = read_verification_uri(*object);
  if (!uri) return std::move(uri).error();
  auto complete = read_complete_uri(*object);
  if (!complete) return std::move(complete).error();
  const auto lifetime = read_lifetime(*object);
  if (!lifetime) return lifetime.error();
  const auto interval = read_interval(*object);
  if (!interval) return interval.error();
  return DeviceAuthorization{.device_code = *std::move(device_code),
                             .user_code = *std::move(user_code),
                             .verification_uri = *std::move(uri),
                             .verification_uri_complete = *std::move(complete),
                             .expires_in = *lifetime,
                             .interval = *interval};
}

Result<HttpRequest> build_device_poll(std::string_view token_endpoint, std::string_view issuer,
                                      std::string_view client_auth_kid,
                                      const SecretString& device_code,
                                      ClientAuthenticator& client) {
  auto url = parse_endpoint(token_endpoint, kStep);
  if (!url) return std::move(url).error();
  ClientRequest post{.url = *std::move(url)};
  post.form.add("grant_type", kGrantType).add("device_code", device_code.expose());
  return finish_request(std::move(post), client, issuer, client_auth_kid);
}

JudgedPoll judge_device_poll(const Result<HttpResponse>& answer, TimePoint now,
                             const TokenAnswerMapper& map) {
  using enum DeviceVerdict;
  if (!answer) {
    return {.verdict = is_network_trouble(answer.error()) ? trouble : failed,
            .error = answer.error()};
  }
  auto tokens = process_token_response(kStep, *answer, now, map);
  if (tokens) return {.verdict = granted, .answer = *std::move(tokens)};
  Error error = std::move(tokens).error();
  // Whatever a 200 was meant to be, it was the one answer that there is.
  const bool spent = answer->status == 200 && error.code == ErrorCode::invalid_response;
  const auto verdict = spent ? refused : verdict_of(error);
  if (verdict == refused) error = final_error(std::move(error));
  return {.verdict = verdict, .error = std::move(error)};
}

Duration device_poll_delay(seconds interval, unsigned troubles,
                           std::optional<seconds> retry_after) {
  Duration delay = interval;
  for (unsigned i = 0; i < troubles && delay < kLongestBackOff; ++i) delay *= 2;
  if (troubles > 0) delay = std::max<Duration>(interval, std::min(delay, kLongestBackOff));
  if (retry_after) delay = std::max<Duration>(delay, *retry_after);
  return delay;
}

}  // namespace latchkey
