// SPDX-License-Identifier: MIT
module;
#include <functional>
#include <stop_token>
#include <string>
#include <string_view>
export module latchkey.cli.profile.device;
import latchkey.cli.terminal;
import latchkey.core.error;
import latchkey.flows.device;
import latchkey.session;

// A device login as a person at the terminal sees it: the code, the address, the address as a QR
// code, and the time that is left.

export namespace latchkey::cli {

struct DeviceLogin {
  std::string name;     ///< of the profile
  bool resume = false;  ///< the one that was begun before
  bool qr_code = true;
  std::stop_token stop{};
};

/// Waits for the person. Stopped, it says how to go on. Errors: those of DeviceFlow and of
/// PendingDeviceLogin::poll; login_required, "profile.nothing_to_resume".
[[nodiscard]] Result<SessionSummary> login_device(const DeviceFlow& flow, const DeviceLogin& login);

/// What is shown of the codes, whole lines.
[[nodiscard]] std::string device_screen(const DeviceCodes& codes, const Terminal& terminal,
                                        bool qr_code);

}  // namespace latchkey::cli
