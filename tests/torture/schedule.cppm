// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>
export module latchkey.test.torture_schedule;
import latchkey.sandbox;
import latchkey.test.torture_notes;

// What goes wrong and when, drawn from a seed: faults of the server, kills and pauses of workers,
// expiries, the phases in which the disk is full or read-only, and what happens to the server of a
// database. Pure: the same seed gives the same schedule on every machine.

export namespace latchkey::test {

/// A generator whose numbers are the same everywhere (SplitMix64).
class Dice {
 public:
  explicit Dice(std::uint64_t seed) : state_(seed) {}
  [[nodiscard]] std::uint64_t roll() noexcept;
  /// 0 to `sides` - 1; `sides` is not 0.
  [[nodiscard]] std::uint64_t below(std::uint64_t sides) noexcept { return roll() % sides; }
  [[nodiscard]] std::chrono::milliseconds between(std::chrono::milliseconds least,
                                                  std::chrono::milliseconds most) noexcept;

 private:
  std::uint64_t state_;
};

struct Event {
  enum class Kind {
    fault,             ///< `fault` is given to the server, and the one before is withdrawn
    kill,              ///< SIGKILL for worker `number`, modulo how many there are
    expire,            ///< all access tokens are refused from now on
    pause,             ///< SIGSTOP for worker `number` at `aim`, and SIGCONT when it `lasted`
    kill_database,     ///< SIGKILL for all its processes; started again when it `lasted`
    restart_database,  ///< in order, with its connections cut
    pause_database,    ///< SIGSTOP for all its processes, and SIGCONT when it `lasted`
    fill_disk,         ///< until `number` pages are free
    free_disk,         ///< the end of it
    forbid_writes,     ///< workers are stopped, the disk turns read-only, workers are started again
    allow_writes,      ///< the same back
  };
  std::chrono::milliseconds at{};
  Kind kind{};
  std::uint64_t number = 0;
  sandbox::Fault fault{};
  std::chrono::milliseconds lasts{};
  Stage aim = Stage::idle;  ///< of a refresh of the worker that is to be paused; idle: whatever
};
[[nodiscard]] std::string_view name_of(Event::Kind kind) noexcept;
/// One line, with everything that makes the event.
[[nodiscard]] std::string to_string(const Event& event);

/// How often things happen, on average; zero: never.
struct Rates {
  std::chrono::milliseconds fault{300};
  std::chrono::milliseconds kill{1'000};
  std::chrono::milliseconds expiry{1'500};
  std::chrono::milliseconds pause{2'500};
  bool only_long_pauses = false;  ///< else a third of them are longer than a claim is respected
  Stage pause_at = Stage::idle;   ///< all of them aim at this stage; idle: each at another
  std::chrono::milliseconds database{0};       ///< between two things that happen to it
  std::chrono::milliseconds calm{3'000};       ///< between two phases of the disk
  std::chrono::milliseconds full{3'000};       ///< how long one lasts
  std::chrono::milliseconds read_only{1'200};  ///< how long one lasts
  std::uint64_t most_pages{12};                ///< that a full disk has left
};

using Schedule = std::vector<Event>;

/// Events by time, all before `length`. Phases do not overlap, and each ends before the end.
[[nodiscard]] Schedule make_schedule(std::uint64_t seed, std::chrono::milliseconds length,
                                     const Rates& rates);
/// The first 16 hex digits of the SHA-256 of its lines.
[[nodiscard]] std::string hash_of(const Schedule& schedule);

/// True if the server has acted on a request that met this fault, and the client cannot learn the
/// answer.
[[nodiscard]] bool loses_answer(sandbox::FaultKind kind) noexcept;

}  // namespace latchkey::test
