// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>
export module latchkey.test.torture_options;
import latchkey.test.torture_run;
import latchkey.test.torture_sabotage;

// The command line of a torture run.

export namespace latchkey::test {

struct CommandLine {
  std::chrono::seconds length{60};  ///< of all runs together, and of each with a sabotage at most
  std::optional<std::uint64_t> seed{};
  std::string store = "all";
  unsigned processes = 4;
  unsigned threads = 8;
  unsigned accounts = 16;
  std::chrono::milliseconds lease_time{1'500};  ///< of the database's leases
  bool has_postgres = false;                    ///< `all` is with it; not from the words
  Sabotage sabotage = Sabotage::none;
  /// What a run with this sabotage would go through, with all promises kept.
  Sabotage control = Sabotage::none;
  bool all_sabotages = false;
  bool show_schedule = false;  ///< print it, and run nothing
};

extern const char* const kUsage;

/// Throws std::runtime_error with what is wrong.
[[nodiscard]] CommandLine parse_command_line(const std::vector<std::string>& words);

/// The runs that a command line asks for. With a sabotage: such rates as bring its losses out, and
/// an end at the first of them. `seed`: the one of all runs.
[[nodiscard]] std::vector<RunOptions> runs_of(const CommandLine& line, std::uint64_t seed);

}  // namespace latchkey::test
