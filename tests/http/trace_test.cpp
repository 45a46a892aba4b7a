// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <variant>
#include <vector>

import latchkey.core;
import latchkey.http;
import latchkey.http.dns;
import latchkey.http.trace;
import latchkey.http.trace.dns;
import latchkey.test.outcome;
import latchkey.test.random;
import latchkey.test.scripted_transport;

// Events, and the transport that makes them.

using namespace latchkey;
using namespace latchkey::test;
using namespace std::chrono_literals;
using Json = nlohmann::json;

namespace {

struct Traced {
  std::shared_ptr<ManualClock> clock =
      std::make_shared<ManualClock>(parse_rfc3339("2026-11-20T09:30:00.250Z").value());
  FixedRandom random{1};
  std::vector<TraceEvent> events;
  std::shared_ptr<Tracer> tracer = std::make_shared<Tracer>(
      [this](const TraceEvent& event) { events.push_back(event); }, clock, random);
  std::shared_ptr<ScriptedTransport> server = std::make_shared<ScriptedTransport>();
  std::shared_ptr<HttpTransport> transport = traced(server, tracer);

  Result<HttpResponse> send(std::string_view url = "https://pds.test/xrpc/com.example.get") {
    return transport->send(json_get(Url::parse(url).value()), {});
  }
  [[nodiscard]] Json line(std::size_t i) const { return Json::parse(trace_line(events.at(i))); }
  [[nodiscard]] const TracedRequest& request(std::size_t i) const {
    return std::get<TracedRequest>(events.at(i).what);
  }
};

HttpResponse refusal(int status, std::string_view error) {
  return json_answer(status, R"({"error":")" + std::string(error) + "\"}");
}

Error failure(ErrorCode code, Delivery delivery = Delivery::maybe_sent) {
  Error error = make_error(code, "http.example", "Marked: said by a server");
  error.delivery = delivery;
  return error;
}

}  // namespace

TEST_CASE("G-46: an exchange is two lines: the request before it is sent, then the answer",
          "[trace]") {
  Traced t;
  t.server->push([&](const HttpRequest&, const SendOptions&) -> Result<HttpResponse> {
    CHECK(t.events.size() == 1);  // what a crash here would leave
    t.clock->advance(12ms);
    return json_answer(200, "{}", {{"DPoP-Nonce", "n"}});
  });
  REQUIRE(t.send());
  REQUIRE(t.events.size() == 2);
  Json request = t.line(0), answer = t.line(1);
  CHECK(request["run"] == answer["run"]);
  CHECK(request["run"].get<std::string>().size() == 8);
  request.erase("run");
  answer.erase("run");
  CHECK(request == Json::parse(R"({"v":1,"id":1,"at":"2026-11-20T09:30:00.250Z","kind":"request",
      "from":"client","to":"pds","origin":"https://pds.test","method":"GET",
      "path":"/xrpc/com.example.get","purpose":"xrpc","bytes":0,"attempt":1})"));
  CHECK(answer == Json::parse(R"({"v":1,"id":2,"at":"2026-11-20T09:30:00.262Z","kind":"answer",
      "request":1,"status":200,"new_nonce":true,"bytes":2,"ms":12})"));
}

TEST_CASE("trace: a failure is told by its code, its detail and its delivery, not by its message",
          "[trace]") {
  Traced t;
  t.server->push(failure(ErrorCode::timeout))
      .push(failure(ErrorCode::unreachable, Delivery::not_sent));
  CHECK(outcome(t.send()) == "timeout http.example");
  CHECK(outcome(t.send()) == "unreachable http.example");
  CHECK(t.line(1)["kind"] == "failure");
  CHECK(t.line(1)["code"] == "timeout");
  CHECK(t.line(1)["detail"] == "http.example");
  CHECK(t.line(1)["delivery"] == "maybe_sent");
  CHECK(t.line(3)["delivery"] == "not_sent");
  CHECK(trace_line(t.events[1]).find("Marked") == std::string::npos);
}

TEST_CASE("G-46: a repetition names its reason, its number and the request before it", "[trace]") {
  Traced t;
  t.server->push(refusal(401, "use_dpop_nonce"))
      .push(refusal(401, "invalid_dpop_proof"))
      .push(failure(ErrorCode::connection_lost))
      .push(refusal(401, "invalid_token"))
      .push(answer(200));
  for (int i = 0; i < 5; ++i) static_cast<void>(t.send().has_value());
  REQUIRE(t.events.size() == 10);
  CHECK_FALSE(t.line(0).contains("retry"));
  const std::vector<std::string> reasons{"use_dpop_nonce", "clock", "connection_lost",
                                         "token_renewed"};
  for (std::size_t i = 0; i < reasons.size(); ++i) {
    const Json line = t.line(2 * (i + 1));
    CHECK(line["retry"] == reasons[i]);
    CHECK(line["attempt"] == i + 2);
    CHECK(line["repeats"] == 2 * i + 1);
  }
}

TEST_CASE("trace: what follows a good answer, or is another request, is no repetition", "[trace]") {
  Traced t;
  t.server->push(answer(200))
      .push(refusal(400, "invalid_grant"))
      .push(refusal(401, "use_dpop_nonce"));
  CHECK(t.send());
  CHECK(t.send());
  CHECK(t.send());
  t.server->push(answer(200)).push(answer(200));
  CHECK(t.send("https://pds.test/xrpc/com.example.get?cursor=2"));
  CHECK(t.send("https://pds.test/xrpc/com.example.other"));
  for (const std::size_t i : {0u, 2u, 4u, 6u, 8u}) CHECK(t.request(i).attempt == 1);
}

