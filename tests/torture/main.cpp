// SPDX-License-Identifier: MIT
// torture [OPTION...]: see kUsage. `torture worker WORD...` is one of its workers.
#include <csignal>
#include <cstdint>
#include <exception>
#include <iostream>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

import latchkey.core;
import latchkey.test.torture_options;
import latchkey.test.torture_outages;
import latchkey.test.torture_report;
import latchkey.test.torture_run;
import latchkey.test.torture_sabotage;
import latchkey.test.torture_schedule;
import latchkey.test.torture_volume;
import latchkey.test.torture_worker;

namespace {

using namespace latchkey::test;

std::uint64_t draw_seed() {
  std::uint32_t seed = 0;  // short enough to be typed again
  latchkey::SystemRandom().fill(std::span(reinterpret_cast<unsigned char*>(&seed), sizeof seed));
  return seed;
}

struct Score {
  unsigned passed = 0, failed = 0;
  void add(bool good) { ++(good ? passed : failed); }
};

// A run with a sabotage is good if it reports a loss.
void judge(const RunReport& report, Score& score) {
  const auto facts = facts_of(report);
  print(std::cout, report, facts);
  for (const Fact& fact : facts) score.add(fact.problems.empty());
  std::cout << std::endl;
}

bool reports_losses(const RunReport& report) {
  const auto facts = facts_of(report);
  print(std::cout, report, facts);
  const bool lost = !report.losses.lost.empty();
  std::cout << "  "
            << (lost ? "as it must" : "NO LOSS: this run cannot fail, or the promise is idle")
            << '\n'
            << std::endl;
  return lost;
}

int torture(const std::vector<std::string>& words) {
  CommandLine line = parse_command_line(words);
  line.has_postgres = has_postgres();
  const std::uint64_t seed = line.seed.value_or(draw_seed());
  auto runs = runs_of(line, seed);
  std::cout << "torture: seed " << seed << std::endl;
  if (line.show_schedule) {
    for (const RunOptions& run : runs) {
      const Schedule schedule = make_schedule(run.seed, run.length, run.rates);
      std::cout << run.store << ": schedule " << hash_of(schedule) << '\n';
      for (const Event& event : schedule) std::cout << "  " << to_string(event) << '\n';
    }
    return 0;
  }
  if (line.store == "all" && !line.has_postgres)
    std::cout << "torture: no run over postgres: its server is not installed" << std::endl;
  const bool own_mounts = enter_own_mounts();
  Score score;
  for (RunOptions& run : runs) {
    run.own_mounts = own_mounts;
    run.progress = [&run](std::string_view what) {
      std::cerr << "torture: " << run.store << ": " << what << std::endl;
    };
    const auto report = run_torture(run);
    if (!report) throw std::runtime_error(report.error().message);
    if (line.all_sabotages) {
      score.add(reports_losses(*report));
    } else {
      judge(*report, score);
    }
  }
  std::cout << "torture: " << score.passed << " passed, " << score.failed << " failed\n"
            << "torture: " << (score.failed == 0 ? "OK" : "FAILED") << std::endl;
  return score.failed == 0 ? 0 : 1;
}

}  // namespace

int main(int count, char** arguments) {
  try {
    std::vector<std::string> words(arguments + 1, arguments + count);
    if (!words.empty() && words[0] == "worker") {
      words.erase(words.begin());
      return run_worker(worker_options(words));
    }
    if (!words.empty() && (words[0] == "--help" || words[0] == "-h")) {
      std::cout << kUsage;
      return 0;
    }
    std::signal(SIGPIPE, SIG_IGN);  // a worker may be gone when it is asked to end
    return torture(words);
  } catch (const std::exception& problem) {
    std::cerr << "torture: " << problem.what() << '\n';
    return 2;
  }
}
