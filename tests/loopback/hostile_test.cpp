// SPDX-License-Identifier: MIT
#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <chrono>
#include <cstddef>
#include <functional>
#include <future>
#include <memory>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

import latchkey.core;
import latchkey.loopback.pages;
import latchkey.loopback.receiver;
import latchkey.test.login_wait;
import latchkey.test.raw_client;

using namespace latchkey;
using namespace latchkey::test;
using std::chrono::milliseconds;

namespace {

bool holds(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  text.replace(text.find(from), from.size(), to);
  return text;
}

ReceiverOptions http() {
  return {};
}

ReceiverOptions https() {
  return {.certificate = test_certificate().certificate};
}

// The login still works after whatever happened before.
void finish(LoginWait& login) {
  auto browser = login.browser();
  auto held = login.result();
  REQUIRE(held);
  (*held)->answer(200, "done");
  CHECK(body_of(browser.read_all()) == "done");
}

struct Hostile {
  const char* what;
  int status;  // 0: closed without an answer
  std::function<std::string(const LoginWait&)> request;
};

std::string right() {
  return "/callback?state=" + std::string(kState) + "&code=c";
}

// Each would be the right callback but for one thing.
const std::vector<Hostile>& hostile_requests() {
  static const auto with = [](const char* what, int status, std::string from, std::string to) {
    return Hostile{what, status, [from, to](const LoginWait& login) {
                     return replaced(login.get(right()), from, to);
                   }};
  };
  static const auto lines = [](const char* what, int status, std::string more) {
    return Hostile{what, status,
                   [more](const LoginWait& login) { return login.get(right(), more); }};
  };
  static const auto origin = [](const char* what, std::function<std::string(const LoginWait&)> of) {
    return Hostile{what, 400, [of](const LoginWait& login) {
                     return login.get(right(), "Origin: " + of(login) + "\r\n");
                   }};
  };
  static const auto host = [](const char* what, std::function<std::string(const LoginWait&)> name) {
    return Hostile{what, 400, [name](const LoginWait& login) {
                     return replaced(login.get(right()), login.host(), name(login));
                   }};
  };
  static const auto port = [](const LoginWait& login) {
    return ':' + std::to_string(login.port());
  };
  static const std::vector<Hostile> all{
      with("another path", 404, "/callback?", "/callback2?"),
      with("a path below", 404, "/callback?", "/callback/?"),
      with("a path with dots", 404, "/callback?", "/x/../callback?"),
      with("a path in capitals", 404, "/callback?", "/Callback?"),
      with("an encoded path", 404, "/callback?", "/%63allback?"),
      with("a doubled slash", 404, "/callback?", "//callback?"),
      with("a path parameter", 404, "/callback?", "/callback;x?"),
      with("an absolute target", 404, "/callback?", "http://127.0.0.1/callback?"),
      with("no path", 404, "/callback?", "?"),
      with("the favicon", 404, right(), "/favicon.ico"),
      with("HEAD", 405, "GET", "HEAD"),
      with("POST", 405, "GET", "POST"),
      with("PUT", 405, "GET", "PUT"),
      with("OPTIONS", 405, "GET", "OPTIONS"),
      with("CONNECT", 405, "GET", "CONNECT"),
      with("a method of its own", 405, "GET", "GETT"),
      with("a method in lower case", 405, "GET", "get"),
      host("DNS rebinding", [](const LoginWait& l) { return "evil.example" + port(l); }),
      host("localhost", [](const LoginWait& l) { return "localhost" + port(l); }),
      host("localhost in capitals", [](const LoginWait& l) { return "LOCALHOST" + port(l); }),
      host("IPv6", [](const LoginWait& l) { return "[::1]" + port(l); }),
      host("another loopback address", [](const LoginWait& l) { return "127.0.0.2" + port(l); }),
      host("a host with a suffix", [](const LoginWait& l) { return l.host() + ".evil.example"; }),
      host("a host without port", [](const LoginWait&) { return "127.0.0.1"; }),
      host("another port", [](const LoginWait&) { return "127.0.0.1:1"; }),
      host("an empty host", [](const LoginWait&) { return ""; }),
      host("two hosts", [](const LoginWait& l) { return l.host() + "\r\nHost: " + l.host(); }),
      with("no host", 400, "Host:", "X-Host:"),
      lines("a foreign origin", 400, "Origin: https://evil.example\r\n"),
      lines("the null origin", 400, "Origin: null\r\n"),
      lines("the origin localhost", 400, "Origin: http://localhost\r\n"),
      lines("an empty origin", 400, "Origin:\r\n"),
      origin("our origin in another scheme",
             [](const LoginWait& l) {
               return (l.origin().starts_with("https") ? "http://" : "https://") + l.host();
             }),
      origin("our origin with a path", [](const LoginWait& l) { return l.origin() + "/"; }),
      origin("two origins, one of them ours",
             [](const LoginWait& l) { return l.origin() + "\r\nOrigin: https://evil.example"; }),
      with("an image", 400, "Dest: document", "Dest: image"),
      with("a script", 400, "Dest: document", "Dest: script"),
      with("a frame", 400, "Dest: document", "Dest: iframe"),
      with("a fetch", 400, "Dest: document", "Dest: empty"),
      lines("a prefetch", 503, "Purpose: prefetch\r\n"),
      lines("a prefetch, newer spelling", 503, "Sec-Purpose: prefetch;prerender\r\n"),
      lines("a preview", 503, "X-Purpose: preview\r\n"),
      with("no protocol", 400, " HTTP/1.1", ""),
      with("another protocol", 400, "HTTP/1.1", "HTTQ/1.1"),
      lines("a header line without colon", 400, "nonsense\r\n"),
      lines("a NUL in a header", 400, std::string("X: a\0b\r\n", 8)),
      lines("a body too large to be one", 400, "Content-Length: 99999999999\r\n"),
      lines("two lengths", 400, "Content-Length: 1\r\nContent-Length: 2\r\n"),
  };
  return all;
}

}  // namespace

