// SPDX-License-Identifier: MIT
// migration_crash_child KIND KIND FOLDER STEP: moves what lies in FOLDER/source, a store of the
// first kind, to FOLDER/target, and kills itself at the step of this number.
#include <csignal>
#include <filesystem>
#include <optional>
#include <string>

import latchkey.core;
import latchkey.refresh.migration;
import latchkey.test.migration_rig;

int main(int count, char** arguments) {
  using namespace latchkey;
  using namespace latchkey::test;
  if (count != 5) return 2;
  const std::filesystem::path folder = arguments[3];
  const int last = std::stoi(arguments[4]);
  int steps = 0;
  const auto die = [&](const std::string&) -> std::optional<Error> {
    if (++steps == last) std::raise(SIGKILL);
    return std::nullopt;
  };
  const MigrationPlace source = stepped(open_place(arguments[1], folder / "source"), "source", die);
  const MigrationPlace target = stepped(open_place(arguments[2], folder / "target"), "target", die);
  const auto report = migrate_sessions(source, target, at_once());
  return report && report->left == 0 ? 0 : 1;
}
