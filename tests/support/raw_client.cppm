// SPDX-License-Identifier: MIT
module;
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
export module latchkey.test.raw_client;

// A TCP client, with TLS or without, that sends what it is told to, byte for byte, for tests of
// servers.

export namespace latchkey::test {

/// Can this machine listen on ::1? Containers often cannot; asked without the code under test.
[[nodiscard]] bool has_ipv6_loopback();

/// Connected to 127.0.0.1 (or `address`, IPv4 or IPv6) once it is made. Reads give up after ten
/// seconds.
class RawClient {
 public:
  explicit RawClient(std::uint16_t port, const std::string& address = "127.0.0.1");
  RawClient(RawClient&& other) noexcept;
  RawClient(const RawClient&) = delete;
  RawClient& operator=(const RawClient&) = delete;
  ~RawClient();

  [[nodiscard]] bool connected() const noexcept { return socket_ >= 0; }
  /// TLS from now on, with a server whose certificate this authority signed for this host; false,
  /// and closed, if the handshake fails. `newest`: no later version of TLS is offered (such as
  /// 0x0303 for 1.2); 0: any.
  [[nodiscard]] bool start_tls(const std::string& authority_pem, const std::string& host,
                               int newest = 0);
  /// Stops at the first error: the server may have closed.
  RawClient& send(std::string_view bytes);
  /// Until the server closes. "(reset)" or "(timed out)" is appended if that is how it ended, and
  /// "(cut off)" where TLS ended without a goodbye.
  [[nodiscard]] std::string read_all();
  /// Is there anything to read, or has the server closed?
  [[nodiscard]] bool has_news() const;
  void close();
  /// Closes with a reset.
  void abort();

 private:
  class Tls;
  std::unique_ptr<Tls> tls_;
  int socket_ = -1;
};

}  // namespace latchkey::test
