// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/generators/catch_generators_range.hpp>
#include <chrono>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

import latchkey.core.error;
import latchkey.core.url;
import latchkey.http;
import latchkey.http.policy;
import latchkey.test.adapters;
import latchkey.test.certificate;
import latchkey.test.own_network;
import latchkey.test.raw_server;
import latchkey.test.scripted_resolver;

// Names whose owner decides where they lead, and when. kPublicV4 is this program's own, so that a
// public address can be called; a victim stands at the same port of 127.0.0.1.

using namespace std::chrono_literals;
using namespace latchkey::test;
using latchkey::AddressRule;
using latchkey::Delivery;
using latchkey::ErrorCode;
using latchkey::HttpResponse;
using latchkey::HttpRule;
using latchkey::Result;

namespace {

constexpr const char* kName = "alice.example";
const std::string kPublic(kPublicV4);

void answer_all(Peer& peer) {
  while (!peer.read_request().empty()) peer.write(ok_answer("hello"));
}

std::shared_ptr<ScriptedResolver> leading_to(std::vector<std::vector<std::string>> answers) {
  return std::make_shared<ScriptedResolver>(std::move(answers));
}

// The attacker's server at a public address and the victim at the same port of this machine.
struct Stage {
  Authority authority;
  TemporaryFile ca{authority.certificate_pem()};
  RawServer victim{answer_all, {.identity = authority.issue({kName})}};
  std::optional<RawServer> attacker;

  void open_attacker() {
    attacker.emplace(answer_all, RawServerOptions{.identity = authority.issue({kName}),
                                                  .address = kPublic,
                                                  .port = victim.port()});
  }
  [[nodiscard]] Adapter client(Kind kind, std::shared_ptr<ScriptedResolver> resolver,
                               AddressRule rule = AddressRule::public_only) const {
    return Adapter(
        kind, ca.path(), {},
        {.address_rule = rule, .http_rule = HttpRule::https_only, .resolver = std::move(resolver)});
  }
  [[nodiscard]] std::string url(const std::string& name = kName) const {
    return "https://" + name + ":" + std::to_string(victim.port()) + "/";
  }
};

void check_refused(const Result<HttpResponse>& answer, std::string_view detail) {
  REQUIRE_FALSE(answer.has_value());
  CAPTURE(answer.error().message);
  CHECK(answer.error().detail == detail);
  CHECK(answer.error().delivery == Delivery::not_sent);
}

}  // namespace

TEST_CASE("C3.14: rebinding: a name that leads elsewhere the second time gains nothing",
          "[http.rebinding]") {
  if (!has_own_network()) SKIP("no network of its own");
  const Kind kind = GENERATE(from_range(kKinds));
  INFO(name_of(kind));
  Stage stage;
  stage.open_attacker();
  const auto resolver = leading_to({{kPublic}, {"127.0.0.1"}});
  Adapter adapter = stage.client(kind, resolver);
  REQUIRE(adapter.get(stage.url()).has_value());
  // Looked up once: the address that was checked is the one that was called.
  CHECK(resolver->asked().size() == 1);
  CHECK(stage.attacker->connections() == 1);
  if (kind == Kind::cpprest_pooled) {
    CHECK(adapter.get(stage.url()).has_value());  // the kept connection stays where it is
    CHECK(resolver->asked().size() == 1);
    adapter.options.connection = latchkey::Connection::fresh;
  }
  check_refused(adapter.get(stage.url()), "address.not_public");
  CHECK(stage.victim.connections() == 0);
}

TEST_CASE("C3.14: rebinding: of several addresses only the public ones are called",
          "[http.rebinding]") {
  if (!has_own_network()) SKIP("no network of its own");
  const Kind kind = GENERATE(from_range(kKinds));
  INFO(name_of(kind));
  Stage stage;
  stage.open_attacker();
  Adapter adapter =
      stage.client(kind, leading_to({{"127.0.0.1", "::1", "10.0.0.1", kPublic, "::ffff:7f00:1"}}));
  CHECK(adapter.get(stage.url()).has_value());
  CHECK(stage.attacker->requests().size() == 1);
  CHECK(stage.victim.connections() == 0);
}

