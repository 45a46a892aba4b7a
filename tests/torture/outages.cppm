// SPDX-License-Identifier: MIT
module;
#include <atomic>
#include <chrono>
#include <functional>
#include <map>
#include <string>
#include <thread>
#include <vector>
export module latchkey.test.torture_outages;
import latchkey.test.postgres_place;
import latchkey.test.torture_notes;
import latchkey.test.torture_observer;
import latchkey.test.torture_schedule;

// What the schedule does to the server of a database: it is killed, restarted and paused, one after
// the other, while everybody else goes on.

export namespace latchkey::test {

/// Used by one thread, and one of its own.
class Outages {
 public:
  using UnderWay = std::function<std::vector<RefreshNote>()>;
  /// `under_way`: what workers are in the midst of; called by the thread. `observer` is told of
  /// each outage, from its beginning until the server answers again.
  Outages(PrivateServer& server, Observer& observer, UnderWay under_way);
  Outages(const Outages&) = delete;
  Outages& operator=(const Outages&) = delete;
  /// The server runs then.
  ~Outages();

  /// Begins one, for kill_database, restart_database or pause_database, and returns at once.
  /// Nothing while another is going on.
  void begin(const Event& event);
  /// Waits until the server runs again.
  void finish();
  /// By kind.
  [[nodiscard]] const std::map<std::string, unsigned>& counts() const noexcept { return counts_; }
  /// What kept one from ending as it should. After finish().
  [[nodiscard]] const std::vector<std::string>& problems() const noexcept { return problems_; }

 private:
  void pass(const Event& event);
  PrivateServer& server_;
  Observer& observer_;
  UnderWay under_way_;
  std::map<std::string, unsigned> counts_;
  std::vector<std::string> problems_;  // the thread's, while there is one
  std::atomic<bool> going_on_ = false;
  std::jthread thread_;
};

/// Can a server be had on this machine?
[[nodiscard]] bool has_postgres();

}  // namespace latchkey::test
