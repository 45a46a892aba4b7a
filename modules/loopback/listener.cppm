// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
export module latchkey.loopback.listener;
import latchkey.core.error;
import latchkey.loopback.callback;
import latchkey.loopback.callback_request;
import latchkey.loopback.sockets;

// The thread that serves browsers: whose connection gives way, who waits, and whose page is still
// to come. It knows nothing of logins. For the receiver only.

export namespace latchkey {

/// A request that arrived whole, on its connection. For the listener's own thread only.
class Visit {
 public:
  Visit() = default;
  Visit(const Visit&) = delete;
  Visit& operator=(const Visit&) = delete;
  virtual ~Visit();
  [[nodiscard]] virtual const CallbackRequest& request() const noexcept = 0;
  /// Sends the page and closes.
  virtual void reply(int status, const ResultPage& page) = 0;
  /// Leaves the connection open and safe from being closed for newer ones; sends the page after
  /// this time, unless one of the others is called before.
  virtual void keep(std::chrono::milliseconds time, int status, const ResultPage& page) = 0;
  /// Is it one that keep() keeps open?
  [[nodiscard]] virtual bool is_kept() const noexcept = 0;
  /// Takes the connection out; it may outlive the listener.
  [[nodiscard]] virtual std::unique_ptr<HeldCallback> hold(std::string query) = 0;
};

/// Thread-safe but for start().
class Listener {
 public:
  using Handler = std::function<void(const std::shared_ptr<Visit>&)>;

  /// Binds and listens, for at most so many connections at once: then the oldest gives way, held
  /// and kept ones excepted. Errors: those of Sockets::open.
  [[nodiscard]] static Result<std::unique_ptr<Listener>> open(const SocketOptions& options,
                                                              unsigned max_connections);
  Listener() = default;
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;
  /// When it returns, no handler and no task runs any more.
  virtual ~Listener();

  [[nodiscard]] virtual std::uint16_t port() const noexcept = 0;
  /// Serves, on a thread of its own. Call once.
  virtual void start(Handler handler) = 0;
  /// Runs on the listener's thread, soon.
  virtual void post(std::function<void()> task) = 0;
};

}  // namespace latchkey
