// SPDX-License-Identifier: MIT
module;
#include <ostream>
#include <string>
#include <vector>
export module latchkey.test.torture_report;
import latchkey.test.torture_run;

// What a run must have kept, fact by fact, and its summary for people.

export namespace latchkey::test {

/// One promise. `problems` is empty if it was kept.
struct Fact {
  std::string name;
  std::vector<std::string> problems;
};
[[nodiscard]] std::vector<Fact> facts_of(const RunReport& report);

void print(std::ostream& out, const RunReport& report, const std::vector<Fact>& facts);

}  // namespace latchkey::test
