// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

import latchkey.core;
import latchkey.flows.authorization_code;
import latchkey.flows.interaction;
import latchkey.http;
import latchkey.loopback.browser;
import latchkey.loopback.pages;
import latchkey.loopback.receiver;
import latchkey.test.flow_world;
import latchkey.test.outcome;
import latchkey.test.refresh_world;
import latchkey.test.scripted_transport;

// The way to the page and back, over a real receiver.

using namespace latchkey;
using namespace latchkey::test;
using namespace std::chrono_literals;

namespace {

struct Visited {
  FlowWorld w;
  LoginInteraction interaction{};
  std::vector<std::string> order{};
  std::future<std::string> page{};  // what the browser ended on

  /// Once the page is open, the browser goes back with this; STATE stands for the state.
  void comes_back_with(std::string query) {
    w.browser->on_open = [this, query = std::move(query)](const Url& url) -> Result<void> {
      order.emplace_back("browser");
      w.page = url;
      std::string text = query;
      if (const auto at = text.find("STATE"); at != std::string::npos)
        text.replace(at, 5, w.asked("state"));
      page = std::async(std::launch::async, [this, text] { return w.visit(text); });
      return {};
    };
  }
  auto run(std::stop_token stop = {}) {
    return AuthorizationCodeFlow::builder()
        .client_id("my-client")
        .server(w.server)
        .application_name("Books")
        .interaction(interaction)
        .build()
        .authorize(w.environment(), std::move(stop));
  }
};

}  // namespace

TEST_CASE("LA-20: listening, beginning, showing, opening and waiting come in this order",
          "[interaction]") {
  Visited v;
  v.w.offer_par();
  v.w.on_par = [&](const HttpRequest&) -> Result<HttpResponse> {
    v.order.emplace_back("par");
    return json_answer(201, R"({"request_uri":"urn:req:1","expires_in":60})");
  };
  v.w.on_token = [&](const HttpRequest&) -> Result<HttpResponse> {
    v.order.emplace_back("token");
    return json_answer(200, answer_json());
  };
  v.comes_back_with("state=STATE&code=c");
  v.interaction.on_receiver = [&](const std::string& uri) {
    v.order.push_back(uri.substr(0, uri.rfind(':')) + uri.substr(uri.rfind('/')));
  };
  v.interaction.on_url = [&](const Url&) { v.order.emplace_back("url"); };
  v.interaction.on_callback = [&] { v.order.emplace_back("callback"); };
  REQUIRE(outcome(v.run()) == "ok");
  CHECK(v.order == std::vector<std::string>{"http://127.0.0.1/callback", "par", "url", "browser",
                                            "callback", "token"});
}

TEST_CASE("LA-34: the page shows what really happened", "[interaction]") {
  Visited v;
  SECTION("it went well") {
    v.comes_back_with("state=STATE&code=c");
    REQUIRE(outcome(v.run()) == "ok");
    const std::string page = v.page.get();
    CHECK(page.starts_with("HTTP/1.1 200"));
    CHECK(page.find("Books") != std::string::npos);
    CHECK(page.find("at-fresh") == std::string::npos);
  }
  SECTION("the tokens were refused") {
    v.w.answer_with({{"token_type", R"("DPoP")"}});
    v.comes_back_with("state=STATE&code=c");
    REQUIRE(outcome(v.run()) == "token_invalid token.type");
    CHECK(v.page.get().starts_with("HTTP/1.1 400"));
  }
  SECTION("the person said no") {
    v.comes_back_with("state=STATE&error=access_denied&error_description=%3Cb%3Eno%3C%2Fb%3E");
    REQUIRE(outcome(v.run()) == "access_denied callback.access_denied");
    const std::string page = v.page.get();
    CHECK(page.starts_with("HTTP/1.1 400"));
    CHECK(page.find("<b>no</b>") == std::string::npos);
  }
}

TEST_CASE("LA-23: a callback with another state does not end the login", "[interaction]") {
  Visited v;
  unsigned strays = 0;
  v.interaction.on_stray = [&] { ++strays; };
  v.w.browser->on_open = [&](const Url& url) -> Result<void> {
    v.w.page = url;
    v.page = std::async(std::launch::async, [&] {
      CHECK(v.w.visit("state=wrong&code=evil").starts_with("HTTP/1.1 400"));
      CHECK(v.w.visit("error=access_denied").starts_with("HTTP/1.1 400"));
      return v.w.visit("state=" + v.w.asked("state") + "&code=c");
    });
    return {};
  };
  REQUIRE(outcome(v.run()) == "ok");
  CHECK(v.page.get().starts_with("HTTP/1.1 200"));
  CHECK(strays >= 1);
}

TEST_CASE("LA-27: a browser that does not open is told, and the login waits on", "[interaction]") {
  Visited v;
  std::optional<Error> told;
  v.interaction.on_browser_failure = [&](const Error& error) { told = error; };
  v.w.browser->on_open = [&](const Url& url) -> Result<void> {
    v.w.page = url;
    v.page = std::async(std::launch::async,
                        [&] { return v.w.visit("state=" + v.w.asked("state") + "&code=c"); });
    return make_error(ErrorCode::io, "browser.not_opened", "none");
  };
  REQUIRE(outcome(v.run()) == "ok");
  REQUIRE(told);
  CHECK(told->detail == "browser.not_opened");
}

