// SPDX-License-Identifier: MIT
module;
#include <stop_token>
#include <string>
#include <string_view>
export module latchkey.cli.profile.secret;
import latchkey.cli.profile;
import latchkey.core.error;
import latchkey.core.secret;

// Secrets that a person keeps elsewhere: in a file of his own, behind a command of his password
// manager, or on standard input. Never in an argument or the environment, where others see them.

export namespace latchkey::cli {

/// The one line in a file, or on standard input for "-": 1 to 8192 printable ASCII characters,
/// none of the first and last a space, the line's end left away. A file must be its owner's alone.
/// Errors: invalid_argument, "secret.no_file", "secret.empty", "secret.malformed";
/// insecure_location; io; cancelled.
[[nodiscard]] Result<SecretString> read_secret_file(const std::string& path, std::stop_token stop);

/// The client secret that `source` names. Errors: those of read_secret_file; io, "secret.command"
/// (it failed), and those of run_command.
[[nodiscard]] Result<SecretString> read_client_secret(const SecretSource& source,
                                                      std::stop_token stop);

}  // namespace latchkey::cli
