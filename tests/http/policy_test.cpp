// SPDX-License-Identifier: MIT
#include <array>
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <chrono>
#include <cstddef>
#include <string>

import latchkey.core.error;
import latchkey.core.secret;
import latchkey.core.url;
import latchkey.http;
import latchkey.http.policy;

using namespace std::chrono_literals;
using latchkey::AddressRule;
using latchkey::ErrorCode;
using latchkey::HttpRule;
using latchkey::IpAddress;
using latchkey::Proxy;
using latchkey::SecretString;
using latchkey::Url;

namespace {

bool is_public(const std::string& text) {
  const auto address = IpAddress::parse(text);
  REQUIRE(address.has_value());
  return latchkey::is_public_address(*address);
}

latchkey::HttpRequest get(const std::string& url) {
  return {.method = "GET",
          .url = Url::parse(url).value(),
          .headers = {},
          .body = {},
          .authorization = {}};
}

}  // namespace

TEST_CASE("is_public_address: refuses every special IPv4 range, from its first address to its last",
          "[http.policy]") {
  const std::string text =
      GENERATE("0.0.0.0", "0.255.255.255", "10.0.0.0", "10.255.255.255", "100.64.0.0",
               "100.127.255.255", "127.0.0.0", "127.0.0.1", "127.255.255.255", "169.254.0.0",
               "169.254.169.254", "169.254.255.255", "172.16.0.0", "172.31.255.255", "192.0.0.0",
               "192.0.0.255", "192.0.2.1", "192.88.99.1", "192.168.0.0", "192.168.255.255",
               "198.18.0.0", "198.19.255.255", "198.51.100.7", "203.0.113.9", "224.0.0.0",
               "239.255.255.255", "240.0.0.0", "255.255.255.255");
  CAPTURE(text);
  CHECK_FALSE(is_public(text));
}

TEST_CASE("is_public_address: accepts the IPv4 neighbours of those ranges", "[http.policy]") {
  const std::string text = GENERATE(
      "1.0.0.0", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255",
      "128.0.0.0", "169.253.255.255", "169.255.0.0", "172.15.255.255", "172.32.0.0", "192.0.1.0",
      "192.0.3.0", "192.88.98.255", "192.167.255.255", "192.169.0.0", "198.17.255.255",
      "198.20.0.0", "203.0.112.255", "223.255.255.255", "8.8.8.8");
  CAPTURE(text);
  CHECK(is_public(text));
}

TEST_CASE("is_public_address: refuses IPv6 that is local, reserved, or carries an IPv4 address",
          "[http.policy]") {
  const std::string text = GENERATE(
      "::", "::1", "::ffff:127.0.0.1", "::ffff:8.8.8.8", "::127.0.0.1", "::8.8.8.8", "64:ff9b:1::1",
      "64:ff9b:1::808:808", "64:ff9b:0:1::808:808", "64:ff9b::1:808:808", "64:ff9a::808:808",
      "100::1", "2001::1", "2001:0:4136:e378:8000:63bf:3fff:fdd2", "2001:2::1", "2001:10::1",
      "2001:1ff:ffff::1", "2001:db8::1", "2002:7f00:1::", "2002:808:808::1", "3fff::1",
      "3fff:fff:ffff::1", "4000::1", "5f00::1", "fc00::1", "fdff:ffff::1", "fe80::1", "febf::1",
      "fec0::1", "ff02::1", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "1fff::1");
  CAPTURE(text);
  CHECK_FALSE(is_public(text));
}

TEST_CASE("is_public_address: judges an address of the NAT64 prefix by its IPv4 address",
          "[http.policy]") {
  const std::string bad =
      GENERATE("64:ff9b::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b::10.0.0.1",
               "64:ff9b::", "64:ff9b::169.254.169.254", "64:ff9b::100.64.0.1", "64:ff9b::192.0.2.1",
               "64:ff9b::224.0.0.1", "64:ff9b::255.255.255.255");
  CAPTURE(bad);
  CHECK_FALSE(is_public(bad));
  CHECK(is_public("64:ff9b::8.8.8.8"));
  CHECK(is_public("64:ff9b::808:808"));
  CHECK(is_public("64:ff9b::172.32.0.0"));
}

