// SPDX-License-Identifier: MIT
module;
#include <sys/ioctl.h>
#include <unistd.h>
#include <algorithm>
#include <optional>
#include <string>
module latchkey.cli.terminal;
import latchkey.cli.options;
import latchkey.core.os.process;

namespace latchkey::cli {
namespace {

bool names_utf8(std::string locale) {
  std::transform(locale.begin(), locale.end(), locale.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  return locale.find("utf-8") != std::string::npos || locale.find("utf8") != std::string::npos;
}

bool has_utf8(const Variables& variable) {
  for (const char* name : {"LC_ALL", "LC_CTYPE", "LANG"}) {
    if (const auto locale = variable(name)) return names_utf8(*locale);
  }
  return false;
}

}  // namespace

Terminal terminal_of(unsigned columns, unsigned rows, const Variables& variable) {
  if (columns == 0) return {};
  const std::string kind = variable("TERM").value_or("dumb");
  const bool able = kind != "dumb";
  return {.moves_cursor = able,
          .colours = able && !variable("NO_COLOR"),
          .utf8 = has_utf8(variable),
          .columns = columns,
          .rows = rows};
}

Terminal terminal_of_standard_error() {
  winsize size{};
  if (isatty(STDERR_FILENO) == 0) return {};
  // A terminal that does not know its size is taken for the classic one.
  if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) {
    size.ws_col = 80;
    size.ws_row = 24;
  }
  return terminal_of(size.ws_col, size.ws_row, environment_variable);
}

}  // namespace latchkey::cli
