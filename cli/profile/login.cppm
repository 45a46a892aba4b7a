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

/// Assembles the profile, finds its provider, saves the profile's file, and logs in. An error after
/// that leaves the file: `latchkey login --profile NAME` tries again. Errors: those of all of
/// these and of check_name_free; invalid_argument, "profile.is_api_key";
/// login_required, "profile.nothing_to_resume".
[[nodiscard]] Result<SessionSummary> login_profile(const Options& options,
                                                   const ProfileFlags& flags,
                                                   const ProfileLogin& login);

}  // namespace latchkey::cli
