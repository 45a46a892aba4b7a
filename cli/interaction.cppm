// SPDX-License-Identifier: MIT
module;
#include <functional>
#include <optional>
#include <string>
#include <vector>
export module latchkey.cli.interaction;
import latchkey.cli.options;
import latchkey.flows.interaction;
import latchkey.loopback.headless;

// What a person is told while a login waits for him in a browser.

export namespace latchkey::cli {

/// How the person and the browser meet.
enum class Meeting {
  open,        ///< we open the browser
  no_browser,  ///< the person opens one on this machine
  paste,       ///< the browser is elsewhere, and the person carries its last address over
};

/// Says why no browser here would do and what does, if so: `meeting` is then no_browser instead of
/// open. `has_device_grant`: the server lets devices log in. LATCHKEY_HEADLESS=1 says that there
/// is none, whatever the machine looks like.
[[nodiscard]] Meeting meeting_here(Meeting meeting, bool has_device_grant);
/// The judgement of that: what to say, or nothing.
[[nodiscard]] std::optional<std::string> headless_advice(const Surroundings& surroundings,
                                                         bool has_device_grant);

[[nodiscard]] LoginInteraction interaction_for(const Options& options, Meeting meeting,
                                               int timeout_seconds);

}  // namespace latchkey::cli
