// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <cstddef>
#include <string>
#include <string_view>

import latchkey.cli.trace.page;
import latchkey.cli.trace.record;
import latchkey.core;

// What the page of a trace shows; how it looks is seen in tests/interop/trace-page.test.mjs.

using namespace latchkey;
using namespace latchkey::cli;

namespace {

constexpr std::string_view kTrace =
    R"({"v":1,"run":"0a1b2c3d","id":1,"at":"2026-11-20T09:30:00Z","kind":"step","from":"client","to":"client","step":"command_login"}
{"v":1,"run":"0a1b2c3d","id":2,"at":"2026-11-20T09:30:00.100Z","kind":"request","from":"client","to":"authorization_server","origin":"https://as.test","method":"POST","path":"/oauth/par","purpose":"par","key":"0ZcOCORZ","nonce":false,"bytes":900,"attempt":1}
{"v":1,"run":"0a1b2c3d","id":3,"at":"2026-11-20T09:30:00.140Z","kind":"answer","request":2,"status":400,"error":"use_dpop_nonce","new_nonce":true,"bytes":60,"ms":40}
{"v":1,"run":"0a1b2c3d","id":4,"at":"2026-11-20T09:30:00.150Z","kind":"request","from":"client","to":"authorization_server","origin":"https://as.test","method":"POST","path":"/oauth/par","purpose":"par","key":"0ZcOCORZ","nonce":true,"bytes":900,"attempt":2,"retry":"use_dpop_nonce","repeats":2}
{"v":1,"run":"0a1b2c3d","id":5,"at":"2026-11-20T09:30:00.190Z","kind":"answer","request":4,"status":201,"bytes":90,"ms":40}
{"v":1,"run":"0a1b2c3d","id":6,"at":"2026-11-20T09:30:00.200Z","kind":"step","from":"client","to":"browser","step":"browser_opened"}
{"v":1,"run":"0a1b2c3d","id":7,"at":"2026-11-20T09:30:02Z","kind":"step","from":"browser","to":"client","step":"callback"}
{"v":1,"run":"0a1b2c3d","id":8,"at":"2026-11-20T09:30:02.001Z","kind":"request","from":"client","to":"authorization_server","origin":"https://as.test","method":"POST","path":"/oauth/token","purpose":"token","grant":"authorization_code","bytes":700,"attempt":1}
{"v":1,"run":"0a1b2c3d","id":9,"at":"2026-11-20T09:30:32.001Z","kind":"failure","request":8,"code":"timeout","detail":"http.timeout","delivery":"maybe_sent","ms":30000}
{"v":1,"run":"11111111","id":1,"at":"2026-11-20T10:00:00Z","kind":"request","from":"client","to":"pds","origin":"https://pds.test","method":"POST","path":"/xrpc/com.atproto.repo.createRecord","purpose":"xrpc","bytes":90,"attempt":1}
)";

std::size_t count(std::string_view text, std::string_view part) {
  std::size_t found = 0;
  for (auto at = text.find(part); at != std::string_view::npos; at = text.find(part, at + 1))
    ++found;
  return found;
}

bool has(std::string_view text, std::string_view part) {
  return count(text, part) != 0;
}

}  // namespace

TEST_CASE("trace file: answers and failures belong to their requests, runs are kept apart",
          "[trace]") {
  const TraceText trace = parse_trace(kTrace);
  CHECK(trace.unreadable == 0);
  REQUIRE(trace.runs.size() == 2);
  const auto& login = trace.runs[0].entries;
  REQUIRE(login.size() == 6);
  CHECK(login[0].step == "command_login");
  REQUIRE(login[1].answer);
  CHECK(login[1].answer->error == "use_dpop_nonce");
  CHECK(login[1].answer->new_nonce);
  CHECK(login[2].retry == "use_dpop_nonce");
  CHECK(login[2].answer->status == 201);
  REQUIRE(login[5].failure);
  CHECK(login[5].failure->maybe_sent);
  CHECK_FALSE(trace.runs[1].entries[0].answer);
}

TEST_CASE("trace page: the summary counts requests, retries, refusals and failures", "[trace]") {
  const std::string page = trace_page(parse_trace(kTrace));
  CHECK(has(page, "<h2>latchkey login</h2>"));
  CHECK(has(page, "<dt>duration</dt><dd>32.001 s</dd>"));
  CHECK(has(page, "<dt>requests</dt><dd>3</dd>"));
  CHECK(has(page, "<dt>retries</dt><dd>1</dd>"));
  CHECK(has(page, "<dt>refused</dt><dd>1</dd>"));
  CHECK(has(page, "<div class=\"bad\"><dt>failures</dt><dd>1</dd>"));
  CHECK(has(page, "<div><dt>failures</dt><dd>0</dd>"));
}

TEST_CASE("trace page: retries, refusals and lost answers have a shape and words of their own",
          "[trace]") {
  const std::string page = trace_page(parse_trace(kTrace));
  CHECK(count(page, "class=\"ring\"") == 1);
  CHECK(has(page, "attempt 2: use dpop nonce"));
  CHECK(count(page, "class=\"mark bad\"") == 1);
  CHECK(has(page, "400 use_dpop_nonce, new nonce · 40 ms"));
  CHECK(count(page, "class=\"cross\"") == 1);
  CHECK(has(page, "no answer: timeout, may have been sent · 30.000 s"));
  CHECK(has(page, "the trace ends before an answer"));
  CHECK(has(page, "key 0ZcOCORZ, with a nonce"));
  CHECK(has(page, "POST com.atproto.repo.createRecord"));
}

