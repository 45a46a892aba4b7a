// SPDX-License-Identifier: MIT
module;
#include <array>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
module latchkey.core.time;
import latchkey.core.error;

namespace latchkey {
namespace {

using namespace std::chrono;

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

// Exactly `count` digits at `pos`, or nullopt.
std::optional<int> digits(std::string_view text, std::size_t pos, std::size_t count) {
  if (pos + count > text.size()) return std::nullopt;
  int value = 0;
  for (std::size_t i = pos; i < pos + count; ++i) {
    if (!is_digit(text[i])) return std::nullopt;
    value = value * 10 + (text[i] - '0');
  }
  return value;
}

bool has(std::string_view text, std::size_t pos, char c) {
  return pos < text.size() && text[pos] == c;
}

std::optional<TimePoint> civil(int y, int mon, int d, int h, int min, int s) {
  const year_month_day date{year{y}, month{static_cast<unsigned>(mon)},
                            day{static_cast<unsigned>(d)}};
  if (!date.ok() || h > 23 || min > 59 || s > 60) return std::nullopt;
  return TimePoint{sys_days{date}} + hours{h} + minutes{min} + seconds{s};
}

std::optional<TimePoint> parse(std::string_view text) {
  const auto y = digits(text, 0, 4), mon = digits(text, 5, 2), d = digits(text, 8, 2);
  const auto h = digits(text, 11, 2), min = digits(text, 14, 2), s = digits(text, 17, 2);
  if (!y || !mon || !d || !h || !min || !s || !has(text, 4, '-') || !has(text, 7, '-') ||
      !(has(text, 10, 'T') || has(text, 10, 't')) || !has(text, 13, ':') || !has(text, 16, ':')) {
    return std::nullopt;
  }
  auto time = civil(*y, *mon, *d, *h, *min, *s);
  if (!time) return std::nullopt;
  std::size_t pos = 19;
  if (has(text, pos, '.')) {
    const std::size_t start = ++pos;
    int millis = 0;
    for (; pos < text.size() && is_digit(text[pos]); ++pos) {
      if (pos - start < 3) millis = millis * 10 + (text[pos] - '0');
    }
    const std::size_t count = pos - start;
    if (count == 0 || count > 9) return std::nullopt;
    for (std::size_t i = count; i < 3; ++i) millis *= 10;
    *time += milliseconds{millis};
  }
  if (pos + 1 == text.size() && (text[pos] == 'Z' || text[pos] == 'z')) return time;
  if (pos + 6 != text.size() || (text[pos] != '+' && text[pos] != '-') || text[pos + 3] != ':')
    return std::nullopt;
  const auto oh = digits(text, pos + 1, 2), om = digits(text, pos + 4, 2);
  if (!oh || !om || *oh > 23 || *om > 59) return std::nullopt;
  const auto offset = hours{*oh} + minutes{*om};
  return text[pos] == '+' ? *time - offset : *time + offset;
}

constexpr std::array<std::string_view, 12> kMonths{"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                   "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

}  // namespace

std::string format_rfc3339(TimePoint time) {
  if (time == kMalformedTime) return "malformed";
  const auto day = floor<days>(time);
  const year_month_day date{day};
  const hh_mm_ss clock{time - day};
  std::array<char, 40> text{};
  const int millis = static_cast<int>(clock.subseconds().count());
  int size = std::snprintf(
      text.data(), text.size(), "%04d-%02u-%02uT%02d:%02d:%02d", static_cast<int>(date.year()),
      static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
      static_cast<int>(clock.hours().count()), static_cast<int>(clock.minutes().count()),
      static_cast<int>(clock.seconds().count()));
  std::string out(text.data(), static_cast<std::size_t>(size));
  if (millis != 0) {
    size = std::snprintf(text.data(), text.size(), ".%03d", millis);
    out.append(text.data(), static_cast<std::size_t>(size));
  }
  return out + 'Z';
}

Result<TimePoint> parse_rfc3339(std::string_view text) {
  if (const auto time = parse(text)) return *time;
  return make_error(
      ErrorCode::invalid_argument, "time.malformed",
      "cannot read a time: it is not RFC 3339 text; write it like 2026-11-20T09:30:00Z");
}

std::optional<TimePoint> parse_http_date(std::string_view text) {
  // "Sun, 06 Nov 1994 08:49:37 GMT"
  if (text.size() != 29 || text.substr(3, 2) != ", " || text.substr(25) != " GMT" ||
      text[7] != ' ' || text[11] != ' ' || text[16] != ' ' || text[19] != ':' || text[22] != ':') {
    return std::nullopt;
  }
  int mon = 0;
  for (std::size_t i = 0; i < kMonths.size(); ++i) {
    if (text.substr(8, 3) == kMonths[i]) mon = static_cast<int>(i) + 1;
  }
  const auto d = digits(text, 5, 2), y = digits(text, 12, 4), h = digits(text, 17, 2),
             min = digits(text, 20, 2), s = digits(text, 23, 2);
  if (mon == 0 || !d || !y || !h || !min || !s) return std::nullopt;
  return civil(*y, mon, *d, *h, *min, *s);
}

Clock::~Clock() {}

TimePoint SystemClock::now() const {
  return floor<milliseconds>(system_clock::now());
}

steady_clock::time_point SystemClock::steady_now() const {
  return steady_clock::now();
}

bool SystemClock::sleep_for(Duration duration, std::stop_token stop) {
  std::mutex mutex;
  std::condition_variable_any wake;
  std::unique_lock lock(mutex);
  return !wake.wait_for(lock, stop, duration, [&] { return stop.stop_requested(); });
}

TimePoint ManualClock::now() const {
  const std::scoped_lock lock(mutex_);
  return now_;
}

steady_clock::time_point ManualClock::steady_now() const {
  const std::scoped_lock lock(mutex_);
  return steady_clock::time_point{} + hours{1} + steady_;
}

bool ManualClock::sleep_for(Duration duration, std::stop_token stop) {
  if (stop.stop_requested()) return false;
  const std::scoped_lock lock(mutex_);
  now_ += duration;
  steady_ += duration;
  slept_ += duration;
  return true;
}

void ManualClock::advance(Duration duration) {
  const std::scoped_lock lock(mutex_);
  now_ += duration;
  steady_ += duration;
}

Duration ManualClock::slept() const {
  const std::scoped_lock lock(mutex_);
  return slept_;
}

}  // namespace latchkey
