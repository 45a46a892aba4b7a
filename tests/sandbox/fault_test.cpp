// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <cstdint>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <vector>

import latchkey.core;
import latchkey.sandbox;
import latchkey.test.raw_client;
import latchkey.test.wire_client;

using namespace latchkey;
using namespace latchkey::test;
using namespace std::chrono_literals;
using sandbox::Fault;
using sandbox::FaultKind;
using sandbox::refresh_fault;

namespace {

struct Wire {
  std::unique_ptr<sandbox::Sandbox> servers = sandbox::Sandbox::start().value();
  sandbox::Account alice = servers->add_account("alice.test", "secret", true).value();
  WireClient client{*servers};
  std::string token = client.log_in().text("refresh_token");

  WireAnswer refresh() { return client.post("/oauth/token", client.refresh_form(token)); }
  [[nodiscard]] unsigned refreshed() const { return servers->counts().refreshes; }
};

}  // namespace

TEST_CASE("a fault before processing leaves the refresh token good", "[sandbox]") {
  for (const auto kind :
       {FaultKind::drop_before, FaultKind::status, FaultKind::redirect, FaultKind::nonce_storm}) {
    Wire wire;
    auto fault = refresh_fault(kind);
    fault.text = "http://evil.example/";
    fault.times = kind == FaultKind::nonce_storm ? 2 : 1;
    wire.servers->inject(fault);
    INFO(to_string(kind));
    CHECK(wire.refresh().status != 200);
    CHECK(wire.refreshed() == 0);
    CHECK(wire.servers->faults_left() == 0);
    CHECK(wire.refresh().status == 200);
  }
}

TEST_CASE("a fault after processing has used the refresh token up", "[sandbox]") {
  for (const auto kind :
       {FaultKind::drop_after, FaultKind::truncate, FaultKind::status_after, FaultKind::garbage}) {
    Wire wire;
    wire.servers->inject(refresh_fault(kind));
    INFO(to_string(kind));
    const auto answer = wire.refresh();
    CHECK(answer.text("refresh_token") == "");
    CHECK(wire.refreshed() == 1);
    CHECK(wire.refresh().outcome() == "400 invalid_grant");
    CHECK(wire.servers->counts().replays == 1);
  }
}

