// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

import latchkey.core;
import latchkey.loopback.certificate;
import latchkey.loopback.pages;
import latchkey.loopback.receiver;
import latchkey.test.certificate;
import latchkey.test.login_wait;
import latchkey.test.openssl;
import latchkey.test.raw_client;

using namespace latchkey;
using namespace latchkey::test;
using std::chrono::milliseconds;

namespace {

constexpr int kTls11 = 0x0302, kTls12 = 0x0303, kTls13 = 0x0304;

ReceiverOptions https(LoopbackHost host = LoopbackHost::ipv4) {
  return {.host = host, .certificate = test_certificate().certificate};
}

const std::string& authority() {
  return test_certificate().authority.certificate_pem();
}

// The login still works after whatever happened before.
void finish(LoginWait& login) {
  auto browser = login.browser();
  auto held = login.result();
  REQUIRE(held);
  (*held)->answer(200, "done");
  CHECK(body_of(browser.read_all()) == "done");
}

}  // namespace

TEST_CASE("https: a callback arrives, and its page comes back whole", "[receiver][tls]") {
  const auto [host, name] =
      GENERATE(table<LoopbackHost, std::string>({{LoopbackHost::ipv4, "127.0.0.1"},
                                                 {LoopbackHost::ipv6, "[::1]"},
                                                 {LoopbackHost::localhost, "localhost"}}));
  if (host == LoopbackHost::ipv6 && !has_ipv6_loopback()) SKIP("this machine has no ::1");
  LoginWait login(https(host));
  CHECK(login.redirect_uri() ==
        "https://" + name + ':' + std::to_string(login.port()) + "/callback");
  auto browser = login.browser("&code=c");
  auto held = login.result();
  REQUIRE(held);
  CHECK((*held)->query() == "state=" + std::string(kState) + "&code=c");
  const std::string page(300'000, 'x');
  (*held)->answer(200, page);
  CHECK(body_of(browser.read_all()) == page);
}

TEST_CASE("https: the page still comes when the receiver is gone", "[receiver][tls]") {
  LoginWait login(https());
  auto browser = login.browser();
  auto held = login.result().value();
  login.destroy_receiver();
  held->answer(200, "done");
  held.reset();
  CHECK(body_of(browser.read_all()) == "done");
}

TEST_CASE("https: a held callback that goes unanswered shows the neutral page", "[receiver][tls]") {
  LoginWait login(https());
  auto browser = login.browser();
  login.result().value().reset();
  CHECK(body_of(browser.read_all()) == stray_page());
}

TEST_CASE("https: TLS 1.2 and 1.3 are spoken, nothing older", "[receiver][tls]") {
  LoginWait login(https());
  CHECK(RawClient(login.port()).start_tls(authority(), "127.0.0.1", kTls12));
  CHECK(RawClient(login.port()).start_tls(authority(), "127.0.0.1", kTls13));
  CHECK_FALSE(RawClient(login.port()).start_tls(authority(), "127.0.0.1", kTls11));
  finish(login);
}

TEST_CASE("https: a client that trusts another authority, or wants another host, is no callback",
          "[receiver][tls]") {
  LoginWait login(https());
  CHECK_FALSE(RawClient(login.port()).start_tls(Authority().certificate_pem(), "127.0.0.1"));
  CHECK_FALSE(RawClient(login.port()).start_tls(authority(), "127.0.0.2"));
  CHECK_FALSE(RawClient(login.port()).start_tls(authority(), "localhost.example"));
  CHECK(login.is_waiting());
  finish(login);
}

TEST_CASE("https: plain http and other noise on the port do not end the wait", "[receiver][tls]") {
  LoginWait login(https());
  for (const auto& noise : {login.get("/callback?state=" + std::string(kState) + "&code=c"),
                            std::string("\x16\x03"), std::string("\x16\x03\x01\xff\xff garbage"),
                            std::string(70'000, '\0'), std::string("\n")}) {
    RawClient client(login.port());
    client.send(noise);
    // Connections that send nothing: browsers open some in advance.
    const RawClient early(login.port());
    RawClient(login.port()).abort();
    CHECK(login.is_waiting());
  }
  finish(login);
}

TEST_CASE("https: plain http is answered by nothing that a page could read", "[receiver][tls]") {
  LoginWait login(https());
  const auto answer =
      RawClient(login.port()).send(login.get("/callback?state=" + std::string(kState))).read_all();
  CHECK(answer.find("HTTP/") == std::string::npos);
  CHECK(login.is_waiting());
}

TEST_CASE("https: handshake and request share one deadline", "[receiver][tls]") {
  auto options = https();
  // Enough for a handshake on a busy machine.
  options.read_timeout = milliseconds{500};
  LoginWait login(options);
  RawClient silent(login.port());
  RawClient half(login.port());
  half.send("\x16\x03\x01");
  auto shaken = login.client();
  auto begun = login.client();
  begun.send("GET /callback?sta");
  CHECK(silent.read_all().empty());
  CHECK(half.read_all().empty());
  CHECK(body_of(shaken.read_all()).empty());
  CHECK(body_of(begun.read_all()).empty());
  CHECK(login.is_waiting());
}

TEST_CASE("https: slow handshakes do not keep the browser out", "[receiver][tls][concurrency]") {
  auto options = https();
  options.read_timeout = std::chrono::seconds{60};
  LoginWait login(options);
  std::vector<RawClient> slow;
  for (int i = 0; i < 40; ++i) {
    slow.emplace_back(login.port());
    if (i % 2 == 0) slow.back().send("\x16\x03\x01\x02");
  }
  finish(login);
}

TEST_CASE("https: a browser that leaves before its page does not disturb", "[receiver][tls]") {
  LoginWait login(https());
  {
    auto browser = login.browser();
    auto held = login.result().value();
    browser.abort();
    held->answer(200, std::string(2'000'000, 'x'));
  }
  login.destroy_receiver();
}

TEST_CASE("https: a certificate that does not name the host is refused before anybody comes",
          "[receiver][tls]") {
  const auto pair = Authority().issue({"localhost"});
  const auto only_name = TlsCertificate::from_pem(pair.certificate_pem, SecretString(pair.key_pem),
                                                  SystemClock().now())
                             .value();
  CHECK(LoopbackReceiver::open({.host = LoopbackHost::localhost, .certificate = only_name}));
  const auto host = GENERATE(LoopbackHost::ipv4, LoopbackHost::ipv6);
  const auto receiver = LoopbackReceiver::open({.host = host, .certificate = only_name});
  REQUIRE_FALSE(receiver);
  CHECK(receiver.error().code == ErrorCode::invalid_argument);
  CHECK(receiver.error().detail == "loopback.certificate_host");
}

TEST_CASE("https: LA-50: the certificate for development works for whoever trusts it alone",
          "[receiver][tls]") {
  const auto made = TlsCertificate::self_signed_for_development(SystemClock().now()).value();
  const auto receiver = LoopbackReceiver::open({.certificate = made}).value();
  CHECK(RawClient(receiver->port()).start_tls(made->chain_pem(), "127.0.0.1"));
  CHECK_FALSE(RawClient(receiver->port()).start_tls(authority(), "127.0.0.1"));
}

TEST_CASE("https: a certificate that OpenSSL does not serve with is an error of its own",
          "[receiver][tls]") {
  const OpensslTool tool;
  REQUIRE(
      tool.run("req -x509 -newkey rsa:1024 -nodes -keyout key.pem -out cert.pem -days 2 "
               "-subj /CN=short -addext subjectAltName=IP:127.0.0.1"));
  const auto weak =
      TlsCertificate::from_pem(tool.read("cert.pem"), SecretString(tool.read("key.pem")),
                               SystemClock().now())
          .value();
  const auto receiver = LoopbackReceiver::open({.certificate = weak});
  REQUIRE_FALSE(receiver);
  CHECK(receiver.error().code == ErrorCode::invalid_argument);
  CHECK(receiver.error().detail == "loopback.certificate");
}
