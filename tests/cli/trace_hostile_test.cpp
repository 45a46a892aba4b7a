// SPDX-License-Identifier: MIT
#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

import latchkey.cli.trace.page;
import latchkey.cli.trace.record;
import latchkey.core;
import latchkey.flows.interaction;
import latchkey.flows.tracing;
import latchkey.http;
import latchkey.http.trace;
import latchkey.loopback.browser;
import latchkey.loopback.pages;
import latchkey.refresh.events;
import latchkey.test.overheard;
import latchkey.test.scripted_transport;

// Servers and strangers that repeat our secrets wherever they can, and names that try to become
// markup or lines of their own.

using namespace latchkey;
using namespace latchkey::test;
using Json = nlohmann::json;
using Strings = std::vector<std::string>;

namespace {

// As long, and of such letters, as the tokens of real servers.
constexpr std::string_view kSecret = "h7Kd02LmQx9vTzR4sWb8NpEa1YcUj6FgIoMk3XqBnDt";
// All letters, as a hostile server could write a word.
constexpr std::string_view kWord = "MarkedSecretWordOfNothingButLetters";

struct Hostile {
  std::shared_ptr<ManualClock> clock = std::make_shared<ManualClock>(TimePoint{});
  Overheard overheard{clock};
  std::shared_ptr<ScriptedTransport> server = std::make_shared<ScriptedTransport>();
  std::shared_ptr<HttpTransport> transport = overheard.around(server);

  void check_silent() const {
    const std::string trace = overheard.trace();
    const std::string page = cli::trace_page(cli::parse_trace(trace));
    CHECK(overheard.leaked_in(trace) == Strings{});
    for (const std::string& text : {trace, page}) {
      CHECK(text.find(kSecret) == std::string::npos);
      CHECK(text.find(kWord) == std::string::npos);
      CHECK(text.find("Marked") == std::string::npos);
    }
  }
};

HttpRequest full_of_secrets(std::string_view method) {
  const std::string secret(kSecret), word(kWord);
  HttpRequest request{
      .method = std::string(method),
      .url = Url::parse("https://api.test/" + secret + "/" + word + "?code=" + secret + "#" + word)
                 .value()};
  for (const char* name : {"Cookie", "DPoP", "X-Api-Key", "Referer"})
    request.headers.set(name, secret).value();
  request.headers.set("Content-Type", "application/x-www-form-urlencoded").value();
  request.body =
      SecretString("grant_type=" + word + "&refresh_token=" + secret + "&client_secret=" + word);
  request.authorization = Authorization{Authorization::Scheme::dpop, SecretString(secret)};
  return request;
}

// What it was given stands in every place that a trace reads.
HttpResponse echo(int status, std::string_view secret) {
  const std::string text(secret);
  return json_answer(status,
                     R"({"error":")" + text + R"(","error_description":")" + text +
                         R"(","error_uri":")" + text + R"(","message":")" + text + "\"}",
                     {{"WWW-Authenticate", "DPoP error=\"" + text + "\""},
                      {"DPoP-Nonce", secret},
                      {"Retry-After", secret},
                      {"Location", secret},
                      {"Set-Cookie", secret},
                      {"Date", secret}});
}

Json line_with(Json changes) {
  Json line = Json::parse(R"({"v":1,"run":"0a1b2c3d","id":1,"at":"2026-11-20T09:30:00Z",
      "kind":"request","from":"client","to":"pds","origin":"https://pds.test","method":"GET",
      "path":"/xrpc/com.example.get","purpose":"xrpc","bytes":0,"attempt":1})");
  if (!changes.is_null()) line.update(changes);
  return line;
}

}  // namespace

TEST_CASE("C11.6: a server that repeats our secrets in its answers gets none into the trace",
          "[trace]") {
  Hostile h;
  for (const std::string_view secret : {kSecret, kWord}) {
    for (const int status : {200, 302, 400, 401, 403, 429, 500}) {
      for (const std::string_view method : {"GET", "POST"}) {
        h.server->push(echo(status, secret));
        REQUIRE(h.transport->send(full_of_secrets(method), {}));
      }
    }
  }
  h.check_silent();
}

TEST_CASE("C11.6: nor one whose addresses have them in host and path", "[trace]") {
  Hostile h;
  for (const std::string_view secret : {kSecret, kWord}) {
    const std::string text(secret);
    for (const std::string& url :
         {"https://" + text + ".evil.test/token", "https://evil.test/" + text + "/oauth/token",
          "https://evil.test/xrpc/com.evil." + text + "1234",
          "https://evil.test/xrpc/" + text + ".evil.get"}) {
      h.server->push(answer(200));
      REQUIRE(h.transport->send(json_get(Url::parse(url).value()), {}));
    }
  }
  h.check_silent();
}

