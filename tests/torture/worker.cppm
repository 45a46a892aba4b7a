// SPDX-License-Identifier: MIT
module;
#include <cstdint>
#include <filesystem>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>
export module latchkey.test.torture_worker;
import latchkey.test.torture_place;
import latchkey.test.torture_sabotage;
import latchkey.test.torture_scoreboard;

// Threads that use sessions as programs do, and refresh them more often than any program would.

export namespace latchkey::test {

struct WorkerOptions {
  Site site;
  std::filesystem::path board;  ///< the scoreboard's file
  Scene scene;
  unsigned threads = 8;
  std::uint64_t seed = 0;
  Sabotage sabotage = Sabotage::none;
};

/// Uses all sessions of a place until it is stopped; returns when what was sent has been saved.
void use_sessions(const Place& place, const Scene& scene, Scoreboard& board, unsigned threads,
                  std::uint64_t seed, const std::stop_token& stop);

/// The words of a worker's command line, and back. Throws std::runtime_error on others.
[[nodiscard]] std::vector<std::string> to_words(const WorkerOptions& options);
[[nodiscard]] WorkerOptions worker_options(const std::vector<std::string>& words);
/// A worker process: opens the place, as often as it must, and uses it until its standard input
/// ends or says anything. The exit status.
[[nodiscard]] int run_worker(const WorkerOptions& options);

}  // namespace latchkey::test
