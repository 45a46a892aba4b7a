// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <memory>
#include <string>
#include <utility>
#include <vector>

import latchkey.core;
import latchkey.sandbox;
import latchkey.test.wire_client;

// The sandbox's sessions of app passwords, by raw requests.

using namespace latchkey;
using namespace latchkey::test;
using namespace std::chrono_literals;

namespace {

const std::string kServer = "/xrpc/com.atproto.server.";
const WireHeaders kJson{{"Content-Type", "application/json"}};

WireHeaders bearer(const std::string& token) {
  return {{"Authorization", "Bearer " + token}};
}

struct Wire {
  std::shared_ptr<ManualClock> clock =
      std::make_shared<ManualClock>(TimePoint{std::chrono::milliseconds{1'790'000'000'000}});
  std::unique_ptr<sandbox::Sandbox> servers = sandbox::Sandbox::start({.clock = clock}).value();
  sandbox::Account alice = servers->add_account("alice.test", "main").value();
  std::string password = servers->add_app_password("alice.test").value();

  [[nodiscard]] WireAnswer create(const std::string& identifier, const std::string& secret) const {
    return exchange(servers->pds(), "POST", kServer + "createSession", kJson,
                    R"({"identifier":")" + identifier + R"(","password":")" + secret + "\"}");
  }
  [[nodiscard]] WireAnswer log_in() const { return create("alice.test", password); }
  [[nodiscard]] WireAnswer refresh(const std::string& token) const {
    return exchange(servers->pds(), "POST", kServer + "refreshSession", bearer(token));
  }
  [[nodiscard]] WireAnswer ask(const std::string& token) const {
    return exchange(servers->pds(), "GET", kServer + "getSession", bearer(token));
  }
  [[nodiscard]] std::string last_detail() const { return servers->requests().back().detail; }
};

}  // namespace

TEST_CASE("sandbox: an app password, or the account's own, opens a session", "[sandbox]") {
  const Wire wire;
  for (const auto& [identifier, secret] :
       {std::pair{std::string("alice.test"), wire.password},
        std::pair{wire.alice.did, wire.password}, std::pair{wire.alice.did, std::string("main")}}) {
    const auto answer = wire.create(identifier, secret);
    CHECK(answer.status == 200);
    CHECK(answer.text("did") == wire.alice.did);
    CHECK(answer.text("handle") == "alice.test");
    CHECK(wire.ask(answer.text("accessJwt")).text("did") == wire.alice.did);
  }
}

TEST_CASE("sandbox: each wrong createSession is refused for its own reason", "[sandbox]") {
  const Wire wire;
  CHECK(wire.create("alice.test", "wrong").outcome() == "401 AuthenticationRequired");
  CHECK(wire.last_detail() == "app_session.refused");
  CHECK(wire.create("nobody.test", wire.password).outcome() == "401 AuthenticationRequired");
  const auto raw = [&](const std::string& body, const WireHeaders& headers = kJson) {
    return exchange(wire.servers->pds(), "POST", kServer + "createSession", headers, body)
               .outcome() +
           ' ' + wire.last_detail();
  };
  CHECK(raw(R"({"identifier":"alice.test"})") == "400 InvalidRequest app_session.input");
  CHECK(raw("[]") == "400 InvalidRequest input.not_json");
  CHECK(raw("{}", {{"Content-Type", "text/plain"}}) == "400 InvalidRequest xrpc.content_type");
}

TEST_CASE("sandbox: the access token of an app password may write and not see the e-mail",
          "[sandbox]") {
  const Wire wire;
  const std::string token = wire.log_in().text("accessJwt");
  WireHeaders headers = bearer(token);
  headers.push_back(kJson[0]);
  const auto written =
      exchange(wire.servers->pds(), "POST", "/xrpc/com.atproto.repo.createRecord", headers,
               R"({"repo":")" + wire.alice.did +
                   R"(","collection":"app.bsky.feed.post","record":{"text":"x"}})");
  CHECK(written.status == 200);
  CHECK(wire.ask(token).text("email").empty());
}

