// SPDX-License-Identifier: MIT
module;
#include <cstddef>
#include <stop_token>
#include <string>
export module latchkey.cli.input;
import latchkey.core.error;
import latchkey.core.secret;

// What a person or a pipe hands to the tool.

export namespace latchkey::cli {

/// The argument itself, standard input for "-", or a file for "@FILE"; at most 16 MiB. Errors: io,
/// "cli.input"; cancelled, "cli.cancelled".
[[nodiscard]] Result<std::string> read_argument(const std::string& argument, std::stop_token stop);
/// The end of a text.
struct Tail {
  std::string text;
  bool is_cut = false;  ///< there was more before it
};
/// The last lines, at most 16 MiB of them, of standard input ("-") or of a file. Errors: those of
/// read_argument.
[[nodiscard]] Result<Tail> read_tail(const std::string& file, std::stop_token stop);
/// One line from the terminal or standard input, at most 16 KiB. Errors: io, "cli.no_input" or
/// "cli.input"; cancelled, "cli.cancelled".
[[nodiscard]] Result<std::string> read_line(std::stop_token stop);
/// All of standard input, which may be a secret; at most `max` bytes. Errors: io, "cli.input";
/// cancelled, "cli.cancelled".
[[nodiscard]] Result<SecretBytes> read_secret(std::size_t max, std::stop_token stop);

}  // namespace latchkey::cli
