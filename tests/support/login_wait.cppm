// SPDX-License-Identifier: MIT
module;
#include <atomic>
#include <chrono>
#include <cstdint>
#include <future>
#include <memory>
#include <stop_token>
#include <string>
#include <string_view>
export module latchkey.test.login_wait;
import latchkey.core;
import latchkey.loopback.certificate;
import latchkey.loopback.receiver;
import latchkey.test.certificate;
import latchkey.test.raw_client;

// A receiver whose wait() runs in a thread of its own, and the requests a browser would make.

export namespace latchkey::test {

using Held = std::unique_ptr<HeldCallback>;

inline constexpr std::string_view kState = "the-state-of-this-login";

/// For localhost, 127.0.0.1 and ::1, with what a client needs to trust it. One a process.
struct TestCertificate {
  Authority authority;
  std::shared_ptr<const TlsCertificate> certificate;
};
[[nodiscard]] const TestCertificate& test_certificate();

/// Its clients speak TLS if the options have a certificate, which must be test_certificate()'s.
class LoginWait {
 public:
  explicit LoginWait(ReceiverOptions options = {},
                     std::chrono::milliseconds timeout = std::chrono::seconds{30});
  LoginWait(const LoginWait&) = delete;
  LoginWait& operator=(const LoginWait&) = delete;
  ~LoginWait();

  [[nodiscard]] std::uint16_t port() const { return port_; }
  /// As in the redirect URI.
  [[nodiscard]] std::string redirect_uri() const { return receiver_->redirect_uri(); }
  [[nodiscard]] std::string origin() const;
  [[nodiscard]] std::string host() const;
  [[nodiscard]] unsigned strays() const { return strays_; }
  void stop() { stop_.request_stop(); }
  /// Ends the receiver; what was held lives on.
  void destroy_receiver() { receiver_.reset(); }
  /// What wait() returned. Call once.
  [[nodiscard]] Result<Held> result() { return waiting_.get(); }
  [[nodiscard]] bool is_waiting() const;

  /// A GET as a browser sends it, with more header lines if wanted (each ending in CRLF).
  [[nodiscard]] std::string get(std::string_view target, std::string_view more = {}) const;
  /// Connected, and past the handshake if there is one.
  [[nodiscard]] RawClient client() const;
  /// Sends `request` on a connection of its own and gives the whole answer.
  [[nodiscard]] std::string exchange(std::string_view request) const;
  /// A client that has sent the callback with the right state and waits for its page.
  [[nodiscard]] RawClient browser(std::string_view more_query = "&code=c&iss=i") const;

 private:
  std::unique_ptr<LoopbackReceiver> receiver_;
  std::uint16_t port_;
  bool tls_;
  std::stop_source stop_;
  std::atomic<unsigned> strays_ = 0;
  std::future<Result<Held>> waiting_;
};

/// "HTTP/1.1 400 ..." -> 400; 0 if it is no answer.
[[nodiscard]] int status_of(std::string_view answer);
[[nodiscard]] std::string body_of(std::string_view answer);

}  // namespace latchkey::test
