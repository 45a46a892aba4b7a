// SPDX-License-Identifier: MIT
module;
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>
export module latchkey.test.dns_server;
import latchkey.test.child;
import latchkey.test.folder;

// DNS servers on loopback: dnsmasq, and one that does to its clients whatever a test says. Failures
// throw std::runtime_error.

export namespace latchkey::test {

/// dnsmasq on a free port of 127.0.0.1, until the end of the object. It knows what its lines say,
/// says NXDOMAIN for everything else under .test, and refuses the rest.
class DnsServer {
 public:
  /// `lines`: of its configuration, like txt-record=NAME,"TEXT","MORE OF IT".
  explicit DnsServer(const std::vector<std::string>& lines);
  /// ADDRESS:PORT.
  [[nodiscard]] std::string address() const;

 private:
  [[nodiscard]] bool start();
  TemporaryFolder folder_;
  std::uint16_t port_ = 0;
  std::unique_ptr<ChildProcess> child_;
};

/// A UDP port of 127.0.0.1. The script makes of each packet the one that is sent back; an empty one
/// is not sent.
class UdpServer {
 public:
  using Script = std::function<std::string(const std::string& packet)>;
  explicit UdpServer(Script script);
  UdpServer(const UdpServer&) = delete;
  UdpServer& operator=(const UdpServer&) = delete;
  ~UdpServer();
  [[nodiscard]] std::string address() const;
  [[nodiscard]] std::vector<std::string> packets() const;

 private:
  void run();
  Script script_;
  int socket_ = -1, waker_ = -1;
  mutable std::mutex mutex_;
  std::vector<std::string> packets_;
  std::thread thread_;
};

/// A TCP port of 127.0.0.1, the same number as that of `address`, whose connections are ended and
/// then reset as soon as they stand.
class ResettingPort {
 public:
  explicit ResettingPort(const std::string& address);
  ResettingPort(const ResettingPort&) = delete;
  ResettingPort& operator=(const ResettingPort&) = delete;
  ~ResettingPort();
  [[nodiscard]] unsigned resets() const { return resets_; }

 private:
  void run();
  int listener_ = -1, waker_ = -1;
  std::atomic<unsigned> resets_ = 0;
  std::thread thread_;
};

/// The answer to a DNS query that has this response code and no records.
[[nodiscard]] std::string dns_answer(std::string query, unsigned char code);
/// The name that a DNS query asks for.
[[nodiscard]] std::string dns_question(const std::string& query);

}  // namespace latchkey::test
