// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
module latchkey.atproto.xrpc;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.json;
import latchkey.core.secret;
import latchkey.core.time;
import latchkey.http;

namespace latchkey {
namespace {

std::optional<std::uint64_t> number_in(const HttpResponse& response, std::string_view name) {
  const std::string* text = response.headers.find(name);
  if (text == nullptr) return std::nullopt;
  std::uint64_t value = 0;
  const auto [end, fault] = std::from_chars(text->data(), text->data() + text->size(), value);
  if (fault != std::errc{} || end != text->data() + text->size()) return std::nullopt;
  return value;
}

// RateLimit-Reset, a Unix time.
std::optional<TimePoint> reset_time(const HttpResponse& response) {
  constexpr std::uint64_t kFarthest = 253'402'300'799;  // the end of the year 9999
  const auto at = number_in(response, "RateLimit-Reset");
  if (!at || *at > kFarthest) return std::nullopt;
  return TimePoint{std::chrono::seconds{*at}};
}

std::optional<std::chrono::seconds> rate_limit_reset(const HttpResponse& response, TimePoint now) {
  const auto at = reset_time(response);
  if (!at) return std::nullopt;
  return std::clamp(std::chrono::ceil<std::chrono::seconds>(*at - now), std::chrono::seconds{0},
                    std::chrono::seconds{std::chrono::hours{24}});
}

bool lacks_scope(const HttpResponse& response, std::string_view name) {
  if (response.status != 403) return false;
  if (name == "ScopeMissingError") return true;
  const auto challenges = parse_challenges(response.headers);  // RFC 6750 §3.1
  return std::any_of(challenges.begin(), challenges.end(), [](const Challenge& challenge) {
    const std::string* error = challenge.find("error");
    return error != nullptr && *error == "insufficient_scope";
  });
}

ErrorCode code_of(const HttpResponse& response, std::string_view name) {
  if (name == "RecordNotFound" || name == "RepoNotFound") return ErrorCode::record_not_found;
  if (name == "InvalidSwap") return ErrorCode::invalid_swap;
  if (lacks_scope(response, name)) return ErrorCode::insufficient_scope;
  if (response.status == 429 || name == "RateLimitExceeded") return ErrorCode::rate_limited;
  return ErrorCode::resource_error;
}

// Servers put what they refused into their messages. Parts of JWTs and long runs of token
// characters are cut out, but for runs without upper case: CIDs and record keys are what a person
// needs to see.
bool is_token_like(std::string_view run) {
  if (run.starts_with("eyJ")) return true;
  return run.size() >= 32 &&
         std::any_of(run.begin(), run.end(), [](char c) { return c >= 'A' && c <= 'Z'; });
}

std::string without_tokens(std::string_view text) {
  constexpr std::string_view token_characters =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  std::string out;
  while (!text.empty()) {
    const auto run = std::min(text.find_first_not_of(token_characters), text.size());
    out += is_token_like(text.substr(0, run)) ? std::string_view("[...]") : text.substr(0, run);
    text.remove_prefix(run);
    const auto rest = std::min(text.find_first_of(token_characters), text.size());
    out += text.substr(0, rest);
    text.remove_prefix(rest);
  }
  return out;
}

bool is_error_name(std::string_view name) {
  return !name.empty() && name.size() <= 64 && std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
  });
}

}  // namespace

RateLimit rate_limit_of(const HttpResponse& response) {
  RateLimit out{.limit = number_in(response, "RateLimit-Limit"),
                .remaining = number_in(response, "RateLimit-Remaining"),
                .resets_at = reset_time(response)};
  if (const std::string* policy = response.headers.find("RateLimit-Policy"))
    out.policy = printable(*policy, 200);
  return out;
}

Error xrpc_error(std::string_view nsid, const HttpResponse& response, TimePoint now) {
  std::string name, message;
  if (has_json_content(response)) {
    if (auto body =
            JsonObject::parse(response.body.expose(), ErrorCode::invalid_response, "xrpc")) {
      if (auto text = body->string("error"); text && text->has_value()) name = **text;
      if (auto text = body->string("message"); text && text->has_value()) {
        message = printable(without_tokens(**text), 300);
      }
    }
  }
  const bool named = is_error_name(name);
  std::string text =
      "the server refused " + std::string(nsid) + ": " +
      (message.empty() ? (named ? name : "status " + std::to_string(response.status)) : message);
  const ErrorCode code = code_of(response, name);
  if (code == ErrorCode::insufficient_scope) text += "; log in again and ask for this permission";
  Error error = make_error(code, named ? "xrpc." + name : "xrpc.status", std::move(text));
  error.http_status = response.status;
  // What the server says of its own clock is measured by that clock.
  const std::string* date = response.headers.find("Date");
  const TimePoint there = date == nullptr ? now : parse_http_date(*date).value_or(now);
  error.retry_after = retry_after(response, there);
  if (!error.retry_after && code == ErrorCode::rate_limited)
    error.retry_after = rate_limit_reset(response, there);
  return error;
}

}  // namespace latchkey