TEST_CASE("each fault looks as it should on the wire", "[sandbox]") {
  Wire wire;
  CHECK([&] {
    wire.servers->inject(refresh_fault(FaultKind::drop_before));
    return wire.refresh().status;
  }() == 0);
  auto fault = refresh_fault(FaultKind::status);
  fault.status = 429;
  fault.retry_after = 7s;
  wire.servers->inject(fault);
  const auto slow_down = wire.refresh();
  CHECK(slow_down.status == 429);
  CHECK(slow_down.header("Retry-After") == "7");

  fault = refresh_fault(FaultKind::redirect);
  fault.text = "http://evil.example/";
  wire.servers->inject(fault);
  const auto redirect = wire.refresh();
  CHECK(redirect.status == 307);
  CHECK(redirect.header("Location") == "http://evil.example/");

  wire.servers->inject(refresh_fault(FaultKind::nonce_storm));
  wire.servers->inject(refresh_fault(FaultKind::nonce_storm));
  const auto storm = wire.refresh();
  CHECK(storm.outcome() == "400 use_dpop_nonce");
  CHECK(storm.header("DPoP-Nonce") != "");

  fault = refresh_fault(FaultKind::content_type);
  fault.text = "text/html";
  fault.times = 2;  // the storm has left a nonce that is no good
  wire.servers->inject(fault);
  const auto html = wire.refresh();
  CHECK(html.status == 200);
  CHECK(html.header("Content-Type") == "text/html");

  wire.token = html.text("refresh_token");
  fault = refresh_fault(FaultKind::huge_body);
  fault.size = 300'000;
  wire.servers->inject(fault);
  CHECK(wire.refresh().body.size() == 300'000);

  wire.token = wire.client.log_in().text("refresh_token");
  wire.servers->inject(refresh_fault(FaultKind::truncate));
  const auto half = wire.refresh();
  CHECK(half.status == 200);
  CHECK(std::stoul(half.header("Content-Length")) / 2 == half.body.size());
}

TEST_CASE("a fault meets only the requests it is for, in their turn", "[sandbox]") {
  Wire wire;
  Fault fault{.kind = FaultKind::status,
              .server = sandbox::Server::pds,
              .method = "GET",
              .path = "/.well-known/oauth-protected-resource",
              .skip = 1,
              .times = 2};
  wire.servers->inject(fault);
  const auto ask = [&](const std::string& path) {
    return exchange(wire.servers->pds(), "GET", path).status;
  };
  const std::string path = fault.path;
  CHECK(exchange(wire.servers->issuer(), "GET", path).status == 404);
  CHECK(ask("/xrpc/com.atproto.server.describeServer") == 200);
  CHECK(wire.refresh().status == 200);
  CHECK(ask(path) == 200);
  CHECK(ask(path) == 503);
  CHECK(ask(path) == 503);
  CHECK(ask(path) == 200);
  wire.servers->inject(fault);
  wire.servers->clear_faults();
  CHECK(wire.servers->faults_left() == 0);
}

TEST_CASE("a held answer comes when it is released", "[sandbox]") {
  Wire wire;
  wire.servers->inject({.kind = FaultKind::hold, .server = sandbox::Server::plc});
  RawClient held(static_cast<std::uint16_t>(std::stoi(wire.servers->plc().substr(17))));
  held.send("GET /" + wire.alice.did + " HTTP/1.1\r\nHost: " + wire.servers->plc().substr(7) +
            "\r\nConnection: close\r\n\r\n");
  // Others are served meanwhile; when this answer is there, the first was processed.
  while (wire.servers->faults_left() > 0) std::this_thread::yield();
  CHECK(exchange(wire.servers->plc(), "GET", '/' + wire.alice.did).status == 200);
  CHECK_FALSE(held.has_news());
  wire.servers->release();
  CHECK(held.read_all().rfind("HTTP/1.1 200", 0) == 0);
}

TEST_CASE("a slow answer comes byte by byte, whole in the end", "[sandbox]") {
  Wire wire;
  for (const auto kind : {FaultKind::slow_head, FaultKind::slow_body}) {
    INFO(to_string(kind));
    wire.servers->inject({.kind = kind, .server = sandbox::Server::pds, .delay = 1ms});
    const auto answer = exchange(wire.servers->pds(), "GET", "/xrpc/_health");
    CHECK(answer.status == 501);
    CHECK(answer.header("Content-Length") == std::to_string(answer.body.size()));
  }
}

TEST_CASE("a slow body keeps nobody else waiting, and its head is there at once", "[sandbox]") {
  Wire wire;
  wire.servers->inject({.kind = FaultKind::slow_body,
                        .server = sandbox::Server::plc,
                        .delay = std::chrono::hours{1}});
  RawClient slow(static_cast<std::uint16_t>(std::stoi(wire.servers->plc().substr(17))));
  slow.send("GET /" + wire.alice.did + " HTTP/1.1\r\nHost: " + wire.servers->plc().substr(7) +
            "\r\nConnection: close\r\n\r\n");
  while (!slow.has_news()) std::this_thread::yield();
  CHECK(exchange(wire.servers->plc(), "GET", '/' + wire.alice.did).status == 200);
}

TEST_CASE("a delayed answer does not keep others waiting", "[sandbox]") {
  Wire wire;
  wire.servers->inject({.kind = FaultKind::delay, .server = sandbox::Server::plc, .delay = 200ms});
  const auto started = std::chrono::steady_clock::now();
  auto slow = std::async(std::launch::async, [&] {
    return exchange(wire.servers->plc(), "GET", '/' + wire.alice.did).status;
  });
  while (wire.servers->faults_left() > 0) std::this_thread::yield();
  CHECK(exchange(wire.servers->plc(), "GET", '/' + wire.alice.did).status == 200);
  CHECK(slow.get() == 200);
  CHECK(std::chrono::steady_clock::now() - started >= 200ms);
}

TEST_CASE("what reached the servers is recorded, without what is secret", "[sandbox]") {
  Wire wire;
  wire.servers->forget_requests();
  wire.servers->inject(refresh_fault(FaultKind::drop_after));
  static_cast<void>(wire.refresh());
  static_cast<void>(wire.refresh());
  const auto seen = wire.servers->requests();
  REQUIRE(seen.size() == 2);
  CHECK(seen[0].server == sandbox::Server::authorization);
  CHECK(seen[0].path == "/oauth/token");
  CHECK(seen[0].grant_type == "refresh_token");
  CHECK(seen[0].fault == "drop_after");
  CHECK(seen[0].status == 200);
  CHECK(seen[1].detail == "refresh.replayed");
  CHECK(seen[1].status == 400);
  CHECK(seen[1].contents.body == "");

  auto open = sandbox::Sandbox::start({.record_contents = true}).value();
  CHECK(exchange(open->plc(), "GET", "/did:plc:x?y=z").status == 404);
  CHECK(open->requests().at(0).contents.query == "y=z");
}

TEST_CASE("the servers' clock can be wrong, and says so in Date", "[sandbox]") {
  Wire wire;
  wire.servers->set_clock_skew(std::chrono::hours{2});
  const auto answer = wire.refresh();
  CHECK(answer.outcome() == "400 invalid_dpop_proof");
  const auto date = parse_http_date(answer.header("Date"));
  REQUIRE(date);
  CHECK(*date > SystemClock().now() + 119min);
  wire.client.ahead = 7200;
  CHECK(wire.refresh().status == 200);
}

TEST_CASE("what is no HTTP gets 400, and the sandbox goes on", "[sandbox]") {
  Wire wire;
  const auto port = static_cast<std::uint16_t>(std::stoi(wire.servers->pds().substr(17)));
  CHECK(RawClient(port).send("nonsense\r\n\r\n").read_all().rfind("HTTP/1.1 400", 0) == 0);
  const std::string huge = "GET / HTTP/1.1\r\nHost: x\r\nX: " + std::string(70'000, 'a');
  CHECK(RawClient(port).send(huge + "\r\n\r\n").read_all().rfind("HTTP/1.1 431", 0) == 0);
  CHECK(RawClient(port)
            .send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9999999\r\n\r\n")
            .read_all()
            .rfind("HTTP/1.1 413", 0) == 0);
  RawClient(port).send("GET / HTTP/1.1\r\nHo").abort();
  CHECK(wire.refresh().status == 200);
}

TEST_CASE("many clients at once are served, and one refresh token is good once",
          "[sandbox][concurrency]") {
  Wire wire;
  const auto form = wire.client.refresh_form(wire.token);
  std::vector<std::string> proofs;
  for (int i = 0; i < 8; ++i) {
    proofs.push_back(wire.client.proof("POST", wire.servers->issuer() + "/oauth/token"));
  }
  std::vector<std::future<int>> answers;
  for (const auto& proof : proofs) {
    answers.push_back(std::async(std::launch::async, [&wire, &form, &proof] {
      return exchange(wire.servers->issuer(), "POST", "/oauth/token",
                      {{"Content-Type", "application/x-www-form-urlencoded"}, {"DPoP", proof}},
                      encode(form))
          .status;
    }));
  }
  int good = 0;
  for (auto& answer : answers) good += answer.get() == 200 ? 1 : 0;
  CHECK(good == 1);
  CHECK(wire.servers->counts().replays == 7);
}

TEST_CASE("start: ports follow each other, and a taken one is an error", "[sandbox]") {
  const auto first = sandbox::Sandbox::start().value();
  const int taken = std::stoi(first->pds().substr(17));
  const auto second = sandbox::Sandbox::start({.port = static_cast<std::uint16_t>(taken)});
  REQUIRE_FALSE(second);
  CHECK(second.error().detail == "sandbox.bind");
  const auto third = sandbox::Sandbox::start({.port = 65'534});
  REQUIRE_FALSE(third);
  CHECK(third.error().detail == "sandbox.port");
}

TEST_CASE("accounts: a handle is well-formed and taken once", "[sandbox]") {
  const auto servers = sandbox::Sandbox::start().value();
  const auto alice = servers->add_account("Alice.test").value();
  CHECK(alice.handle == "alice.test");
  CHECK(alice.did.size() == 32);
  CHECK(alice.password.size() == 12);
  CHECK(servers->add_account("alice.test").error().detail == "sandbox.account_exists");
  CHECK(servers->add_account("alice").error().detail == "sandbox.handle");
  CHECK(servers->set_auto_approve("alice.test", true));
  CHECK_FALSE(servers->set_auto_approve("nobody.test", true));
  CHECK(servers->accounts().at(0).auto_approve);
  CHECK(servers->end_sessions("nobody.test") == 0);
}