TEST_CASE("is_public_address: accepts global IPv6", "[http.policy]") {
  const std::string text =
      GENERATE("2000::1", "2001:200::1", "2001:4860:4860::8888", "2001:db7:ffff::1", "2001:db9::1",
               "2003::1", "2606:4700::1111", "3ffe:ffff::1", "3fff:1000::1");
  CAPTURE(text);
  CHECK(is_public(text));
}

TEST_CASE("IpAddress::parse: reads literals and nothing else", "[http.policy]") {
  CHECK(IpAddress::parse("[::1]")->text() == "::1");
  CHECK(IpAddress::parse("::1")->text() == "::1");
  CHECK(IpAddress::parse("10.1.2.3")->text() == "10.1.2.3");
  CHECK_FALSE(IpAddress::parse("10.1.2.3")->bytes() == IpAddress::parse("10.1.2.4")->bytes());
  const std::string text =
      GENERATE("", "[]", "[10.1.2.3]", "localhost", "10.1.2", "010.1.2.3", "0x7f000001",
               "2130706433", "fe80::1%eth0", "[::1", "::1]", "1.2.3.4 ", "::g");
  CAPTURE(text);
  CHECK_FALSE(IpAddress::parse(text).has_value());
}

TEST_CASE("IpAddress::parse: is not fooled by a zero byte", "[http.policy]") {
  CHECK_FALSE(IpAddress::parse(std::string("8.8.8.8\0.evil", 13)).has_value());
}

TEST_CASE("check_address: refuses a private address unless any is allowed", "[http.policy]") {
  const auto address = *IpAddress::parse("192.168.1.1");
  const auto refused = latchkey::check_address(address, AddressRule::public_only);
  REQUIRE_FALSE(refused.has_value());
  CHECK(refused.error().code == ErrorCode::insecure_address);
  CHECK(refused.error().detail == "address.not_public");
  CHECK(refused.error().message.find("allow_http_for_loopback") != std::string::npos);
  CHECK(latchkey::check_address(address, AddressRule::any).has_value());
}

TEST_CASE("check_target: refuses names that are never public, unless any is allowed",
          "[http.policy]") {
  const std::string host = GENERATE("localhost", "a.localhost", "intranet", "printer.local",
                                    "metadata.google.internal", "router.home.arpa", "x.onion");
  const auto url = Url::parse("https://" + host + "/").value();
  const auto refused = latchkey::check_target(url, AddressRule::public_only);
  REQUIRE_FALSE(refused.has_value());
  CHECK(refused.error().code == ErrorCode::insecure_address);
  CHECK(refused.error().detail == "address.not_public");
  CHECK(refused.error().message.find("allow_http_for_loopback") != std::string::npos);
  CHECK(latchkey::check_target(url, AddressRule::any).has_value());
}

TEST_CASE("check_target: accepts names that only look like those", "[http.policy]") {
  const std::string host = GENERATE("localhost.example", "notlocal.example", "home.arpa.example",
                                    "xlocal.com", "internal.example", "8.8.8.8", "[2606::1]");
  CHECK(
      latchkey::check_target(Url::parse("https://" + host + "/").value(), AddressRule::public_only)
          .has_value());
}

TEST_CASE("check_target: refuses the ports of other services", "[http.policy]") {
  const auto refused = [](const std::string& port) {
    const auto url = Url::parse("https://pds.example:" + port + "/").value();
    CHECK(latchkey::check_target(url, AddressRule::any).has_value());
    return !latchkey::check_target(url, AddressRule::public_only).has_value();
  };
  for (const auto* port : {"1", "22", "25", "80", "442", "444", "1023"}) CHECK(refused(port));
  for (const auto* port : {"443", "1024", "3000", "8443", "65535"}) CHECK_FALSE(refused(port));
}

