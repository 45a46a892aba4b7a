// SPDX-License-Identifier: MIT
module;
#include <cstddef>
#include <fstream>
#include <iostream>
#include <istream>
#include <string>
#include <utility>
module latchkey.cli.input;
import latchkey.core.error;

namespace latchkey::cli {
namespace {

constexpr std::size_t kMaxInput = 16 * 1024 * 1024;
constexpr std::size_t kMaxLine = 16 * 1024;

Result<std::string> read_all(std::istream& in, const std::string& name) {
  std::string text;
  char part[8192];
  while (in.read(part, sizeof part) || in.gcount() > 0) {
    text.append(part, static_cast<std::size_t>(in.gcount()));
    if (text.size() > kMaxInput) {
      return make_error(ErrorCode::io, "cli.input", "cannot read " + name + ": it is over 16 MiB");
    }
  }
  if (in.bad()) return make_error(ErrorCode::io, "cli.input", "cannot read " + name);
  return text;
}

}  // namespace

Result<std::string> read_argument(const std::string& argument) {
  if (argument == "-") return read_all(std::cin, "standard input");
  if (argument.rfind('@', 0) != 0) return argument;
  const std::string name = argument.substr(1);
  std::ifstream file(name, std::ios::binary);
  if (!file) return make_error(ErrorCode::io, "cli.input", "cannot read the file " + name + ": no such file, or not yours");
  return read_all(file, name);
}

Result<std::string> read_line() {
  std::string line;
  for (int c = std::cin.get(); c != '\n' && c != std::char_traits<char>::eof(); c = std::cin.get()) {
    line += static_cast<char>(c);
    if (line.size() > kMaxLine) break;
  }
  if (!line.empty()) return line;
  return make_error(ErrorCode::io, "cli.no_input",
                    "nothing was pasted: standard input ended; run this where you can type, or pipe the address in");
}

}  // namespace latchkey::cli
