// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <string_view>
export module latchkey.loopback.receiver;
import latchkey.core.error;

// A tiny HTTP server on loopback that waits for one redirect (RFC 8252 §7.3). The browser's request
// is answered only when the login is decided, so that the page shows what really happened.

export namespace latchkey {

struct ReceiverOptions {
  std::string path = "/callback";
  std::uint16_t port = 0;  ///< 0: any free one
  std::size_t max_header = 8 * 1024;
  std::chrono::milliseconds read_timeout{5'000};  ///< for one request to arrive whole
  unsigned max_connections = 16;
};

/// The browser that brought the callback, waiting for its page. Destroying it unanswered shows a
/// neutral page.
class HeldCallback {
 public:
  HeldCallback() = default;
  HeldCallback(const HeldCallback&) = delete;
  HeldCallback& operator=(const HeldCallback&) = delete;
  virtual ~HeldCallback();
  /// The query as received, without "?".
  [[nodiscard]] virtual std::string_view query() const noexcept = 0;
  /// Sends the page and closes. `html` as it is.
  virtual void answer(int status, std::string_view html) = 0;
};

/// Thread-safe but for wait(), which one thread calls.
class LoopbackReceiver {
 public:
  /// Binds 127.0.0.1 and listens at once; a callback that arrives before wait() is kept for it, for
  /// `read_timeout`. Errors: io, "loopback.bind" (port taken or not allowed); invalid_argument,
  /// "loopback.options".
  [[nodiscard]] static Result<std::unique_ptr<LoopbackReceiver>> open(ReceiverOptions options = {});
  LoopbackReceiver() = default;
  LoopbackReceiver(const LoopbackReceiver&) = delete;
  LoopbackReceiver& operator=(const LoopbackReceiver&) = delete;
  virtual ~LoopbackReceiver();

  [[nodiscard]] virtual std::uint16_t port() const noexcept = 0;
  /// "http://127.0.0.1:PORT/callback".
  [[nodiscard]] virtual std::string redirect_uri() const = 0;
  /// Waits for a GET of the exact path, with a Host of ours, no foreign Origin, and a `state` equal
  /// to `state` (constant time). Anything else is answered and does not end the wait: 404, 405,
  /// 400; for another state an error page, and `on_stray` is called. After the right one, later
  /// callbacks are answered and ignored. Errors: timeout ("loopback.timeout"), cancelled
  /// ("loopback.cancelled").
  [[nodiscard]] virtual Result<std::unique_ptr<HeldCallback>> wait(
      std::string_view state, std::chrono::milliseconds timeout, std::stop_token stop,
      const std::function<void()>& on_stray) = 0;
};

}  // namespace latchkey
