// SPDX-License-Identifier: MIT
module;
#include <string>
export module latchkey.cli.input;
import latchkey.core.error;

// What a person or a pipe hands to the tool.

export namespace latchkey::cli {

/// The argument itself, standard input for "-", or a file for "@FILE"; at most 16 MiB. Error: io, "cli.input".
[[nodiscard]] Result<std::string> read_argument(const std::string& argument);
/// One line from the terminal or standard input, at most 16 KiB. Error: io, "cli.no_input".
[[nodiscard]] Result<std::string> read_line();

}  // namespace latchkey::cli
