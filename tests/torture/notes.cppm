// SPDX-License-Identifier: MIT
module;
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>
export module latchkey.test.torture_notes;
import latchkey.core.time;

// What the processes of a torture run note of their refreshes, and what a death is called. All
// times are of one machine's clock. Pure.

export namespace latchkey::test {

/// Stands for a refresh token, or for a request by its proof, which no other request has; never 0.
using Mark = std::uint64_t;
[[nodiscard]] Mark mark_of(std::string_view secret);

/// How far a refresh has got, as its process knew.
enum class Stage : std::uint32_t {
  idle,
  claimed,   ///< the claim is being written or the lease is being checked, nothing has been sent
  posting,   ///< the request may be under way
  answered,  ///< there is an answer; it is being saved
  unsaved,   ///< a save failed: the only good token is in memory. With room reserved this must not
             ///< be
  held_up,   ///< a save failed because the store is out of reach: somebody who is stopped holds its
             ///< lock, or its server is down. It is tried again and again
  saved,     ///< durably
  over,      ///< ended in another way
};
[[nodiscard]] std::string_view to_string(Stage stage) noexcept;
/// Has it begun, and not ended?
[[nodiscard]] bool is_under_way(Stage stage) noexcept;

/// A refresh, as far as its process has noted.
struct RefreshNote {
  std::size_t worker = 0;
  std::size_t subject = 0;  ///< number of the account
  Mark request = 0;         ///< 0 before `posting`
  Stage stage{};
  std::optional<TimePoint> claimed{};  ///< the time that the claim has
  std::optional<TimePoint> checked{};  ///< when the last check of the lease that said yes was begun
  std::optional<TimePoint> saved{};    ///< when the save had been done
};

/// A time in which a worker was stopped, or in which nobody reached the store.
struct Stop {
  std::optional<std::size_t> worker{};  ///< empty: the store itself
  TimePoint from{};
  TimePoint until = TimePoint::max();  ///< it has not ended
  /// As it was noted at the stop: for a worker while it stood still.
  std::vector<RefreshNote> under_way{};
};

enum class Cause {
  answer_lost,
  killed_posting,
  killed_saving,
  killed_held_up,
  // Only where leases expire, see takeover.cppm.
  paused_posting,
  paused_saving,
  unreachable,
  check_gap,
  lost,
};
inline constexpr std::size_t kCauses = static_cast<std::size_t>(Cause::lost) + 1;
[[nodiscard]] std::string_view to_string(Cause cause) noexcept;

/// Why a session died. Every cause but `lost` is in the window.
struct Death {
  Cause cause{};
  std::string story;  ///< what is known about it, for people
};

}  // namespace latchkey::test
