// SPDX-License-Identifier: MIT
#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <chrono>
#include <memory>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

import latchkey.core.error;
import latchkey.http.cares;
import latchkey.http.dns;
import latchkey.test.dns_server;
import latchkey.test.programs;
import latchkey.test.raw_server;

// A real server, and one that breaks the rules. The names are under .test, which no real server
// knows.

using namespace latchkey;
using namespace latchkey::test;
using namespace std::chrono_literals;

namespace {

using Steady = std::chrono::steady_clock;
using Texts = std::vector<std::string>;

// Response codes (RFC 1035 §4.1.1).
constexpr unsigned char kFormatError = 1, kServerFailure = 2, kNameError = 3, kNotImplemented = 4,
                        kRefused = 5;

std::unique_ptr<CaresResolver> resolver(std::vector<std::string> servers) {
  return CaresResolver::open({.servers = std::move(servers)}).value();
}

Result<Texts> ask(const std::string& server, const std::string& name, DnsOptions options = {}) {
  auto texts = resolver({server})->txt(name, options);
  if (texts) std::sort(texts->begin(), texts->end());  // servers turn the records around
  return texts;
}

std::string outcome(const Result<Texts>& texts) {
  return texts ? std::to_string(texts->size()) + " records"
               : std::string(to_string(texts.error().code)) + " " + texts.error().detail;
}

std::string ignore(const std::string&) {
  return {};
}

}  // namespace

TEST_CASE("cares: the TXT records of a name are read", "[dns]") {
  const DnsServer server({R"(txt-record=_atproto.alice.test,"did=did:web:alice.test")",
                          R"(txt-record=_atproto.alice.test,"v=spf1 -all")"});
  CHECK(ask(server.address(), "_atproto.alice.test").value() ==
        Texts{"did=did:web:alice.test", "v=spf1 -all"});
  CHECK(ask(server.address(), "_ATPROTO.Alice.TEST").value().size() == 2);
}

TEST_CASE("C2.2: cares: the pieces of one record are one text", "[dns]") {
  const DnsServer server({R"(txt-record=pieces.test,"did=did:","web:","alice.test")",
                          "txt-record=pieces.test,\"" + std::string(255, 'x') + "\",\"y\"",
                          "txt-record=empty.test,\"\""});
  CHECK(ask(server.address(), "pieces.test").value() ==
        Texts{"did=did:web:alice.test", std::string(255, 'x') + "y"});
  CHECK(ask(server.address(), "empty.test").value() == Texts{""});
}

TEST_CASE("cares: no such name and no such record are absent", "[dns]") {
  const DnsServer server({"host-record=address.test,127.0.0.1"});
  CHECK(ask(server.address(), "nobody.test").value().empty());
  CHECK(ask(server.address(), "address.test").value().empty());
}

TEST_CASE("cares: an answer that needs TCP is read whole", "[dns]") {
  Texts lines, wanted;
  for (char c = 'a'; c <= 'z'; ++c) {
    wanted.emplace_back(200, c);
    lines.push_back("txt-record=long.test,\"" + wanted.back() + "\"");
  }
  const DnsServer server(lines);
  CHECK(ask(server.address(), "long.test").value() == wanted);
}

TEST_CASE("cares: there is a cap on the records and on their size", "[dns]") {
  const DnsServer server({"txt-record=few.test,\"aaaa\"", "txt-record=few.test,\"bbbb\"",
                          "txt-record=few.test,\"cccc\""});
  CHECK(ask(server.address(), "few.test", {.max_records = 3, .max_size = 12}));
  CHECK(outcome(ask(server.address(), "few.test", {.max_records = 2})) ==
        "response_too_large dns.too_large");
  CHECK(outcome(ask(server.address(), "few.test", {.max_size = 11})) ==
        "response_too_large dns.too_large");
}

TEST_CASE("cares: a server that refuses is no absence", "[dns]") {
  const DnsServer server({});
  CHECK(outcome(ask(server.address(), "elsewhere.invalid-tld")) == "unreachable dns.failed");
}

TEST_CASE("cares: a server that fails is no absence", "[dns]") {
  const auto code = GENERATE(kFormatError, kServerFailure, kNotImplemented, kRefused);
  UdpServer server([code](const std::string& query) { return dns_answer(query, code); });
  CHECK(outcome(ask(server.address(), "alice.test")) == "unreachable dns.failed");
}

TEST_CASE("cares: a port where nobody listens is no absence", "[dns]") {
  CHECK(outcome(ask("127.0.0.1:" + std::to_string(closed_port()), "alice.test")) ==
        "unreachable dns.failed");
}

TEST_CASE("cares: a server that fails hands over to the next one", "[dns]") {
  UdpServer failing([](const std::string& query) { return dns_answer(query, kServerFailure); });
  const DnsServer server({"txt-record=alice.test,\"here\""});
  CHECK(resolver({failing.address(), server.address()})->txt("alice.test", {}).value() ==
        Texts{"here"});
  CHECK(failing.packets().size() == 1);
}

TEST_CASE("cares: a silent server is waited for as long as was said, and no longer", "[dns]") {
  UdpServer server(ignore);
  const auto timeout = GENERATE(0ms, 1ms, 150ms);
  const auto start = Steady::now();
  CHECK(outcome(ask(server.address(), "alice.test", {.timeout = timeout})) ==
        "timeout dns.timeout");
  const auto waited = Steady::now() - start;
  CHECK(waited >= timeout);
  CHECK(waited < timeout + 700ms);  // less than one try of c-ares' own
}

