// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>
export module latchkey.test.raw_server;
import latchkey.test.certificate;

// A server on loopback that does to its clients whatever a test says, byte by byte: plain sockets,
// TLS if asked for, one thread a connection, all joined at the end. It knows no more of HTTP than
// where a request ends.

export namespace latchkey::test {

/// One accepted connection, for the script that plays the server. Used by one thread.
class Peer {
 public:
  class Impl;
  explicit Peer(Impl& impl) : impl_(impl) {}

  /// The next request, head and Content-Length body; empty when the client closed or the server is
  /// ending. Counted.
  std::string read_request();
  /// False when the client is gone.
  bool write(std::string_view bytes);
  /// Reads on until the client closes, or the server ends.
  void wait_for_close();
  /// Waits, unless the server ends first: false then.
  bool pause(std::chrono::milliseconds time);
  /// Ends the connection with a reset instead of an orderly close.
  void reset();
  /// Ends the connection without saying so in TLS (no close_notify), as somebody on the way would.
  void cut();
  /// 0 for the first connection.
  [[nodiscard]] std::size_t number() const;

 private:
  Impl& impl_;
};

struct RawServerOptions {
  std::optional<Identity> identity{};  ///< TLS with this certificate
  int highest_tls = 0;                 ///< a TLS protocol number of OpenSSL; 0 for the newest
  bool shake_hands = true;             ///< false: accept, and leave the client waiting for TLS
  bool ipv6 = false;                   ///< on ::1 instead of 127.0.0.1
  std::string address{};               ///< an IPv4 literal to stand on instead
  std::uint16_t port = 0;              ///< 0 for any that is free
};

/// Runs `script` for every connection, and closes it when the script returns.
class RawServer {
 public:
  using Script = std::function<void(Peer&)>;
  explicit RawServer(Script script, RawServerOptions options = {});
  RawServer(const RawServer&) = delete;
  RawServer& operator=(const RawServer&) = delete;
  ~RawServer();

  [[nodiscard]] std::uint16_t port() const;
  /// http(s)://127.0.0.1:port, or with the host given.
  [[nodiscard]] std::string origin(const std::string& host = "127.0.0.1") const;
  [[nodiscard]] std::size_t connections() const;
  /// All requests so far, in order of arrival.
  [[nodiscard]] std::vector<std::string> requests() const;
  /// What the scripts could write to all clients, the buffers of both sides included.
  [[nodiscard]] std::size_t bytes_written() const;
  /// The names that clients sent as SNI, empty text for none.
  [[nodiscard]] std::vector<std::string> server_names() const;
  /// True once so many requests have been read; false after 20 seconds.
  [[nodiscard]] bool wait_for_requests(std::size_t count) const;
  [[nodiscard]] bool wait_for_connections(std::size_t count) const;
  /// True once every accepted connection has been closed.
  [[nodiscard]] bool wait_until_idle() const;

 private:
  class Impl;
  friend class Peer::Impl;
  std::unique_ptr<Impl> impl_;
};

/// A port on 127.0.0.1 where connecting neither succeeds nor fails: a listener with a full queue.
class SilentPort {
 public:
  SilentPort();
  SilentPort(const SilentPort&) = delete;
  SilentPort& operator=(const SilentPort&) = delete;
  ~SilentPort();
  [[nodiscard]] std::uint16_t port() const { return port_; }

 private:
  std::vector<int> sockets_;
  std::uint16_t port_ = 0;
};

/// A port on 127.0.0.1 where nobody listens.
[[nodiscard]] std::uint16_t closed_port();

/// "HTTP/1.1 200 OK" with Content-Length.
[[nodiscard]] std::string ok_answer(std::string_view body);

}  // namespace latchkey::test
