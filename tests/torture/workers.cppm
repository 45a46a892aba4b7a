// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>
export module latchkey.test.torture_workers;
import latchkey.test.torture_notes;
import latchkey.test.torture_observer;
import latchkey.test.torture_place;
import latchkey.test.torture_worker;

// All workers of a run: processes that are killed and replaced, or, for the memory store, threads
// of this process.

export namespace latchkey::test {

/// What all workers together have done.
struct Totals {
  std::uint64_t calls = 0, succeeded = 0, adoptions = 0, unsaved = 0, not_opened = 0;
};

/// Used by one thread.
class Workers {
 public:
  Workers() = default;
  Workers(const Workers&) = delete;
  Workers& operator=(const Workers&) = delete;
  virtual ~Workers();
  virtual void start() = 0;
  /// SIGKILL for one of them that does not stand still, and a new one in its place.
  virtual void kill(std::uint64_t number) = 0;
  /// SIGSTOP for one of them, and SIGCONT after that time: for the first that has a refresh at this
  /// stage within a moment, or for the one of this number. Nothing if all stand still already.
  virtual void pause(std::uint64_t number, Stage aim, std::chrono::milliseconds lasts) = 0;
  /// Replaces those that have ended by themselves, wakes those whose pause is over, and hands on
  /// what all have noted. To be called all the time.
  virtual void look() = 0;
  /// What is under way now.
  [[nodiscard]] virtual std::vector<RefreshNote> under_way() = 0;
  /// Wakes all and asks them to end, and waits: what they have sent is saved.
  virtual void stop() = 0;

  [[nodiscard]] virtual Totals totals() = 0;
  [[nodiscard]] virtual unsigned kills() const = 0;
  /// By the stage of a refresh that was under way then, the furthest.
  [[nodiscard]] virtual std::map<std::string, unsigned> pauses() const = 0;
  /// How workers ended that should not have, or did not end.
  [[nodiscard]] virtual std::vector<std::string> crashes() const = 0;
};

/// `program`: this program's path, which makes a worker of `worker` and the options' words. The
/// boards lie in `boards`. `observer` is told what they note.
[[nodiscard]] std::unique_ptr<Workers> worker_processes(std::string program, WorkerOptions options,
                                                        unsigned count,
                                                        std::filesystem::path boards,
                                                        Observer& observer);
/// Over `place`, with one keeper for all threads.
[[nodiscard]] std::unique_ptr<Workers> worker_threads(const Place& place, WorkerOptions options);

}  // namespace latchkey::test