TEST_CASE("receiver: C11.2, G-21: hostile requests are refused and do not end the login",
          "[receiver]") {
  LoginWait login(GENERATE(http(), https()));
  for (const auto& hostile : hostile_requests()) {
    INFO(hostile.what);
    const auto answer = login.exchange(hostile.request(login));
    INFO(answer);
    CHECK(status_of(answer) == hostile.status);
    CHECK_FALSE(holds(answer, kState));
    CHECK(login.is_waiting());
  }
  CHECK(login.strays() == 0);
  finish(login);
}

TEST_CASE("receiver: our own origin is not a foreign one", "[receiver]") {
  LoginWait login(GENERATE(http(), https()));
  auto browser = login.client();
  browser.send(login.get(right(), "Origin: " + login.origin() + "\r\n"));
  CHECK(login.result());
}

TEST_CASE("receiver: a browser that sends no Sec-Fetch headers is served", "[receiver]") {
  LoginWait login;
  RawClient browser(login.port());
  browser.send("GET " + right() + " HTTP/1.1\r\nHost: " + login.host() + "\r\n\r\n");
  CHECK(login.result());
}

TEST_CASE("receiver: HEAD gets an answer without a body", "[receiver]") {
  LoginWait login;
  const auto answer = login.exchange(replaced(login.get(right()), "GET", "HEAD"));
  CHECK(body_of(answer).empty());
  CHECK(holds(answer, "Allow: GET\r\n"));
}

TEST_CASE("receiver: C5.3, US-73: a wrong state gets a page, is reported, and the wait goes on",
          "[receiver]") {
  const std::string state(kState);
  const std::string query = GENERATE_COPY(
      std::string(), "code=c", "state=", "state", "state=other", "state=" + state + "x",
      "state=" + state.substr(1), "State=" + state, "state=" + state + "&state=" + state,
      "state=other&state=" + state, "state=%zz", "state=" + state + "%00", "error=access_denied",
      "error=access_denied&state=other", "x=state%3D" + state, "#state=" + state);
  INFO(query);
  LoginWait login(GENERATE(http(), https()));
  const auto answer = login.exchange(login.get("/callback?" + query));
  CHECK(status_of(answer) == 400);
  CHECK(body_of(answer) == stray_page());
  CHECK(login.is_waiting());
  finish(login);
  CHECK(login.strays() == 1);
}

