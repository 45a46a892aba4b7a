// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
module latchkey.cli.profile.device;
import latchkey.cli.report;
import latchkey.cli.terminal;
import latchkey.cli.terminal.qr_code;
import latchkey.cli.terminal.status_line;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.flows.device;
import latchkey.session;

namespace latchkey::cli {
namespace {

void write_to_person(std::string_view text) {
  std::fwrite(text.data(), 1, text.size(), stderr);
  std::fflush(stderr);
}

// The one of this profile that has the most time left.
Result<PendingDeviceLogin> resume(const DeviceFlow& flow, const std::string& name) {
  auto waiting = flow.resumable();
  if (!waiting) return std::move(waiting).error();
  std::erase_if(*waiting, [&](const DeviceCodes& codes) { return codes.subject != name; });
  const auto last =
      std::max_element(waiting->begin(), waiting->end(),
                       [](const auto& a, const auto& b) { return a.expires_at < b.expires_at; });
  if (last != waiting->end()) return flow.resume(last->id);
  return make_error(ErrorCode::login_required, "profile.nothing_to_resume",
                    "cannot go on: no device login of the profile " + name +
                        " is waiting, or it has expired; begin one with latchkey login --device "
                        "--profile " +
                        name);
}

// Each trouble is said once, not at every tick.
class Waiting {
 public:
  explicit Waiting(const Terminal& terminal)
      : line_("latchkey: waiting for you, ", " left; Ctrl-C to stop", terminal, write_to_person) {}

  void operator()(const DeviceProgress& progress) {
    const std::string trouble = progress.trouble == nullptr ? "" : progress.trouble->message;
    if (trouble != trouble_ && !trouble.empty())
      line_.say("latchkey: the provider can't be asked right now (" + trouble + "): trying again");
    trouble_ = trouble;
    line_.show(std::chrono::ceil<std::chrono::seconds>(progress.time_left));
  }

 private:
  StatusLine line_;
  std::string trouble_;
};

}  // namespace

std::string device_screen(const DeviceCodes& codes, const Terminal& terminal, bool qr_code) {
  const bool complete = !codes.verification_uri_complete.empty();
  std::string text = "latchkey: on any device with a browser, open\n  " + codes.verification_uri +
                     "\nlatchkey: and enter the code\n  " + codes.user_code + "\n";
  const auto code =
      qr_code ? make_qr_code(complete ? codes.verification_uri_complete : codes.verification_uri)
              : std::nullopt;
  const auto lines = code ? qr_lines(*code, terminal) : std::vector<std::string>();
  if (lines.empty()) return text;
  text += complete ? "latchkey: or scan this, and compare the code\n"
                   : "latchkey: this is the address to scan\n";
  for (const std::string& line : lines) text += line + "\n";
  return text;
}

Result<SessionSummary> login_device(const DeviceFlow& flow, const DeviceLogin& login) {
  auto pending = login.resume ? resume(flow, login.name) : flow.begin(login.stop);
  if (!pending) return std::move(pending).error();
  const Terminal terminal = terminal_of_standard_error();
  write_to_person(device_screen(pending->codes(), terminal, login.qr_code));
  Waiting waiting(terminal);
  auto session = std::move(*pending).poll(
      {.stop = login.stop,
       .on_progress = [&](const DeviceProgress& progress) { waiting(progress); }});
  if (session) return static_cast<const SessionSummary&>(**session);
  Error error = std::move(session).error();
  if (error.detail == "device.cancelled" || error.detail == "device.lease_lost")
    error.message += ": latchkey login --device --resume --profile " + login.name + " goes on";
  return error;
}

}  // namespace latchkey::cli
