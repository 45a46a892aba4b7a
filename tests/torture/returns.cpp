// SPDX-License-Identifier: MIT
module;
#include <cstddef>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>
module latchkey.test.torture_returns;

namespace latchkey::test {

std::optional<std::string> Returns::see(std::size_t account, const std::string& key,
                                        bool is_active) {
  Account& seen = accounts_[account];
  if (key != seen.key) seen.past.insert(std::exchange(seen.key, key));
  const bool is_past = seen.past.contains(key);
  const bool was_dead = is_active && dead_.contains(key);
  if ((!is_past && !was_dead) || !told_.insert(key).second) return std::nullopt;
  return is_past ? "a newer login" : "its tombstone";
}

}  // namespace latchkey::test
