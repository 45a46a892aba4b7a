// SPDX-License-Identifier: MIT
module;
#include <stop_token>
#include <string_view>
export module latchkey.cli.passphrase;
import latchkey.core.error;
import latchkey.core.secret;

// A passphrase, asked for at the terminal and never anywhere else: arguments, the environment and
// pipes are seen by others, or kept.

export namespace latchkey::cli {

/// Writes `prompt` to the terminal, and reads a line from it without echo. Errors: locked,
/// "cli.no_terminal"; cancelled, "cli.cancelled"; invalid_argument, "cli.passphrase_too_long" (over
/// 1024 bytes).
[[nodiscard]] Result<SecretString> ask_passphrase(std::string_view prompt, std::stop_token stop);
/// Asks twice. Error besides: invalid_argument, "cli.passphrases_differ".
[[nodiscard]] Result<SecretString> ask_new_passphrase(std::stop_token stop);

}  // namespace latchkey::cli
