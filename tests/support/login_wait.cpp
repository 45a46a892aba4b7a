// SPDX-License-Identifier: MIT
module;
#include <atomic>
#include <charconv>
#include <chrono>
#include <cstdint>
#include <future>
#include <memory>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
module latchkey.test.login_wait;
import latchkey.core;
import latchkey.loopback.certificate;

namespace latchkey::test {

const TestCertificate& test_certificate() {
  static const TestCertificate made = [] {
    TestCertificate out;
    auto pair = out.authority.issue({"localhost", "127.0.0.1", "::1"});
    out.certificate = TlsCertificate::from_pem(pair.certificate_pem, SecretString(pair.key_pem),
                                               SystemClock().now())
                          .value();
    return out;
  }();
  return made;
}

LoginWait::LoginWait(ReceiverOptions options, std::chrono::milliseconds timeout)
    : receiver_(LoopbackReceiver::open(options).value()),
      port_(receiver_->port()),
      tls_(options.certificate != nullptr) {
  waiting_ = std::async(std::launch::async, [this, timeout] {
    return receiver_->wait(kState, timeout, stop_.get_token(), [this] { ++strays_; });
  });
}

LoginWait::~LoginWait() {
  stop();
  if (waiting_.valid()) waiting_.wait();
}

bool LoginWait::is_waiting() const {
  return waiting_.wait_for(std::chrono::seconds{0}) == std::future_status::timeout;
}

std::string LoginWait::get(std::string_view target, std::string_view more) const {
  return "GET " + std::string(target) + " HTTP/1.1\r\nHost: " + host() +
         "\r\nUser-Agent: test\r\nSec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\n" +
         "Sec-Fetch-Dest: document\r\n" + std::string(more) + "\r\n";
}

std::string LoginWait::origin() const {
  const auto uri = redirect_uri();
  return uri.substr(0, uri.find('/', uri.find("://") + 3));
}

std::string LoginWait::host() const {
  const auto all = origin();
  return all.substr(all.find("://") + 3);
}

RawClient LoginWait::client() const {
  const auto name = host().substr(0, host().rfind(':'));
  const bool six = name.starts_with('[');
  RawClient client(port_, six ? "::1" : "127.0.0.1");
  if (tls_ && !client.start_tls(test_certificate().authority.certificate_pem(), six ? "::1" : name))
    throw std::runtime_error("the TLS handshake failed");
  return client;
}

std::string LoginWait::exchange(std::string_view request) const {
  return client().send(request).read_all();
}

RawClient LoginWait::browser(std::string_view more_query) const {
  auto browser = client();
  browser.send(get("/callback?state=" + std::string(kState) + std::string(more_query)));
  return browser;
}

int status_of(std::string_view answer) {
  int status = 0;
  if (answer.starts_with("HTTP/1.1 ") && answer.size() > 12) {
    std::from_chars(answer.data() + 9, answer.data() + 12, status);
  }
  return status;
}

std::string body_of(std::string_view answer) {
  const auto end = answer.find("\r\n\r\n");
  return end == std::string_view::npos ? std::string() : std::string(answer.substr(end + 4));
}

}  // namespace latchkey::test
