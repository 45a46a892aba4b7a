// SPDX-License-Identifier: MIT
module;
#include <array>
#include <atomic>
#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>
export module latchkey.test.torture_nurse;
import latchkey.atproto.client;
import latchkey.core;
import latchkey.loopback.browser;
import latchkey.session;
import latchkey.test.torture_notes;
import latchkey.test.torture_observer;
import latchkey.test.torture_place;
import latchkey.test.torture_returns;

// Looks after the sessions while a run goes on: each one that has died is entered in the books of
// losses, with its cause, and logged in again, so that a long run does not run dry.

export namespace latchkey::test {

struct Losses {
  std::array<unsigned, kCauses> by_cause{};
  std::vector<std::string> lost;         ///< stories of those outside the window
  std::vector<std::string> misreported;  ///< in the window, but their tombstones say otherwise
  std::vector<std::string> unreadable;   ///< records that were there and could not be read
  unsigned logins = 0;
  [[nodiscard]] unsigned count(Cause cause) const {
    return by_cause[static_cast<std::size_t>(cause)];
  }
};

class Nurse {
 public:
  using Open = std::function<Result<Place>()>;
  /// `open`: the place, for this process. `handles`: of the scene's subjects, in their order.
  Nurse(Observer& observer, const Scene& scene, std::vector<std::string> handles,
        std::shared_ptr<BrowserOpener> browser, Open open);
  Nurse(const Nurse&) = delete;
  Nurse& operator=(const Nurse&) = delete;
  ~Nurse();

  /// Logs everybody in. Error: of the first login that fails twice.
  [[nodiscard]] Result<void> log_all_in();
  /// Begins to look after them, in a thread; opens the place first.
  void start();
  /// Ends that; all files of the place are closed.
  void stop();
  /// While the disk is full there is no use.
  void allow_logins(bool allowed) { may_log_in_ = allowed; }
  /// How often it sees a session dead before it logs in again; at least twice.
  void set_patience(int sightings) { patience_ = sightings; }

  /// Enters a session that is dead, once; true if it was not known.
  bool enter_death(const SessionSummary& dead);
  /// Enters a loss that has another form than a dead session.
  void enter_loss(std::string story);
  [[nodiscard]] Losses losses() const;

 private:
  void round(const Place& place, const AtprotoClient& client);
  [[nodiscard]] Result<void> log_in(const AtprotoClient& client, std::size_t i);
  void look_for_return(std::size_t i, const SessionSummary& stored);

  Observer& observer_;
  const Scene& scene_;
  std::vector<std::string> handles_;
  std::shared_ptr<BrowserOpener> browser_;
  Open open_;
  std::atomic<bool> may_log_in_ = true;
  int patience_ = 2;
  std::map<std::string, int> sightings_;  // of dead sessions, by key; only the thread's
  Returns returns_;                       // only the thread's
  mutable std::mutex mutex_;
  std::map<std::string, bool> judged_;
  Losses losses_;
  std::jthread thread_;
};

}  // namespace latchkey::test