TEST_CASE("C11.6: nor an error whose message and detail are of a stranger's making", "[trace]") {
  Hostile h;
  for (const std::string_view secret : {kSecret, kWord}) {
    Error error = make_error(ErrorCode::provider_error, secret, std::string(secret));
    error.oauth = OAuthErrorBody{std::string(secret), std::string(secret), std::string(secret)};
    h.server->push(error);
    CHECK_FALSE(h.transport->send(full_of_secrets("POST"), {}));
    traced(SessionListener{}, h.overheard.tracer())(
        {.cause = SessionEventCause::refused, .subject = std::string(secret), .error = error});
    const LoginSteps steps = traced(
        LoginSteps{.begin = [&](const std::string&) -> Result<BegunLogin> { return error; },
                   .finish = [&](std::string_view) -> Result<SuccessContext> { return error; },
                   .abandon = [](std::string_view) {}},
        h.overheard.tracer());
    CHECK_FALSE(steps.begin("http://127.0.0.1/" + std::string(secret)));
    CHECK_FALSE(steps.finish("code=" + std::string(secret)));
    steps.abandon(secret);
  }
  h.check_silent();
  CHECK(h.overheard.trace().find(R"("step":"session_refused")") != std::string::npos);
}

TEST_CASE("trace: whatever passes, an event is one line of JSON", "[trace]") {
  Hostile h;
  for (const std::string_view text :
       {"\\u0000", "\\n{\\\"v\\\":1}", "</script>", "\\ud83d\\ude00"}) {
    h.server->push(json_answer(400, R"({"error":")" + std::string(text) + "\"}"));
    REQUIRE(h.transport->send(json_get(Url::parse("https://evil.test/%0a%00").value()), {}));
  }
  const std::string trace = h.overheard.trace();
  CHECK(std::count(trace.begin(), trace.end(), '\n') == 8);
  CHECK(cli::parse_trace(trace).unreadable == 0);
}

TEST_CASE("trace page: markup in any member of a line stays text", "[trace]") {
  const std::string evil =
      "</title></style></svg><script>alert(1)</script><img src=x onerror=y>\" zzz='";
  for (const char* name : {"run", "from", "to", "origin", "method", "path", "purpose", "grant",
                           "key", "retry", "step", "code", "detail"}) {
    CAPTURE(name);
    Json line = line_with({{name, evil}});
    if (std::string_view(name) == "step") line["kind"] = "step";
    const auto trace = cli::parse_trace(line.dump() + "\n");
    REQUIRE(trace.runs.size() == 1);
    const std::string page = cli::trace_page(trace);
    CHECK(page.find("<script") == std::string::npos);
    CHECK(page.find("<img") == std::string::npos);
    CHECK(page.find("</svg></") == std::string::npos);
    CHECK(page.find("\" zzz=") == std::string::npos);
  }
}

TEST_CASE("trace page: control characters and changes of direction are not repeated", "[trace]") {
  const auto trace =
      cli::parse_trace(line_with({{"path", "/xrpc/a\u0001b\u001b[31m"}}).dump() + "\n");
  const std::string page = cli::trace_page(trace);
  CHECK(page.find('\x01') == std::string::npos);
  CHECK(page.find('\x1b') == std::string::npos);
}

TEST_CASE("trace file: lines that are no events are counted, and disturb no others", "[trace]") {
  const std::string good = line_with({}).dump() + "\n";
  for (const std::string& bad :
       Strings{"{", "[]", "null", "{}", line_with({{"v", 2}}).dump(),
               line_with({{"v", "1"}}).dump(), line_with({{"kind", "other"}}).dump(),
               line_with({{"kind", 7}}).dump(), line_with({{"at", "yesterday"}}).dump(),
               line_with({{"run", ""}}).dump(), line_with({{"kind", "step"}}).dump(),
               line_with({{"kind", "answer"}, {"request", 99}}).dump(), std::string(100'000, '['),
               std::string("\xff\xfe")}) {
    CAPTURE(bad.substr(0, 200));
    const auto trace = cli::parse_trace(bad + "\n" + good);
    CHECK(trace.unreadable == 1);
    REQUIRE(trace.runs.size() == 1);
    CHECK(trace.runs[0].entries.size() == 1);
  }
  CHECK(cli::parse_trace("").runs.empty());
  CHECK(cli::parse_trace("\n\n").unreadable == 0);
  CHECK(cli::parse_trace(good.substr(0, good.size() / 2)).unreadable == 1);
}