TEST_CASE("C3.14: rebinding: a private address is not tried when the public one does not answer",
          "[http.rebinding]") {
  if (!has_own_network()) SKIP("no network of its own");
  const Kind kind = GENERATE(from_range(kKinds));
  INFO(name_of(kind));
  Stage stage;
  Adapter adapter = stage.client(kind, leading_to({{kPublic, "127.0.0.1"}}));
  check_refused(adapter.get(stage.url()), "http.connect");
  CHECK(stage.victim.connections() == 0);
}

TEST_CASE("C3.14: rebinding: plain http to localhost stays on this machine", "[http.rebinding]") {
  const Kind kind = GENERATE(from_range(kKinds));
  INFO(name_of(kind));
  Adapter adapter(kind, "", {}, {.resolver = leading_to({{kPublic}})});
  check_refused(adapter.get("http://localhost:8080/"), "address.not_loopback");
}

TEST_CASE("C3.14: behind a proxy, what is never public stays refused", "[http.rebinding]") {
  const Kind kind = GENERATE(from_range(kKinds));
  const std::string host =
      GENERATE("169.254.169.254", "[::ffff:7f00:1]", "localhost", "pds.localhost", "intranet",
               "metadata.google.internal", "1.2.3.4:22");
  INFO(name_of(kind) << " " << host);
  RawServer proxy(answer_all);
  Adapter adapter(
      kind, "",
      latchkey::Proxy::parse("http://127.0.0.1:" + std::to_string(proxy.port()), "").value(),
      {.address_rule = AddressRule::public_only, .http_rule = HttpRule::https_only});
  const auto answer = adapter.get("https://" + host + "/");
  check_refused(answer, host.ends_with(":22") ? "address.port" : "address.not_public");
  CHECK(proxy.connections() == 0);
}

TEST_CASE("C3.14: a certificate is checked for the name, wherever it led", "[http.rebinding]") {
  const Kind kind = GENERATE(from_range(kKinds));
  const bool good = GENERATE(true, false);
  INFO(name_of(kind));
  const Authority authority;
  const TemporaryFile ca(authority.certificate_pem());
  RawServer server(answer_all, {.identity = authority.issue({good ? kName : "127.0.0.1"})});
  Adapter adapter(kind, ca.path(), {}, {.resolver = leading_to({{"127.0.0.1"}})});
  const auto authority_text = std::string(kName) + ":" + std::to_string(server.port());
  const auto answer = adapter.get("https://" + authority_text + "/");
  REQUIRE(answer.has_value() == good);
  if (!good) {
    CHECK(answer.error().code == ErrorCode::tls_failed);
    return check_refused(answer, "tls.certificate");
  }
  CHECK(server.server_names() == std::vector<std::string>{kName});
  CHECK(server.requests().at(0).find(authority_text + "\r\n") != std::string::npos);
}

TEST_CASE("C3.14: two names at one address share no connection", "[http.rebinding]") {
  Stage stage;
  const Authority& authority = stage.authority;
  RawServer server(answer_all, {.identity = authority.issue({kName, "bob.example"})});
  const auto resolver = leading_to({{"127.0.0.1"}});
  Adapter adapter = stage.client(Kind::cpprest_pooled, resolver, AddressRule::any);
  const auto port = ":" + std::to_string(server.port()) + "/";
  REQUIRE(adapter.get("https://alice.example" + port).has_value());
  REQUIRE(adapter.get("https://bob.example" + port).has_value());
  REQUIRE(adapter.get("https://alice.example" + port).has_value());
  CHECK(server.server_names() == std::vector<std::string>{"alice.example", "bob.example"});
  CHECK(resolver->asked() == std::vector<std::string>{"alice.example", "bob.example"});
}

