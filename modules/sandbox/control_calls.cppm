// SPDX-License-Identifier: MIT
module;
#include <string>
#include <string_view>
export module latchkey.sandbox.control_calls;
import latchkey.core.error;
import latchkey.sandbox;

// What each call of the control port does; docs/sandbox.md lists them. Who may call is not asked
// here.

export namespace latchkey::sandbox {

/// Does what a request asks for and gives the JSON to answer with. Errors: invalid_argument,
/// "control.path" (http_status 404), "control.method" (405), "control.account" (404),
/// "control.user_code" (404), "control.query", "control.range", "control.unknown_member",
/// "control.missing_member", "control.wrong_type", "control.not_json"; those of fault_from_json,
/// Sandbox::add_account and Sandbox::add_client.
[[nodiscard]] Result<std::string> control_call(Sandbox& sandbox, const Request& request);

/// An error that is to be answered with `status`.
[[nodiscard]] Error control_refusal(int status, std::string_view detail, std::string problem);

}  // namespace latchkey::sandbox
