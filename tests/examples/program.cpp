// SPDX-License-Identifier: MIT
module;
#include <string>
#include <string_view>
#include <utility>
#include <vector>
module latchkey.test.program;
import latchkey.test.child;

namespace latchkey::test {

ProgramRun run_program(std::vector<std::string> words) {
  ChildProcess child(std::move(words));
  ProgramRun run;
  run.line = child.read_line();
  run.exit_code = child.wait();
  return run;
}

std::string header_of(std::string_view request, std::string_view name) {
  const auto at = request.find("\r\n" + std::string(name) + ":");
  if (at == std::string_view::npos) return {};
  request.remove_prefix(at + 2 + name.size() + 1);
  request = request.substr(0, request.find("\r\n"));
  request.remove_prefix(request.starts_with(' ') ? 1 : 0);
  return std::string(request);
}

bool has(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

}  // namespace latchkey::test
