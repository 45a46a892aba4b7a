// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <memory>
#include <mutex>
#include <stop_token>
#include <string>
#include <string_view>
export module latchkey.refresh.flights;
import latchkey.core.error;
import latchkey.refresh.context;
import latchkey.refresh.crew;
import latchkey.refresh.entries;
import latchkey.refresh.run;

// Refreshes under way, each on a thread of the keeper's: a caller that goes away only stops
// waiting. At most one a subject. Internal to refresh; the hub does not export it.

export namespace latchkey {

/// Thread-safe. `context` outlives it.
class Flights {
 public:
  explicit Flights(const SessionContext& context) : context_(context) {}

  /// Starts one; call with the entry locked. What it brings is in the entry when it has landed.
  /// Error: io, "refresh.no_thread".
  [[nodiscard]] Result<void> start(const std::shared_ptr<Entry>& entry, std::string_view subject,
                                   std::string stale_token,
                                   std::chrono::steady_clock::time_point lease_deadline);
  /// Goes on saving the entry's unsaved session; call with the entry locked.
  void keep_saving(const std::shared_ptr<Entry>& entry);

  [[nodiscard]] bool settle(std::chrono::steady_clock::time_point deadline);
  /// Ends refreshes that were not sent yet, waits for those that were, and tries each unsaved
  /// session once more.
  void finish();

 private:
  void land(Entry& entry, Refreshed result);
  void record(Entry& entry, Refreshed result);
  void save_until_done(Entry& entry, std::unique_lock<std::mutex>& lock);
  [[nodiscard]] bool save_once(Entry& entry, std::unique_lock<std::mutex>& lock);

  const SessionContext& context_;
  std::stop_source stopping_;
  Crew crew_;  // last: joined before the rest goes
};

/// The error of a caller for a session that is renewed and not saved.
[[nodiscard]] Error not_durable_error(const UnsavedSession& unsaved);

}  // namespace latchkey