TEST_CASE("transport: an address where nobody listens gives way to the next", "[http.rebinding]") {
  const Kind kind = GENERATE(from_range(kKinds));
  INFO(name_of(kind));
  const Stage stage;
  Adapter adapter = stage.client(kind, leading_to({{"::1", "127.0.0.3", "127.0.0.2", "127.0.0.1"}}),
                                 AddressRule::any);
  CHECK(adapter.get(stage.url()).has_value());
  CHECK(stage.victim.requests().size() == 1);
}

TEST_CASE("transport: an address that is silent gives way to the next in time",
          "[http.rebinding]") {
  const Kind kind = GENERATE(from_range(kKinds));
  INFO(name_of(kind));
  const SilentPort silent;
  const Authority authority;
  const TemporaryFile ca(authority.certificate_pem());
  RawServer server(
      answer_all,
      {.identity = authority.issue({kName}), .address = "127.0.0.2", .port = silent.port()});
  Adapter adapter(kind, ca.path(), {}, {.resolver = leading_to({{"127.0.0.1", "127.0.0.2"}})});
  adapter.options.connect_timeout = 4s;
  const Stopwatch time;
  CHECK(adapter.get(server.origin(kName) + "/").has_value());
  CHECK(time.is_prompt());
}

TEST_CASE("transport: an address that accepted has all the time to connect for its handshake",
          "[http.rebinding]") {
  const Kind kind = GENERATE(from_range(kKinds));
  INFO(name_of(kind));
  RawServer slow([](Peer& peer) { peer.wait_for_close(); });
  RawServer other(answer_all, {.address = "127.0.0.2", .port = slow.port()});
  Adapter adapter(kind, "", {}, {.resolver = leading_to({{"127.0.0.1", "127.0.0.2"}})});
  adapter.options.connect_timeout = 2400ms;
  check_refused(adapter.get("https://alice.example:" + std::to_string(slow.port()) + "/"),
                "http.connect_timeout");
  // Half of the time would have been the share of each.
  CHECK(other.connections() == 0);
}

TEST_CASE("transport: silent addresses together take no longer than the time to connect",
          "[http.rebinding]") {
  const Kind kind = GENERATE(from_range(kKinds));
  INFO(name_of(kind));
  const SilentPort silent;
  Adapter adapter(kind, "", {},
                  {.resolver = leading_to({{"127.0.0.1", "127.0.0.1", "127.0.0.1"}})});
  adapter.options.connect_timeout = 600ms;
  const auto start = std::chrono::steady_clock::now();
  check_refused(adapter.get("https://alice.example:" + std::to_string(silent.port()) + "/"),
                "http.connect_timeout");
  CHECK(std::chrono::steady_clock::now() - start < 3s);
}

TEST_CASE("transport: a resolver that is silent ends with the time to connect",
          "[http.rebinding]") {
  const Kind kind = GENERATE(from_range(kKinds));
  INFO(name_of(kind));
  Adapter adapter(kind, "", {}, {.resolver = leading_to({})});
  adapter.options.connect_timeout = 200ms;
  const Stopwatch time;
  const auto answer = adapter.get("https://alice.example/");
  check_refused(answer, "http.connect_timeout");
  CHECK(answer.error().code == ErrorCode::timeout);
  CHECK(time.is_prompt());
}

TEST_CASE("transport: a stop request ends the look-up of a name", "[http.rebinding][concurrency]") {
  const Kind kind = GENERATE(from_range(kKinds));
  INFO(name_of(kind));
  Adapter adapter(kind, "", {}, {.resolver = leading_to({})});
  std::stop_source stop;
  adapter.options.stop = stop.get_token();
  const Stopwatch time;
  std::optional<Result<HttpResponse>> answer;
  std::jthread sender([&] { answer = adapter.get("https://alice.example/"); });
  stop.request_stop();
  sender.join();
  REQUIRE(answer.has_value());
  check_refused(*answer, "http.cancelled");
  CHECK(time.is_prompt());
}