TEST_CASE("check_target_address: plain http goes to this machine only", "[http.policy]") {
  const auto http = Url::parse("http://localhost/").value();
  const auto https = Url::parse("https://localhost/").value();
  for (const auto* text : {"127.0.0.1", "127.255.0.1", "::1"}) {
    CHECK(latchkey::check_target_address(*IpAddress::parse(text), http, AddressRule::any));
    CHECK_FALSE(
        latchkey::check_target_address(*IpAddress::parse(text), http, AddressRule::public_only));
  }
  for (const auto* text : {"8.8.8.8", "10.0.0.1", "0.0.0.0", "::", "::ffff:7f00:1", "2606::1"}) {
    const auto refused =
        latchkey::check_target_address(*IpAddress::parse(text), http, AddressRule::any);
    REQUIRE_FALSE(refused.has_value());
    CHECK(refused.error().detail == "address.not_loopback");
    CHECK(latchkey::check_target_address(*IpAddress::parse(text), https, AddressRule::any));
  }
}

TEST_CASE("limits: are those of each purpose", "[http.policy]") {
  CHECK(latchkey::token_limits().max_body == 64 * 1024);
  CHECK(latchkey::token_limits().timeout == 30s);
  CHECK(latchkey::token_limits().connection == latchkey::Connection::fresh);
  CHECK(latchkey::metadata_limits().max_body == 512 * 1024);
  CHECK(latchkey::metadata_limits().timeout == 10s);
  CHECK(latchkey::handle_file_limits().max_body == 2048);
  CHECK(latchkey::handle_file_limits().timeout == 3s);
  CHECK(latchkey::resource_limits().connection == latchkey::Connection::pooled);
  CHECK(latchkey::resource_limits().max_headers == std::size_t{64} * 1024);
}

TEST_CASE("check_request: refuses http, but to loopback when asked to", "[http.policy]") {
  CHECK(latchkey::check_request(get("http://127.0.0.1/"), HttpRule::https_only).error().code ==
        ErrorCode::insecure_address);
  CHECK(latchkey::check_request(get("http://example.com/"), HttpRule::allow_http_for_loopback)
            .error()
            .code == ErrorCode::insecure_address);
  CHECK(latchkey::check_request(get("http://localhost/"), HttpRule::allow_http_for_loopback)
            .has_value());
  CHECK(latchkey::check_request(get("https://example.com/"), HttpRule::https_only).has_value());
}

TEST_CASE("check_request: refuses methods that are no tokens", "[http.policy]") {
  const std::string method = GENERATE("", "GET /x", "GET\r\nX: y", "G\xc3\xa9T", "GET ");
  auto request = get("https://example.com/");
  request.method = method;
  CHECK(latchkey::check_request(request, HttpRule::https_only).error().detail == "http.method");
}

TEST_CASE("check_request: refuses headers that the transport writes, in any case",
          "[http.policy]") {
  const std::string name = GENERATE("Host", "content-length", "Transfer-Encoding", "CONNECTION",
                                    "Authorization", "Expect", "TE", "Trailer", "Upgrade",
                                    "Keep-Alive", "Proxy-Authorization", "Proxy-Connection");
  auto request = get("https://example.com/");
  REQUIRE(request.headers.add(name, "x"));
  const auto checked = latchkey::check_request(request, HttpRule::https_only);
  REQUIRE_FALSE(checked.has_value());
  CHECK(checked.error().detail == "http.reserved_header");
}

