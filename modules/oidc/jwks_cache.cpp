// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
module latchkey.oidc.jwks_cache;
import latchkey.core.error;
import latchkey.core.time;
import latchkey.core.trim;
import latchkey.core.url;
import latchkey.http;
import latchkey.http.policy;
import latchkey.oidc.jwks;

namespace latchkey {
namespace {

Error cancelled(const Url& jwks_uri) {
  return make_error(ErrorCode::cancelled, "jwks.cancelled",
                    "stopped waiting for the keys at " + jwks_uri.origin() + ": it was asked to");
}

std::string lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  return out;
}

// Digits and nothing else; what does not fit is as long as can be (RFC 9111 §1.2.2).
std::optional<std::chrono::seconds> parse_seconds(std::string_view text) {
  constexpr std::int64_t kLongest = 2'147'483'648;
  if (text.empty() || text.find_first_not_of("0123456789") != std::string_view::npos) {
    return std::nullopt;
  }
  std::int64_t value = 0;
  const auto read = std::from_chars(text.data(), text.data() + text.size(), value);
  return std::chrono::seconds(read.ec == std::errc{} ? std::min(value, kLongest) : kLongest);
}

// What one directive allows; nothing if it is none about that. What cannot be read allows nothing.
std::optional<std::chrono::seconds> allowed_by(std::string_view directive) {
  const std::string text = lower(trimmed(directive, kBlanks));
  if (text == "no-store" || text.starts_with("no-cache")) return std::chrono::seconds(0);
  if (!text.starts_with("max-age")) return std::nullopt;
  const auto equals = text.find('=');
  const auto value =
      equals == std::string::npos ? std::string_view{} : std::string_view(text).substr(equals + 1);
  return parse_seconds(value).value_or(std::chrono::seconds(0));
}

// The least of all directives.
std::optional<std::chrono::seconds> allowed_by_all(const HttpResponse& response) {
  std::optional<std::chrono::seconds> least;
  for (std::string_view rest : response.headers.all("Cache-Control")) {
    while (!rest.empty()) {
      const auto comma = std::min(rest.find(','), rest.size());
      if (const auto allowed = allowed_by(rest.substr(0, comma))) {
        least = least ? std::min(*least, *allowed) : *allowed;
      }
      rest.remove_prefix(std::min(comma + 1, rest.size()));
    }
  }
  return least;
}

}  // namespace

Duration jwks_lifetime(const HttpResponse& response) {
  auto lifetime = allowed_by_all(response).value_or(kJwksLifetime);
  if (const auto* age = response.headers.find("Age")) {
    lifetime -= parse_seconds(*age).value_or(std::chrono::seconds(0));
  }
  return std::clamp<Duration>(lifetime, kMinJwksLifetime, kMaxJwksLifetime);
}

JwksCache::JwksCache(std::shared_ptr<HttpTransport> transport, std::shared_ptr<Clock> clock,
                     Url jwks_uri)
    : transport_(std::move(transport)), clock_(std::move(clock)), jwks_uri_(std::move(jwks_uri)) {}

Result<std::shared_ptr<const JwkSet>> JwksCache::current(std::stop_token stop) {
  Lock lock(mutex_);
  const auto seen = fetches_;
  for (;;) {
    const auto now = clock_->steady_now();
    if (keys_ && now < fresh_until_) return keys_;
    const bool old_will_do = keys_ && now < fresh_until_ + kMaxJwksStaleness;
    const bool failed_lately = error_ && now < failed_at_ + kJwksRefetchInterval;
    if (old_will_do && (fetching_ || failed_lately)) return keys_;
    if (fetches_ != seen && error_) return *error_;  // the fetch that was waited for
    if (!fetching_) {
      auto fetched = fetch(lock, stop);
      if (fetched || old_will_do) return keys_;
      return std::move(fetched).error();
    }
    if (!wait_for_fetch(lock, stop)) return cancelled(jwks_uri_);
  }
}

std::shared_ptr<const JwkSet> JwksCache::other_than(const std::shared_ptr<const JwkSet>& seen,
                                                    std::stop_token stop) {
  Lock lock(mutex_);
  while (keys_ == seen && fetching_ && wait_for_fetch(lock, stop)) {
  }
  if (keys_ != seen) return keys_;
  const auto now = clock_->steady_now();
  const bool lately = asked_for_others_ && now < *asked_for_others_ + kJwksRefetchInterval;
  if (fetching_ || lately) return nullptr;
  asked_for_others_ = now;
  const auto fetched = fetch(lock, stop);
  if (!fetched && fetched.error().code == ErrorCode::cancelled) asked_for_others_.reset();
  return keys_ == seen ? nullptr : keys_;
}

Result<JwksCache::Answer> JwksCache::ask(const std::stop_token& stop) const {
  const auto response = transport_->send(json_get(jwks_uri_), metadata_limits(stop));
  if (!response) return response.error();
  auto keys = process_jwks_response(jwks_uri_.htu(), *response);
  if (!keys) return std::move(keys).error();
  return Answer{std::make_shared<const JwkSet>(*std::move(keys)), jwks_lifetime(*response)};
}

// Sends without the lock. A cancelled fetch counts as none: whoever waits makes his own.
Result<void> JwksCache::fetch(Lock& lock, const std::stop_token& stop) {
  fetching_ = true;
  lock.unlock();
  auto answer = ask(stop);
  lock.lock();
  fetching_ = false;
  landed_.notify_all();
  if (!answer && answer.error().code == ErrorCode::cancelled) return std::move(answer).error();
  ++fetches_;
  const auto now = clock_->steady_now();
  if (!answer) {
    error_ = answer.error();
    failed_at_ = now;
    return std::move(answer).error();
  }
  error_.reset();
  keys_ = std::move(answer->keys);
  fresh_until_ = now + answer->lifetime;
  return {};
}

// False if `stop` came first.
bool JwksCache::wait_for_fetch(Lock& lock, const std::stop_token& stop) {
  return landed_.wait(lock, stop, [this] { return !fetching_; });
}

}  // namespace latchkey