TEST_CASE("LA-28: a person who does not come back in time ends the login", "[interaction]") {
  Visited v;
  v.interaction.timeout = 1ms;
  CHECK(outcome(v.run()) == "timeout loopback.timeout");
  CHECK(v.w.requests_to("/token").empty());
}

TEST_CASE("LA-29: a login is cancelled while it waits, and before it begins", "[interaction]") {
  Visited v;
  std::stop_source source;
  v.w.browser->on_open = [&](const Url&) -> Result<void> {
    source.request_stop();
    return {};
  };
  CHECK(outcome(v.run(source.get_token())) == "cancelled loopback.cancelled");
  CHECK(v.w.requests_to("/token").empty());
}

TEST_CASE("PAR: a request that is cancelled is told so", "[interaction]") {
  Visited v;
  v.w.offer_par();
  std::stop_source source;
  source.request_stop();
  bool asked = false;
  v.w.on_par = [&](const HttpRequest&) -> Result<HttpResponse> {
    asked = true;
    return json_answer(201, R"({"request_uri":"urn:req:1"})");
  };
  static_cast<void>(v.run(source.get_token()));
  REQUIRE(asked);
  CHECK(v.w.transport->options().front().stop.stop_requested());
}

TEST_CASE("the exchange of a code is not cancelled: it would be spent", "[interaction]") {
  Visited v;
  std::stop_source source;
  v.comes_back_with("state=STATE&code=c");
  v.interaction.on_callback = [&] { source.request_stop(); };
  CHECK(outcome(v.run(source.get_token())) == "ok");
  CHECK_FALSE(v.w.transport->options().back().stop.stop_possible());
}

TEST_CASE("without a browser nothing is opened", "[interaction]") {
  Visited v;
  v.interaction.open_browser = false;
  v.interaction.timeout = 1ms;
  CHECK(outcome(v.run()) == "timeout loopback.timeout");
  CHECK(v.w.browser->opened == 0);
}

TEST_CASE("paste: the redirect is where a receiver would have been", "[interaction]") {
  FlowWorld w;
  const auto redirect = [&](ReceiverOptions receiver) {
    std::string seen;
    const auto done = run_login(
        {.browser = w.browser, .receiver = std::move(receiver)},
        {.open_browser = false, .paste = [] { return Result<std::string>(""); }},
        {.begin =
             [&](const std::string& uri) {
               seen = uri;
               return Result<BegunLogin>(BegunLogin{Url::parse("https://op.test/").value(), "s"});
             },
         .finish = [](std::string_view) { return Result<SuccessContext>(SuccessContext{}); },
         .abandon = [](std::string_view) {}});
    CHECK(outcome(done) == "callback_invalid callback.pasted");
    return seen;
  };
  CHECK(redirect({}) == "http://127.0.0.1/callback");
  CHECK(redirect({.path = "/cb", .port = 8080}) == "http://127.0.0.1:8080/cb");
  CHECK(redirect({.host = LoopbackHost::localhost}) == "http://localhost/callback");
  CHECK(redirect({.host = LoopbackHost::ipv6}) == "http://[::1]/callback");
}

TEST_CASE("paste: what was pasted must be the address of this login, and it is given up if not",
          "[interaction]") {
  FlowWorld w;
  const auto end = [&](Result<std::string> pasted) {
    unsigned abandoned = 0, finished = 0;
    const auto done = run_login(
        {.browser = w.browser}, {.open_browser = false, .paste = [&] { return pasted; }},
        {.begin =
             [&](const std::string&) {
               return Result<BegunLogin>(BegunLogin{Url::parse("https://op.test/").value(), "s1"});
             },
         .finish =
             [&](std::string_view) {
               ++finished;
               return Result<SuccessContext>(SuccessContext{});
             },
         .abandon = [&](std::string_view) { ++abandoned; }});
    CHECK(abandoned + finished == 1);
    CHECK((finished == 1) == done.has_value());
    return outcome(done);
  };
  CHECK(end("http://127.0.0.1/callback?state=s1&code=c") == "ok");
  CHECK(end(" \r\n http://127.0.0.1/callback?state=s1&code=c#x \t") == "ok");
  CHECK(end("state=s1&code=c") == "callback_invalid callback.pasted");
  CHECK(end("http://127.0.0.1/callback") == "callback_invalid callback.pasted");
  CHECK(end("http://127.0.0.1/callback?state=s2&code=c") ==
        "callback_invalid callback.pasted_other");
  CHECK(end("http://127.0.0.1/callback?state=s1&state=s1") ==
        "callback_invalid callback.pasted_other");
  CHECK(end(make_error(ErrorCode::cancelled, "mine", "no terminal")) == "cancelled mine");
}
