// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <thread>
export module latchkey.http.cpprest.body;
import latchkey.core.error;
import latchkey.http;

// A body that is read while cpprestsdk sends it, without making its threads wait. Used by
// latchkey.http.cpprest.channel only.

export namespace latchkey {

/// Reads a BodySource in a thread of its own, a little ahead of what is sent. That thread alone
/// waits for the source: cpprestsdk's one thread carries the traffic of the whole process, and the
/// one who sends has a deadline. Thread-safe, but finish(), which one thread calls.
class BodyPump {
 public:
  /// Takes what was read, piece by piece; an empty span is the end. Must neither block nor call
  /// back.
  using Sink = std::function<void(std::span<const unsigned char>)>;

  BodyPump(std::shared_ptr<BodySource> source, Sink sink);
  BodyPump(const BodyPump&) = delete;
  BodyPump& operator=(const BodyPump&) = delete;
  ~BodyPump();

  /// So many bytes have gone out. The first call opens the source: nothing of it is used up by a
  /// connection that turns out dead.
  void sent(std::uint64_t bytes);
  /// The exchange is over: the sink gets its end, and the source is not asked again. A read that is
  /// under way is waited for so long, and then left to itself: its thread goes on until it returns.
  void finish(std::chrono::milliseconds patience);
  /// What went wrong with the source. Besides the reader's: io, "body.short" (it ended early),
  /// "body.threw", "body.overrun", "body.thread" (the system has no thread to give).
  [[nodiscard]] std::optional<Error> error() const;

 private:
  struct State;
  std::shared_ptr<State> state_;  // shared with the thread, which may be there for longer
  std::thread thread_;            // guarded by the state's mutex
};

}  // namespace latchkey
