// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>
module latchkey.cli.doctor.checks;
import latchkey.cli.doctor.findings;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.time;
import latchkey.core.url;
import latchkey.http;
import latchkey.loopback.browser;
import latchkey.loopback.receiver;

// What is not ours: servers' clocks, ports, browsers.

namespace latchkey::cli {
namespace {

constexpr std::chrono::seconds kPatience{3};
// Servers date their answers to the second, and the answer is under way for a while.
constexpr std::chrono::seconds kGoodClock{10};
// From here on servers refuse what is signed with a time, and good tokens look expired.
constexpr std::chrono::minutes kBadClock{5};

Result<Duration> skew_of(HttpTransport& transport, const Url& url, const Clock& clock) {
  const auto before = clock.now();
  auto answer = transport.send({.method = "HEAD", .url = url},
                               {.timeout = kPatience, .connect_timeout = kPatience});
  if (!answer) return std::move(answer).error();
  const auto after = clock.now();
  const auto* date = answer->headers.find("Date");
  const auto time = date != nullptr ? parse_http_date(*date) : std::nullopt;
  if (time) return *time - (before + (after - before) / 2);
  return make_error(ErrorCode::invalid_response, "http.no_date",
                    "cannot tell the time of " + url.origin() + ": its answer has no date");
}

void add_skew(const std::string& origin, Duration skew, Findings& findings) {
  using std::chrono::abs;
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(abs(skew)).count();
  const std::string text = "this machine's clock is " + std::to_string(seconds) + " s " +
                           (skew > Duration::zero() ? "behind " : "ahead of ") + origin;
  if (abs(skew) <= kGoodClock) {
    findings.add(Severity::ok, "clock.agrees", "clock", "agrees with " + origin);
  } else if (abs(skew) <= kBadClock) {
    findings.add(Severity::note, "clock.skew", "clock",
                 text + "; latchkey corrects that in what it sends; set the clock when you can");
  } else {
    findings.add(Severity::problem, "clock.skew", "clock",
                 text +
                     ": tokens look expired or good when they are not; set the clock "
                     "(timedatectl set-ntp true)");
  }
}

}  // namespace

void check_clock(HttpTransport& transport, const std::vector<std::string>& urls, const Clock& clock,
                 Findings& findings) {
  std::set<std::string> seen;
  for (const auto& text : urls) {
    const auto url = Url::parse(text);
    if (!url) {
      findings.add(url.error(), "clock");
      continue;
    }
    if (!seen.insert(url->origin()).second) continue;
    const auto skew = skew_of(transport, *url, clock);
    if (skew) {
      add_skew(url->origin(), *skew, findings);
    } else {
      findings.add(Severity::note, "clock.unknown", "clock",
                   "not compared with " + url->origin() + ": " + skew.error().message);
    }
  }
}

void check_surroundings(Findings& findings) {
  if (const auto receiver = LoopbackReceiver::open()) {
    findings.add(Severity::ok, "loopback.port", "loopback",
                 "a port on 127.0.0.1 can be opened for logins");
  } else {
    findings.add(receiver.error(), "loopback");
  }
  if (const auto browser = system_browser_program()) {
    findings.add(Severity::ok, "browser.found", "browser",
                 printable(*browser, 200) + " would be started");
  } else {
    findings.add(Severity::note, "browser.none", "browser",
                 "none can be started from here: log in with --no-browser (a browser on this "
                 "machine) or --paste (one on another)");
  }
}

}  // namespace latchkey::cli
