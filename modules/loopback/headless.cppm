// SPDX-License-Identifier: MIT
module;
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>
export module latchkey.loopback.headless;

// Is there a person with a browser at this machine? Only a guess, for advice: a login by the
// receiver is never refused because of it.

export namespace latchkey {

/// Where to look; everything is passed in, so that tests decide what the machine is.
struct Surroundings {
  std::function<std::optional<std::string>(const std::string& name)> variable;
  std::function<bool(const std::filesystem::path&)> exists;
};

/// This machine's environment and files. Reads the environment, so not safe beside setenv.
[[nodiscard]] Surroundings system_surroundings();

enum class HeadlessCause { ci, cloud_workspace, ssh, container, no_display };

/// How a person can log in all the same.
enum class LoginWay {
  device,  ///< the device grant (RFC 8628), if the server has it
  paste,   ///< a browser elsewhere, and the address that it ends at pasted here
};

struct Headless {
  HeadlessCause cause{};
  /// A clause for people, such as "this is an SSH session (SSH_CONNECTION is set)".
  std::string reason;
  /// The best first; none where nobody is there to log in.
  std::vector<LoginWay> ways;
};

/// Why a browser opened here would not reach the person, or not bring the callback back; empty if
/// nothing speaks against it. CI and cloud workspaces always count; otherwise BROWSER or a display
/// says that somebody has seen to it.
[[nodiscard]] std::optional<Headless> headless_reason(const Surroundings& surroundings);

}  // namespace latchkey
