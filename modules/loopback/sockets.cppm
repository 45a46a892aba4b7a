// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>
export module latchkey.loopback.sockets;
import latchkey.core.error;
import latchkey.loopback.callback_request;
import latchkey.loopback.certificate;

// The sockets of the receiver: bytes in with a deadline and a limit, TLS or not, and answers that
// reach the browser whole. Who is served, and with what, is latchkey.loopback.listener's business.
// For the receiver only.

export namespace latchkey {

struct SocketOptions {
  /// IP literals. The first must be had, the others only where this machine has them.
  std::vector<std::string> addresses;
  std::uint16_t port = 0;                               ///< 0: any that is free at all addresses
  std::shared_ptr<const TlsCertificate> certificate{};  ///< null: no TLS
  std::size_t max_header = 0;
  std::chrono::milliseconds read_timeout{};  ///< handshake and request together
};

/// How long an answer may take to be written.
inline constexpr std::chrono::milliseconds kWriteTimeout{5'000};

/// One connection. For the thread in Sockets::run() only.
class Connection {
 public:
  using Done = std::function<void()>;
  Connection() = default;
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;
  virtual ~Connection();

  /// Calls `on_request` once a request has arrived whole. What is none is answered here.
  virtual void read(Done on_request) = 0;
  [[nodiscard]] virtual const CallbackRequest& request() const noexcept = 0;
  /// Writes it, tells `on_written` (whether it worked or not; may be null), and ends.
  virtual void send(std::string bytes, Done on_written) = 0;
  [[nodiscard]] virtual bool is_answering() const noexcept = 0;
  /// From now on nothing closes it but send() and end().
  virtual void hold_open() = 0;
  /// The same, and it is kept until it is answered; calls `on_over` if that takes longer than this.
  virtual void keep(std::chrono::milliseconds time, Done on_over) = 0;
  [[nodiscard]] virtual bool is_kept() const noexcept = 0;
  virtual void release() = 0;
  /// Is called once, when it ends.
  virtual void when_ended(Done on_end) = 0;
  /// Closes it at once.
  virtual void end() = 0;
  /// Closes it so that what was written still arrives; also without the thread.
  virtual void end_softly() = 0;
};

/// Thread-safe: post() and stop(). The rest is for the thread in run(), or before there is one.
class Sockets {
 public:
  using OnConnection = std::function<void(const std::shared_ptr<Connection>&)>;

  /// Binds and listens. Errors: io, "loopback.bind"; invalid_argument, "loopback.certificate"
  /// (OpenSSL does not serve with it, such as for a key that is too short).
  [[nodiscard]] static Result<std::unique_ptr<Sockets>> open(const SocketOptions& options);
  Sockets() = default;
  Sockets(const Sockets&) = delete;
  Sockets& operator=(const Sockets&) = delete;
  /// Connections must be gone before.
  virtual ~Sockets();

  [[nodiscard]] virtual std::uint16_t port() const noexcept = 0;
  virtual void accept(OnConnection on_connection) = 0;
  /// Accepts no more.
  virtual void close() = 0;
  virtual void post(std::function<void()> task) = 0;
  /// Serves until stop().
  virtual void run() noexcept = 0;
  virtual void stop() = 0;
};

}  // namespace latchkey