TEST_CASE("authorization_value: writes the scheme before the credentials", "[http.policy]") {
  using Scheme = latchkey::Authorization::Scheme;
  CHECK(latchkey::authorization_value({Scheme::dpop, SecretString("a.b")})->expose() == "DPoP a.b");
  CHECK(latchkey::authorization_value({Scheme::bearer, SecretString("a.b")})->expose() ==
        "Bearer a.b");
  CHECK(latchkey::authorization_value({Scheme::basic, SecretString("YTpi")})->expose() ==
        "Basic YTpi");
}

TEST_CASE(
    "authorization_value: refuses credentials that would break the header, without naming them",
    "[http.policy]") {
  const std::string text =
      GENERATE("", "a b", "token-7f3\r\nX: y", "token-7f3\n", "a\tb", "token-7f3\x80");
  const auto value =
      latchkey::authorization_value({latchkey::Authorization::Scheme::bearer, SecretString(text)});
  REQUIRE_FALSE(value.has_value());
  CHECK(value.error().detail == "http.credentials");
  CHECK(value.error().message.find("token-7f3") == std::string::npos);
}

TEST_CASE("check_ca_file: tells a missing file", "[http.policy]") {
  CHECK(latchkey::check_ca_file("").has_value());
  CHECK(latchkey::check_ca_file("/nonexistent/ca.pem").error().detail == "tls.ca_file");
}

TEST_CASE("Proxy: reads host, port and user", "[http.policy]") {
  CHECK(Proxy::parse("http://proxy.example:3128", "")->address() == "http://proxy.example:3128");
  CHECK(Proxy::parse("http://proxy.example:80/", "")->address() == "http://proxy.example:80");
  CHECK(Proxy::parse("proxy.example", "")->address() == "http://proxy.example:8080");
  const auto proxy = Proxy::parse("http://us%40er:p%3Aw@[::1]:3128/", "");
  REQUIRE(proxy.has_value());
  CHECK(proxy->address() == "http://[::1]:3128");
  CHECK(proxy->user() == "us@er");
  CHECK(proxy->password().expose() == "p:w");
  CHECK(proxy->clone().password().expose() == "p:w");
}

TEST_CASE("Proxy: refuses what it can't speak to, without naming the password", "[http.policy]") {
  CHECK(Proxy::parse("socks5://proxy.example:1080", "").error().detail == "proxy.scheme");
  CHECK(Proxy::parse("https://proxy.example", "").error().detail == "proxy.scheme");
  const std::string text =
      GENERATE("http://user:hunter2@", "http://user:hunter2@a b:1",
               "http://user:hunter2@host:99999", "http://user:%zzhunter2@host", "http://");
  const auto proxy = Proxy::parse(text, "");
  REQUIRE_FALSE(proxy.has_value());
  CHECK(proxy.error().detail == "proxy.malformed");
  CHECK(proxy.error().message.find("hunter2") == std::string::npos);
}

TEST_CASE("Proxy: leaves exceptions, loopback and plain http alone", "[http.policy]") {
  const auto proxy =
      Proxy::parse("http://proxy.example:3128", " example.com, .internal.test ,10.0.0.7,").value();
  const auto applies = [&](const std::string& url) {
    return proxy.applies_to(Url::parse(url).value());
  };
  CHECK(applies("https://example.org/"));
  CHECK(applies("https://badexample.com/"));
  CHECK(applies("https://10.0.0.8/"));
  CHECK_FALSE(applies("https://example.com/"));
  CHECK_FALSE(applies("https://a.example.com:8443/"));
  CHECK_FALSE(applies("https://x.internal.test/"));
  CHECK_FALSE(applies("https://10.0.0.7/"));
  CHECK_FALSE(applies("https://localhost:8443/"));
  CHECK_FALSE(applies("https://[::1]/"));
  CHECK_FALSE(applies("http://localhost/"));
  CHECK_FALSE(Proxy::parse("http://proxy.example:3128", "*")
                  ->applies_to(Url::parse("https://example.org/").value()));
  CHECK_FALSE(Proxy().applies_to(Url::parse("https://example.org/").value()));
}
