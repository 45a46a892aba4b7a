// SPDX-License-Identifier: MIT
module;
#include <string>
#include <string_view>
#include <vector>
export module latchkey.sandbox.pages;
import latchkey.sandbox.message;

// What a person sees in the browser: one page to sign in and to allow or deny, and one for what
// went wrong. No script.

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
[[nodiscard]] Response error_page(int status, std::string_view problem, std::string_view detail);
/// 303, never cached.
[[nodiscard]] Response redirect_to(std::string url);

}  // namespace latchkey::sandbox