TEST_CASE("receiver: an error with the right state is a callback", "[receiver]") {
  LoginWait login(GENERATE(http(), https()));
  auto browser = login.client();
  browser.send(login.get("/callback?error=access_denied&state=" + std::string(kState)));
  CHECK(login.result().value()->query() == "error=access_denied&state=" + std::string(kState));
}

TEST_CASE("receiver: LA-32, PV-15: markup in an error's description is text on the page",
          "[receiver]") {
  LoginWait login(GENERATE(http(), https()));
  auto browser = login.client();
  browser.send(
      login.get("/callback?error=access_denied&error_description=%3Cscript%3Ealert(1)%3C/"
                "script%3E%3Cb+onclick%3D%22x%22%3E&state=" +
                std::string(kState)));
  auto held = login.result().value();
  const auto fields = form_decode(held->query()).value();
  const auto* description = form_value(fields, "error_description").value();
  held->answer(400, failure_page({.error = make_error(ErrorCode::access_denied, "callback.denied",
                                                      "the server refused: " + *description)}));
  const auto answer = browser.read_all();
  CHECK(holds(answer,
              "the server refused: &lt;script&gt;alert(1)&lt;/script&gt;&lt;b onclick=&quot;"));
  CHECK_FALSE(holds(answer, "<script"));
  CHECK_FALSE(holds(answer, "<b "));
}

TEST_CASE("receiver: an empty expected state matches nothing", "[receiver]") {
  const auto receiver = LoopbackReceiver::open().value();
  const std::string query = GENERATE("", "?state=", "?state");
  RawClient client(receiver->port());
  client.send("GET /callback" + query +
              " HTTP/1.1\r\nHost: 127.0.0.1:" + std::to_string(receiver->port()) + "\r\n\r\n");
  std::stop_source stop;
  const auto held =
      receiver->wait("", std::chrono::seconds{10}, stop.get_token(), [&] { stop.request_stop(); });
  REQUIRE_FALSE(held);
  CHECK(held.error().code == ErrorCode::cancelled);
}

TEST_CASE("receiver: PV-15: nothing of a request comes back in the answer", "[receiver]") {
  LoginWait login(GENERATE(http(), https()));
  const std::string marker = "<script>alert(1)</script>";
  const std::string encoded = "%3Cscript%3Ealert(1)%3C/script%3E";
  for (const auto& text : {marker, encoded}) {
    for (const std::string& target :
         std::vector<std::string>{"/" + text, "/callback?state=" + text, "/callback?error=" + text,
                                  "/callback/" + text}) {
      const auto answer = login.exchange(login.get(target, "X-Test: " + text + "\r\n"));
      INFO(target);
      CHECK_FALSE(holds(answer, "script"));
    }
  }
}

TEST_CASE("receiver: G-21: the header may have 8 KiB and no more", "[receiver]") {
  LoginWait login(GENERATE(http(), https()));
  const auto with_size = [&](std::size_t size) {
    const auto bare = login.get("/favicon.ico", "X: \r\n").size();
    return login.get("/favicon.ico", "X: " + std::string(size - bare, 'x') + "\r\n");
  };
  CHECK(status_of(login.exchange(with_size(8 * 1024))) == 404);
  CHECK(status_of(login.exchange(with_size(8 * 1024 + 1))) == 431);
  CHECK(status_of(login.exchange(login.get("/" + std::string(8 * 1024, 'x')))) == 431);
  finish(login);
}

TEST_CASE("receiver: a header bomb is cut off", "[receiver]") {
  LoginWait login;
  RawClient bomb(login.port());
  bomb.send("GET /callback HTTP/1.1\r\n");
  for (int i = 0; i < 4000; ++i)
    bomb.send("X-Header-" + std::to_string(i) + ": " + std::string(1000, 'x') + "\r\n");
  const auto answer = bomb.read_all();
  // Where the reset overtakes the answer, the client sees only that the connection is gone.
  CHECK((answer == "(reset)" || status_of(answer) == 431));
  finish(login);
}

