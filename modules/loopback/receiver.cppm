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
export import latchkey.loopback.callback;
import latchkey.loopback.certificate;

// A tiny HTTP server on loopback that waits for one redirect (RFC 8252 §7.3). The browser's request
// is answered only when the login is decided, so that the page shows what really happened.

export namespace latchkey {

/// What to do when ReceiverOptions::port is taken.
enum class PortPolicy {
  required,   ///< fail: the provider knows this port only
  preferred,  ///< take any free one; LoopbackReceiver::fell_back() says that it happened
};

/// How the redirect URI names this machine.
enum class LoopbackHost {
  ipv4,       ///< 127.0.0.1: what to register if the provider takes it (RFC 8252 §7.3, §8.3)
  ipv6,       ///< [::1]
  localhost,  ///< for providers that know only that name; bound on 127.0.0.1 and, where there is
              ///< IPv6, on ::1
};

struct ReceiverOptions {
  std::string path = "/callback";
  std::uint16_t port = 0;  ///< 0: any free one
  PortPolicy port_policy = PortPolicy::required;
  LoopbackHost host = LoopbackHost::ipv4;
  /// Null: http. It must cover the host; TLS 1.2 or newer.
  std::shared_ptr<const TlsCertificate> certificate{};
  std::size_t max_header = 8 * 1024;
  /// For one request to arrive whole, the TLS handshake included.
  std::chrono::milliseconds read_timeout{5'000};
  unsigned max_connections = 16;
};

/// Thread-safe but for wait(), which one thread calls.
class LoopbackReceiver {
 public:
  /// Binds loopback addresses only and listens at once; a callback that arrives before wait() is
  /// kept for it, for `read_timeout`. Errors: io, "loopback.bind" (port taken or not allowed, or no
  /// IPv6); invalid_argument, "loopback.options", "loopback.certificate_host" (the certificate does
  /// not cover the host), "loopback.certificate" (OpenSSL does not serve with it, such as for a key
  /// that is too short).
  [[nodiscard]] static Result<std::unique_ptr<LoopbackReceiver>> open(ReceiverOptions options = {});
  LoopbackReceiver() = default;
  LoopbackReceiver(const LoopbackReceiver&) = delete;
  LoopbackReceiver& operator=(const LoopbackReceiver&) = delete;
  virtual ~LoopbackReceiver();

  [[nodiscard]] virtual std::uint16_t port() const noexcept = 0;
  /// The preferred port was taken, and this is another one.
  [[nodiscard]] virtual bool fell_back() const noexcept = 0;
  /// "http://127.0.0.1:PORT/callback", or as the options say.
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
