// SPDX-License-Identifier: MIT
module;
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>
export module latchkey.test.torture_inspection;
import latchkey.core;
import latchkey.test.torture_nurse;
import latchkey.test.torture_observer;
import latchkey.test.torture_place;

// What is looked at after a run: every worker has ended, no fault is left, the disk has room.

export namespace latchkey::test {

struct Findings {
  unsigned usable = 0;               ///< sessions that were refreshed and used
  unsigned claims = 0;               ///< found on live sessions, before that
  unsigned collectable = 0;          ///< temporary files that the next save removes
  std::vector<std::string> stuck;    ///< leases that could not be had at once
  std::vector<std::string> claimed;  ///< claims without a reason, or that a refresh did not end
  std::vector<std::string> corrupt;  ///< records, databases
  std::vector<std::string> keys;     ///< that live sessions need, and that are not in the vault
  std::vector<std::string> litter;   ///< temporary files and rows that nobody will remove
};

/// Refreshes and uses every session; those that are dead or can't be used are entered at the
/// nurse's. `reopen`: the place, anew.
[[nodiscard]] Findings inspect(const Nurse::Open& reopen, const Scene& scene, Nurse& nurse,
                               Observer& observer);
/// For when no process has the place open: temporary files in the stores' `folder`, and the check
/// of a database.
void inspect_files(const std::filesystem::path& folder, std::string_view store, const Scene& scene,
                   Findings& findings);

}  // namespace latchkey::test
