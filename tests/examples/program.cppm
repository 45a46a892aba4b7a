// SPDX-License-Identifier: MIT
module;
#include <string>
#include <string_view>
#include <vector>
export module latchkey.test.program;

// An example program as its user sees it, and its requests as a server sees them.

export namespace latchkey::test {

struct ProgramRun {
  int exit_code = 0;
  std::string line;  ///< the first on standard output
};

/// Runs it to its end. `words[0]` is its path.
[[nodiscard]] ProgramRun run_program(std::vector<std::string> words);

/// The value of a header field in a request's text; empty if there is none.
[[nodiscard]] std::string header_of(std::string_view request, std::string_view name);

/// Is `part` in `text`?
[[nodiscard]] bool has(std::string_view text, std::string_view part);

}  // namespace latchkey::test
