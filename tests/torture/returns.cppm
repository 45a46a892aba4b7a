// SPDX-License-Identifier: MIT
module;
#include <cstddef>
#include <optional>
#include <set>
#include <string>
#include <vector>
export module latchkey.test.torture_returns;

// Sessions that come back although a newer record had replaced them: their death, or another login.
// A login is known by its key. Pure.

export namespace latchkey::test {

class Returns {
 public:
  explicit Returns(std::size_t accounts) : accounts_(accounts) {}

  /// A session of this key was found dead.
  void enter_death(const std::string& key) { dead_.insert(key); }
  /// What is stored of an account now. Over what it came back, if it did; told once of a key.
  [[nodiscard]] std::optional<std::string> see(std::size_t account, const std::string& key,
                                               bool is_active);

 private:
  struct Account {
    std::string key;             // as it was seen last
    std::set<std::string> past;  // those before
  };
  std::vector<Account> accounts_;
  std::set<std::string> dead_, told_;
};

}  // namespace latchkey::test