TEST_CASE("trace page: it asks for nothing, and allows nothing but its own style", "[trace]") {
  const std::string page = trace_page(parse_trace(kTrace));
  CHECK(has(page, "default-src 'none'; style-src 'sha256-"));
  for (const std::string_view never : {"<script", "src=", "url(", "@import", "style=\"", "<link"})
    CHECK_FALSE(has(page, never));
  CHECK(count(page, "<svg") == 2);
  CHECK(count(page, "<style>") == 1);
}

TEST_CASE("trace page: of a long trace the end is shown, and that it is not all", "[trace]") {
  std::string text;
  for (int i = 1; i <= 2003; ++i)
    text +=
        R"({"v":1,"run":"0a1b2c3d","id":)" + std::to_string(i) +
        R"(,"at":"2026-11-20T09:30:00Z","kind":"step","from":"client","to":"client","step":"session_refreshed"})"
        "\n";
  const std::string page = trace_page(parse_trace(text));
  CHECK(has(page, "Earlier entries that are left out: 3."));
  CHECK(count(page, "<li>") == 2000);
}

TEST_CASE("trace page: times that nobody can have measured are cut to a year", "[trace]") {
  const std::string page = trace_page(parse_trace(
      R"({"v":1,"run":"0a1b2c3d","id":1,"at":"0002-01-01T00:00:00Z","kind":"request","origin":"https://as.test","method":"GET","path":"/"}
{"v":1,"run":"0a1b2c3d","id":2,"at":"9999-12-31T23:59:59Z","kind":"request","origin":"https://as.test","method":"GET","path":"/"}
{"v":1,"run":"0a1b2c3d","id":3,"at":"9999-12-31T23:59:59Z","kind":"answer","request":2,"status":200,"ms":9223372036854775807}
{"v":1,"run":"1a1b2c3d","id":1,"at":"2026-11-20T09:30:00Z","kind":"request","origin":"https://as.test","method":"GET","path":"/"}
{"v":1,"run":"1a1b2c3d","id":2,"at":"2026-11-20T09:30:00Z","kind":"failure","request":1,"ms":9223372036854775807}
{"v":1,"run":"2a1b2c3d","id":1,"at":"2026-11-20T09:30:00Z","kind":"request","origin":"https://as.test","method":"GET","path":"/"}
{"v":1,"run":"2a1b2c3d","id":2,"at":"2026-11-20T09:30:00Z","kind":"answer","request":1,"ms":-9223372036854775808}
)"));
  CHECK(has(page, "<dt>duration</dt><dd>31536000.000 s</dd>"));
  CHECK(has(page, "<dt>duration</dt><dd>0 ms</dd>"));
  CHECK_FALSE(has(page, "9223372036854775"));
  CHECK_FALSE(has(page, "<dd>-"));
}

namespace {

std::string dns_line(std::string_view at, std::string_view rest) {
  return R"({"v":1,"run":"0a1b2c3d","id":1,"at":"2026-11-20T09:30:)" + std::string(at) +
         R"(Z","kind":"step","from":"client","to":"handle_host",)" + std::string(rest) + "}\n";
}

std::string file_lines(std::string_view at, std::string_view end) {
  return R"({"v":1,"run":"0a1b2c3d","id":2,"at":"2026-11-20T09:30:)" + std::string(at) +
         R"(Z","kind":"request","from":"client","to":"handle_host","origin":"https://alice.test","method":"GET","path":"/.well-known/atproto-did","purpose":"handle"})"
         "\n"
         R"({"v":1,"run":"0a1b2c3d","id":3,"at":"2026-11-20T09:30:03Z","request":2,)" +
         std::string(end) + "}\n";
}

constexpr std::string_view kFound = R"("step":"dns")";
constexpr std::string_view kStopped =
    R"("step":"dns_failed","code":"cancelled","detail":"dns.cancelled")";
constexpr std::string_view kFileFound = R"("kind":"answer","status":200,"ms":200)";
constexpr std::string_view kFileStopped =
    R"("kind":"failure","code":"cancelled","detail":"http.cancelled","delivery":"maybe_sent","ms":200)";

bool has_failures(const std::string& trace) {
  return !has(trace_page(parse_trace(trace)), "<dt>failures</dt><dd>0</dd>");
}

}  // namespace

TEST_CASE("trace page: a look-up that was stopped because the other way won is no failure",
          "[trace]") {
  for (const std::string& trace :
       {file_lines("01.000", kFileStopped) + dns_line("01.190", kFound),
        file_lines("01.000", kFileFound) + dns_line("01.201", kStopped)}) {
    CHECK_FALSE(has_failures(trace));
    const std::string page = trace_page(parse_trace(trace));
    CHECK(has(page, "stopped: the other way had the answer"));
    CHECK_FALSE(has(page, "class=\"cross\""));
  }
}

TEST_CASE("trace page: a look-up that was stopped for any other reason is a failure", "[trace]") {
  CHECK(has_failures(file_lines("01.000", kFileStopped)));
  CHECK(has_failures(dns_line("01.000", kStopped)));
  CHECK(has_failures(file_lines("01.000", kFileStopped) + dns_line("01.190", kStopped)));
  CHECK(has_failures(file_lines("01.000", kFileStopped) +
                     dns_line("01.190", R"("step":"dns_empty")")));
  CHECK(has_failures(file_lines("01.000", kFileStopped) + dns_line("09.000", kFound)));
  CHECK(has_failures(file_lines("01.000", R"("kind":"failure","code":"timeout","ms":200)") +
                     dns_line("01.190", kFound)));
}
