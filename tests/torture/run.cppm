// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>
export module latchkey.test.torture_run;
import latchkey.core;
import latchkey.sandbox;
import latchkey.test.torture_inspection;
import latchkey.test.torture_nurse;
import latchkey.test.torture_sabotage;
import latchkey.test.torture_schedule;
import latchkey.test.torture_workers;

// One run over one store: a sandbox, sessions, workers, and what the schedule does to them.

export namespace latchkey::test {

struct RunOptions {
  std::string program;  ///< this program's path, of which workers are made
  std::string store = "sqlite";
  std::chrono::seconds length{20};
  std::uint64_t seed = 0;
  unsigned processes = 4;
  unsigned threads = 8;
  unsigned accounts = 16;
  std::chrono::milliseconds lease_time{1'500};  ///< of the database's leases
  Rates rates{};
  Sabotage sabotage = Sabotage::none;
  bool own_mounts = false;  ///< see enter_own_mounts
  bool end_at_first_loss = false;
  std::function<void(std::string_view)> progress{};  ///< told what happens, in a few words
};

struct RunReport {
  RunOptions options;
  std::string schedule;  ///< its hash
  std::chrono::milliseconds lasted{};
  Totals totals;
  sandbox::TokenCounts tokens;
  std::map<std::string, unsigned> faults;   ///< that happened, by kind
  std::map<std::string, unsigned> phases;   ///< of the disk, by name
  std::map<std::string, unsigned> outages;  ///< of the database, by name
  std::vector<std::string> not_run;         ///< phases that this run could not have, and why
  unsigned kills = 0;
  std::map<std::string, unsigned> pauses;  ///< of workers, by the stage of a refresh
  std::vector<std::string> crashes;
  Losses losses;
  std::size_t replays = 0;
  std::vector<std::string> replays_outside;
  std::vector<std::string> strange_refusals;
  Findings findings;
};

/// Errors: io ("sandbox.bind"), and what the first logins met. Throws std::runtime_error when the
/// machine does not give what a run needs (folders, processes).
[[nodiscard]] Result<RunReport> run_torture(const RunOptions& options);

}  // namespace latchkey::test
