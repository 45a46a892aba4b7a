// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>
module latchkey.cli.interaction;
import latchkey.cli.input;
import latchkey.cli.options;
import latchkey.cli.report;
import latchkey.core.error;
import latchkey.core.os.process;
import latchkey.core.url;
import latchkey.flows.interaction;
import latchkey.loopback.headless;

namespace latchkey::cli {
namespace {

constexpr const char* kHeadless = "LATCHKEY_HEADLESS";

std::string remedy(const std::vector<LoginWay>& ways, bool has_device_grant) {
  const auto helps = [&](LoginWay way) {
    return std::find(ways.begin(), ways.end(), way) != ways.end();
  };
  if (has_device_grant && helps(LoginWay::device))
    return "log in with --device (a code to type on another machine), or with --paste";
  if (helps(LoginWay::paste))
    return "log in with --paste (a browser on another machine, and the address it ends on)";
  return "log in where somebody can, or use an API key (--api-key-file)";
}

}  // namespace

std::optional<std::string> headless_advice(const Surroundings& surroundings,
                                           bool has_device_grant) {
  const auto forced = surroundings.variable(kHeadless);
  if (forced && (*forced == "1" || *forced == "true" || *forced == "yes"))
    return std::string(kHeadless) +
           " is set: " + remedy({LoginWay::device, LoginWay::paste}, has_device_grant);
  const auto reason = headless_reason(surroundings);
  if (!reason) return std::nullopt;
  return "a browser opened here would not reach you, for " + reason->reason + ": " +
         remedy(reason->ways, has_device_grant);
}

Meeting meeting_here(Meeting meeting, bool has_device_grant) {
  if (meeting != Meeting::open) return meeting;
  const auto advice = headless_advice(system_surroundings(), has_device_grant);
  if (!advice) return meeting;
  say(*advice);
  return Meeting::no_browser;
}

LoginInteraction interaction_for(const Options& options, Meeting meeting, int timeout_seconds) {
  const bool opens = meeting == Meeting::open;
  LoginInteraction interaction;
  interaction.timeout = std::chrono::seconds{timeout_seconds};
  interaction.stop = options.stop;
  interaction.open_browser = opens;
  interaction.on_url = [opens](const Url& url) {
    say(opens ? "opening your browser to sign in; if nothing opens, visit this address yourself:"
              : "visit this address to sign in:");
    show(url.text());
  };
  interaction.on_browser_failure = [](const Error&) {
    say("no browser could be opened here: copy the address into one on this machine, or start "
        "again with --paste to "
        "use a browser on another");
  };
  interaction.on_stray = [] {
    say("a browser came back from another login (a stale tab?): ignored, still waiting for this "
        "one");
  };
  if (meeting == Meeting::paste) {
    interaction.paste = [stop = options.stop] {
      say("then paste the address on which the browser ends (it has code= or error= in it; that "
          "its "
          "page can't be reached is fine) and press Enter:");
      return read_line(stop);
    };
  } else {
    const auto wait = interaction.on_url;
    interaction.on_url = [wait, seconds = timeout_seconds](const Url& url) {
      wait(url);
      say("waiting for you to finish in the browser, at most " + std::to_string(seconds) +
          " s; Ctrl-C to give up");
    };
  }
  return interaction;
}

}  // namespace latchkey::cli