TEST_CASE("sandbox: an app session's tokens rotate, and an older access token ends by itself",
          "[sandbox]") {
  const Wire wire;
  const auto first = wire.log_in();
  const auto second = wire.refresh(first.text("refreshJwt"));
  REQUIRE(second.status == 200);
  CHECK(second.text("accessJwt") != first.text("accessJwt"));
  CHECK(second.text("refreshJwt") != first.text("refreshJwt"));
  CHECK(wire.ask(first.text("accessJwt")).status == 200);
  wire.clock->advance(2h);
  CHECK(wire.ask(first.text("accessJwt")).outcome() == "400 ExpiredToken");
  CHECK(wire.last_detail() == "app_session.expired");
}

TEST_CASE("sandbox: an app session's refresh token used twice ends the session", "[sandbox]") {
  const Wire wire;
  const auto first = wire.log_in();
  const auto second = wire.refresh(first.text("refreshJwt"));
  CHECK(wire.refresh(first.text("refreshJwt")).outcome() == "400 ExpiredToken");
  CHECK(wire.last_detail() == "app_session.replayed");
  CHECK(wire.refresh(second.text("refreshJwt")).outcome() == "400 ExpiredToken");
  CHECK(wire.last_detail() == "app_session.ended");
  CHECK(wire.ask(second.text("accessJwt")).outcome() == "400 ExpiredToken");
}

TEST_CASE("sandbox: each wrong refreshSession is refused for its own reason", "[sandbox]") {
  const Wire wire;
  const auto session = wire.log_in();
  CHECK(wire.refresh(session.text("accessJwt")).outcome() == "400 InvalidToken");
  CHECK(wire.last_detail() == "app_session.wrong_token");
  CHECK(exchange(wire.servers->pds(), "POST", kServer + "refreshSession").outcome() ==
        "401 AuthMissing");
  CHECK(wire.last_detail() == "app_session.missing");
  wire.clock->advance(24h * 90);
  CHECK(wire.refresh(session.text("refreshJwt")).outcome() == "400 ExpiredToken");
  CHECK(wire.last_detail() == "app_session.expired");
}

TEST_CASE("sandbox: deleteSession and revoked app passwords end sessions", "[sandbox]") {
  const Wire wire;
  const auto one = wire.log_in(), two = wire.log_in();
  CHECK(exchange(wire.servers->pds(), "POST", kServer + "deleteSession",
                 bearer(one.text("refreshJwt")))
            .status == 200);
  CHECK(wire.ask(one.text("accessJwt")).outcome() == "400 ExpiredToken");
  CHECK(wire.ask(two.text("accessJwt")).status == 200);
  wire.servers->revoke_app_passwords("alice.test");
  CHECK(wire.refresh(two.text("refreshJwt")).outcome() == "400 ExpiredToken");
  CHECK(wire.log_in().outcome() == "401 AuthenticationRequired");
  CHECK(wire.create("alice.test", "main").status == 200);
}

TEST_CASE("sandbox: an account that has moved has no app sessions here", "[sandbox]") {
  const Wire wire;
  const auto session = wire.log_in();
  REQUIRE(wire.servers->move_account("alice.test", "https://elsewhere.test"));
  CHECK(wire.log_in().outcome() == "401 AuthenticationRequired");
  CHECK(wire.refresh(session.text("refreshJwt")).outcome() == "400 ExpiredToken");
  CHECK_FALSE(wire.servers->add_app_password("alice.test"));
}

TEST_CASE("sandbox: the tokens of OAuth sessions are no Bearer tokens", "[sandbox]") {
  const Wire wire;
  CHECK(wire.ask("some-token").outcome() == "400 InvalidToken");
  CHECK(wire.last_detail() == "access.scheme");
}
