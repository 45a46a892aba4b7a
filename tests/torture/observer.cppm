// SPDX-License-Identifier: MIT
module;
#include <cstddef>
#include <map>
#include <mutex>
#include <string>
#include <utility>
#include <vector>
export module latchkey.test.torture_observer;
import latchkey.sandbox;
import latchkey.test.torture_books;
import latchkey.test.torture_notes;

// Keeps the books of a run: reads along at the server, and is told what workers noted, those
// that were killed and stopped too.

export namespace latchkey::test {

/// Thread-safe.
class Observer {
 public:
  /// `books`: empty ones.
  Observer(sandbox::Sandbox& servers, Books books) : servers_(servers), books_(std::move(books)) {}

  /// Enters what the server has seen since the last time.
  void look();
  void enter_cut(const std::vector<RefreshNote>& cut);
  void enter_notes(const std::vector<RefreshNote>& notes);
  void enter_stop(Stop stop);
  /// Looks first.
  [[nodiscard]] Death judge(const std::string& key);
  [[nodiscard]] bool explains_claim(std::size_t subject, const std::string& key);
  /// The books as they are after a look.
  [[nodiscard]] Books books();
  /// Scripted faults that happened, by kind.
  [[nodiscard]] std::map<std::string, unsigned> faults();

 private:
  void look_with_lock();
  sandbox::Sandbox& servers_;
  std::mutex mutex_;
  Books books_;
  std::map<std::string, unsigned> faults_;
};

/// What one recorded request says about a refresh. `key` is empty if it is none, or its proof
/// cannot be read.
[[nodiscard]] ServedRefresh served_refresh(const sandbox::RecordedRequest& request);

}  // namespace latchkey::test
