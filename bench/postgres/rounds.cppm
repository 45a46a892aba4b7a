// SPDX-License-Identifier: MIT
module;
#include <cstddef>
#include <functional>
#include <map>
#include <string>
#include <vector>
export module latchkey.bench.postgres.rounds;

// Measures that can be compared: all cases run once a round, in an order that rotates, so that what
// else the machine does meets all of them; medians of rounds, and ratios taken round by round.

export namespace latchkey::bench {

struct Case {
  std::string name;
  std::function<void()> run;  ///< what is timed
  /// Before and after each run, not timed.
  std::function<void()> prepare = [] {};
  std::function<void()> clean = [] {};
};

struct Figure {
  double median = 0, least = 0, most = 0;
};

class Rounds {
 public:
  /// Runs `calls` calls of each case in each of `rounds` rounds, after one round that does not
  /// count.
  Rounds(const std::vector<Case>& cases, std::size_t rounds, std::size_t calls);

  /// Microseconds of one call.
  [[nodiscard]] Figure time(const std::string& name) const;
  [[nodiscard]] Figure ratio(const std::string& name, const std::string& to) const;

 private:
  std::map<std::string, std::vector<double>> medians_;  // of each round
};

}  // namespace latchkey::bench
