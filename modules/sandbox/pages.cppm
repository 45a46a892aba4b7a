// SPDX-License-Identifier: MIT
module;
#include <string>
#include <string_view>
#include <vector>
export module latchkey.sandbox.pages;
import latchkey.sandbox.message;

// What a person sees in the browser: pages to sign in and to allow or deny, for a program or for a
// device, and one for what went wrong. No script.

export namespace latchkey::sandbox {

struct SignIn {
  std::string client_id;
  std::string request_uri;
  std::string redirect_uri;
  std::string scope;
  std::string form_token;
  std::string identifier;  ///< shown in the form
  std::string problem{};   ///< what was wrong with the last attempt; empty: nothing
};

[[nodiscard]] Response sign_in_page(const SignIn& sign_in, int status);

/// The same for a device whose user_code was typed.
struct DeviceSignIn {
  std::string client_id;
  std::string user_code;
  std::string scope;
  std::string form_token;
  std::string identifier;
  std::string problem{};
};

[[nodiscard]] Response device_page(const DeviceSignIn& sign_in, int status);
/// Where the user_code of a device is typed.
[[nodiscard]] Response user_code_page(std::string_view user_code, std::string_view problem,
                                      int status);
[[nodiscard]] Response device_done_page(std::string_view outcome);
[[nodiscard]] Response error_page(int status, std::string_view problem, std::string_view detail);
/// 303, never cached.
[[nodiscard]] Response redirect_to(std::string url);

}  // namespace latchkey::sandbox
