// SPDX-License-Identifier: MIT
module;
export module latchkey.cli.terminal;
import latchkey.cli.options;

// What can be shown on standard error: to whom, how wide, and in which letters.

export namespace latchkey::cli {

/// With the defaults: a pipe or a file, that takes plain lines alone.
struct Terminal {
  bool moves_cursor = false;  ///< a terminal that can draw a line anew
  bool colours = false;       ///< and NO_COLOR does not forbid them
  bool utf8 = false;          ///< by the locale
  unsigned columns = 0;
  unsigned rows = 0;
};

/// Of a terminal, or with `columns` 0 of something else. TERM=dumb and an unset TERM move nothing;
/// NO_COLOR (no-color.org) forbids colours; LC_ALL, LC_CTYPE and LANG name the letters, the first
/// that is set.
[[nodiscard]] Terminal terminal_of(unsigned columns, unsigned rows, const Variables& variable);
/// Standard error now.
[[nodiscard]] Terminal terminal_of_standard_error();

}  // namespace latchkey::cli