TEST_CASE("receiver: G-21: a request that does not arrive in time is dropped", "[receiver]") {
  auto options = GENERATE(http(), https());
  options.read_timeout = milliseconds{30};
  LoginWait login(options);
  RawClient silent(login.port());
  RawClient half(login.port());
  half.send(login.get(right()).substr(0, 60));
  CHECK(silent.read_all().empty());
  CHECK(half.read_all().empty());
  CHECK(login.is_waiting());
}

TEST_CASE("receiver: a trickle of bytes does not extend the deadline", "[receiver]") {
  LoginWait login({.read_timeout = milliseconds{60}});
  RawClient slow(login.port());
  slow.send("GET /callback HTTP/1.1\r\n");
  std::size_t lines = 0;
  const auto begun = std::chrono::steady_clock::now();
  while (!slow.has_news() && std::chrono::steady_clock::now() - begun < std::chrono::seconds{10}) {
    if (++lines % 1000 == 0 && lines < 50'000) slow.send("X: y\r\n");
  }
  CHECK(slow.has_news());
}

TEST_CASE("receiver: G-21: slow and half-open clients do not keep the browser out",
          "[receiver][concurrency]") {
  auto options = GENERATE(http(), https());
  options.read_timeout = std::chrono::seconds{60};
  LoginWait login(options);
  std::vector<RawClient> slow;
  for (int i = 0; i < 40; ++i) {
    slow.emplace_back(login.port());
    if (i % 2 == 0) slow.back().send("GET /callback?state=");
  }
  const auto begun = std::chrono::steady_clock::now();
  finish(login);
  CHECK(std::chrono::steady_clock::now() - begun < std::chrono::seconds{20});
}

TEST_CASE("receiver: at most so many connections are open as the options say",
          "[receiver][concurrency]") {
  LoginWait login({.read_timeout = std::chrono::seconds{60}, .max_connections = 4});
  std::vector<RawClient> idle;
  for (int i = 0; i < 5; ++i) idle.emplace_back(login.port());
  // The oldest had to go for the fifth, and for this one the next.
  CHECK(status_of(login.exchange(login.get("/"))) == 404);
  CHECK(idle[0].read_all().empty());
  CHECK(idle[1].read_all().empty());
  CHECK_FALSE(idle[4].has_news());
}

TEST_CASE("receiver: of ten browsers at once exactly one is the callback",
          "[receiver][concurrency]") {
  LoginWait login(GENERATE(http(), https()));
  std::vector<std::future<std::string>> browsers;
  for (int i = 0; i < 10; ++i) {
    browsers.push_back(std::async(std::launch::async, [&login, i] {
      return login.browser("&code=" + std::to_string(i)).read_all();
    }));
  }
  login.result().value()->answer(200, "the page");
  int pages = 0, strays = 0;
  for (auto& browser : browsers) {
    const auto body = body_of(browser.get());
    pages += body == "the page" ? 1 : 0;
    strays += body == stray_page() ? 1 : 0;
  }
  CHECK(pages == 1);
  CHECK(strays == 9);
}

TEST_CASE("receiver: an endless stream of strays does not stop the clock",
          "[receiver][concurrency]") {
  const auto receiver = LoopbackReceiver::open().value();
  const auto stray = [&] {
    (void)RawClient(receiver->port())
        .send("GET /callback HTTP/1.1\r\nHost: 127.0.0.1:" + std::to_string(receiver->port()) +
              "\r\n\r\n")
        .read_all();
  };
  auto first = std::async(std::launch::async, stray);
  // Each report brings the next one, so that there always is one.
  const auto held = receiver->wait("state", milliseconds{100}, {}, stray);
  REQUIRE_FALSE(held);
  CHECK(held.error().code == ErrorCode::timeout);
}