TEST_CASE("cares: without an answer to all its tries it is late too", "[dns]") {
  UdpServer server(ignore);
  const auto start = Steady::now();
  CHECK(outcome(ask(server.address(), "alice.test", {.timeout = 60s})) == "timeout dns.timeout");
  CHECK(Steady::now() - start < 8s);
  CHECK(server.packets().size() == 2);
}

TEST_CASE("cares: a stop ends the lookup at once", "[dns]") {
  std::stop_source source;
  UdpServer server([&](const std::string&) {
    source.request_stop();
    return std::string();
  });
  const auto start = Steady::now();
  CHECK(outcome(ask(server.address(), "alice.test",
                    {.timeout = 60s, .stop = source.get_token()})) == "cancelled dns.cancelled");
  CHECK(Steady::now() - start < 8s);
  CHECK(server.packets().size() == 1);
}

TEST_CASE("cares: what is stopped before it begins asks nobody", "[dns]") {
  UdpServer server(ignore);
  std::stop_source source;
  source.request_stop();
  CHECK(outcome(ask(server.address(), "alice.test", {.stop = source.get_token()})) ==
        "cancelled dns.cancelled");
  CHECK(server.packets().empty());
}

TEST_CASE("cares: an answer that is cut short is malformed", "[dns]") {
  UdpServer server([](const std::string& query) {
    auto answer = dns_answer(query, 0);
    answer.at(7) = 1;  // it says that it has a record
    return answer;
  });
  CHECK(outcome(ask(server.address(), "alice.test")) == "invalid_response dns.malformed");
}

TEST_CASE("cares: a server that resets its TCP connections does not end the program", "[dns]") {
  UdpServer server([](const std::string& query) {
    auto answer = dns_answer(query, 0);
    answer.at(2) = static_cast<char>(answer.at(2) | 0x02);  // cut short: ask over TCP
    return answer;
  });
  const ResettingPort tcp(server.address());
  for (int i = 0; i < 50; ++i) {
    CHECK(outcome(ask(server.address(), "alice.test")) == "unreachable dns.failed");
  }
  CHECK(tcp.resets() > 0);
}

TEST_CASE("cares: an answer to another question is not heard", "[dns]") {
  const int how = GENERATE(0, 1, 2);
  UdpServer server([how](const std::string& query) {
    auto answer = dns_answer(query, kNameError);
    if (how == 0) answer.at(0) = static_cast<char>(answer.at(0) ^ 1);    // another id
    if (how == 1) answer.at(13) = static_cast<char>(answer.at(13) ^ 1);  // another name
    if (how == 2) answer = "no DNS at all";
    return answer;
  });
  const auto texts = ask(server.address(), "alice.test", {.timeout = 200ms});
  CHECK_FALSE(texts.has_value());
}

TEST_CASE("cares: the environment changes neither the name nor the tries", "[dns]") {
  const Variable options("RES_OPTIONS", "ndots:15 retrans:9 retry:9 rotate");
  const Variable domain("LOCALDOMAIN", "evil.test");
  UdpServer server([](const std::string& query) { return dns_answer(query, kNameError); });
  CHECK(ask(server.address(), "alice.test").value().empty());
  REQUIRE(server.packets().size() == 1);
  CHECK(dns_question(server.packets()[0]) == "alice.test");
  UdpServer silent(ignore);
  CHECK(outcome(ask(silent.address(), "alice.test", {.timeout = 60s})) == "timeout dns.timeout");
  CHECK(silent.packets().size() == 2);
}

TEST_CASE("cares: what is no name is not asked for", "[dns]") {
  UdpServer server(ignore);
  const std::string name =
      GENERATE("", ".", "alice.test.", ".alice.test", "alice..test", "al ice.test",
               "alice\\046.test", "alice.test/x", "al\xC3\xAD.test");
  CHECK(outcome(ask(server.address(), name)) == "invalid_argument dns.name");
  CHECK(server.packets().empty());
}

TEST_CASE("cares: servers that are no addresses are refused when it is opened", "[dns]") {
  const std::string server =
      GENERATE("dns.example.com", "127.0.0.1:x", "256.1.1.1", "http://1.1.1.1");
  const auto opened = CaresResolver::open({.servers = {server}});
  REQUIRE_FALSE(opened.has_value());
  CHECK(opened.error().detail == "dns.servers");
}

TEST_CASE("cares: one resolver serves many threads", "[dns][concurrency]") {
  const DnsServer server({"txt-record=alice.test,\"here\""});
  const auto shared = resolver({server.address()});
  std::vector<Result<Texts>> found(8, Texts{});
  {
    std::vector<std::jthread> threads;
    for (auto& one : found) {
      threads.emplace_back([&] { one = shared->txt("alice.test", {}); });
    }
  }
  for (const auto& one : found) CHECK(one.value() == Texts{"here"});
}

TEST_CASE("is_dns_name: lengths", "[dns]") {
  const std::string label(63, 'a');
  const auto longest = label + '.' + label + '.' + label + '.' + std::string(61, 'a');
  CHECK(is_dns_name("a"));
  CHECK(is_dns_name(label));
  CHECK_FALSE(is_dns_name(label + 'a'));
  CHECK(is_dns_name(longest));
  CHECK(longest.size() == 253);
  CHECK_FALSE(is_dns_name(longest + 'a'));
}