TEST_CASE("trace: a token is renewed between two attempts, and a minute ends the wait", "[trace]") {
  Traced t;
  t.server->push(refusal(401, "invalid_token")).push(answer(200)).push(answer(200));
  CHECK(t.send());
  CHECK(t.send("https://as.test/oauth/token"));
  t.clock->advance(60s);
  CHECK(t.send());
  CHECK(t.request(4).retry == TraceRetry::token_renewed);
  t.server->push(refusal(401, "invalid_token")).push(answer(200));
  CHECK(t.send());
  t.clock->advance(60'001ms);
  CHECK(t.send());
  CHECK(t.request(8).retry == TraceRetry::none);
}

TEST_CASE("trace: another thread's request is no repetition of this one's", "[trace]") {
  Traced t;
  t.server->push(refusal(401, "use_dpop_nonce")).push(answer(200)).push(answer(200));
  CHECK(t.send());
  std::thread([&] { static_cast<void>(t.send().has_value()); }).join();
  CHECK(t.send());
  CHECK(t.request(2).attempt == 1);
  CHECK(t.request(4).attempt == 2);
}

TEST_CASE("trace: nothing is changed on the way, and a sink that throws disturbs nobody",
          "[trace]") {
  FixedRandom random{1};
  const auto tracer =
      std::make_shared<Tracer>([](const TraceEvent&) { throw std::runtime_error("full"); },
                               std::make_shared<ManualClock>(TimePoint{}), random);
  const auto server = std::make_shared<ScriptedTransport>();
  server->push(json_answer(200, R"({"a":1})"));
  HttpRequest request = form_post(Url::parse("https://as.test/token").value(),
                                  SecretString(std::string_view("token=x")));
  const auto response = traced(server, tracer)->send(request, {.timeout = 7ms});
  REQUIRE(response);
  CHECK(response->body.expose() == R"({"a":1})");
  CHECK(server->requests()[0].body.expose() == "token=x");
  CHECK(server->options()[0].timeout == 7ms);
}

TEST_CASE("traced: without a tracer the transport stays as it is, and is wrapped once", "[trace]") {
  Traced t;
  CHECK(traced(t.server, nullptr) == t.server);
  CHECK(traced(t.transport, t.tracer) == t.transport);
  const auto other = std::make_shared<Tracer>([](const TraceEvent&) {}, t.clock, t.random);
  CHECK(traced(t.transport, other) != t.transport);
}

TEST_CASE("trace: threads share a tracer, and every event has a number of its own",
          "[trace][concurrency]") {
  Traced t;
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&] {
      for (int n = 0; n < 50; ++n) static_cast<void>(t.send().has_value());
    });
  }
  for (auto& thread : threads) thread.join();
  REQUIRE(t.events.size() == 800);
  for (std::size_t i = 0; i < t.events.size(); ++i) CHECK(t.events[i].id == i + 1);
}

TEST_CASE("trace line: a step tells who, what and how it failed", "[trace]") {
  const TraceEvent event{.run = 0x1A2B3C4D,
                         .id = 7,
                         .at = parse_rfc3339("2026-11-20T09:30:00Z").value(),
                         .what = TracedStep{.from = TraceRole::client,
                                            .to = TraceRole::browser,
                                            .name = "browser_not_opened",
                                            .code = ErrorCode::io,
                                            .detail = TraceDetail("browser.not_opened")}};
  CHECK(trace_line(event) ==
        R"({"v":1,"run":"1a2b3c4d","id":7,"at":"2026-11-20T09:30:00Z","kind":"step",)"
        R"("from":"client","to":"browser","step":"browser_not_opened","code":"io",)"
        R"("detail":"browser.not_opened"})");
}

namespace {

// Gives the answers one after the other.
class ScriptedDns final : public DnsResolver {
 public:
  Result<std::vector<std::string>> txt(const std::string& name, const DnsOptions&) override {
    if (name == "_atproto.marked.test") return std::vector<std::string>{"did=did:web:marked.test"};
    if (name == "_atproto.nobody.test") return std::vector<std::string>{};
    return make_error(ErrorCode::timeout, "dns.timeout", "Marked: said by a server");
  }
};

}  // namespace

TEST_CASE("trace: a look-up in DNS is a step, without the name and what it leads to", "[trace]") {
  Traced t;
  const auto dns = traced(std::make_shared<ScriptedDns>(), t.tracer);
  CHECK(dns->txt("_atproto.marked.test", {}).value().size() == 1);
  CHECK(dns->txt("_atproto.nobody.test", {}).value().empty());
  CHECK(outcome(dns->txt("_atproto.silent.test", {})) == "timeout dns.timeout");
  REQUIRE(t.events.size() == 3);
  CHECK(t.line(0)["step"] == "dns");
  CHECK(t.line(0)["to"] == "handle_host");
  CHECK_FALSE(t.line(0).contains("code"));
  CHECK(t.line(1)["step"] == "dns_empty");
  CHECK(t.line(2)["step"] == "dns_failed");
  CHECK(t.line(2)["code"] == "timeout");
  CHECK(t.line(2)["detail"] == "dns.timeout");
  for (std::size_t i = 0; i < t.events.size(); ++i) {
    const std::string text = trace_line(t.events[i]);
    for (const auto* never : {"arked", "nobody", "silent", "did:"})
      CHECK(text.find(never) == std::string::npos);
  }
}

TEST_CASE("traced: without a tracer or a resolver nothing is wrapped", "[trace]") {
  Traced t;
  const std::shared_ptr<DnsResolver> dns = std::make_shared<ScriptedDns>();
  CHECK(traced(dns, nullptr) == dns);
  CHECK(traced(std::shared_ptr<DnsResolver>(), t.tracer) == nullptr);
}
