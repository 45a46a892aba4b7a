// SPDX-License-Identifier: MIT
module;
#include <string>
export module latchkey.cli.profile.login;
import latchkey.cli.interaction;
import latchkey.cli.options;
import latchkey.cli.profile.assembly;
import latchkey.core.error;
import latchkey.session;

// Logging a profile in, by a browser or as a device.

export namespace latchkey::cli {

struct ProfileLogin {
  Meeting meeting = Meeting::open;
  int timeout_seconds = 300;
  bool device = false;  ///< by a code that is typed on another machine (RFC 8628)
  bool resume = false;  ///< go on waiting for the code of before
  bool qr_code = true;
};

/// Assembles the profile, finds its provider, logs in, and saves the profile's file. Where no
/// session needs the file of before, it is saved before the login too, and left by an error, so
/// that `latchkey login --profile NAME` tries again and `--resume` goes on; else it stays as it was
/// until the new session is there. Errors: those of all of these and of check_name_free;
/// invalid_argument, "profile.is_api_key", "cli.device_resource"; login_required,
/// "profile.nothing_to_resume".
[[nodiscard]] Result<SessionSummary> login_profile(const Options& options,
                                                   const ProfileFlags& flags,
                                                   const ProfileLogin& login);

}  // namespace latchkey::cli
