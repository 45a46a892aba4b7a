// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <stdexcept>
#include <string>
#include <string_view>

import latchkey.core;
import latchkey.loopback.answer;
import latchkey.loopback.callback;
import latchkey.loopback.pages;
import latchkey.loopback.receiver;
import latchkey.test.login_wait;

using namespace latchkey;
using namespace latchkey::test;

namespace {

bool holds(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

const SuccessContext kSuccess{.account = "ada", .scopes = {"email"}, .client_id = "client-1"};
const FailureContext kFailure{.error = make_error(ErrorCode::io, "a.detail", "no luck")};

ResultPage ours(std::string_view html) {
  return {.html = std::string(html)};
}

}  // namespace

TEST_CASE("result pages: LA-44: without any, the built-in ones are shown", "[pages]") {
  CHECK(render_success({}, kSuccess).html == success_page(kSuccess));
  CHECK(render_failure({}, kFailure).html == failure_page(kFailure));
  CHECK(render_success({}, kSuccess).policy == kSelfContainedPolicy);
}

TEST_CASE("result pages: LA-44: a fixed page goes before the built-in one", "[pages]") {
  const ResultPages pages{.fixed_success = ours("good"), .fixed_failure = ours("bad")};
  CHECK(render_success(pages, kSuccess).html == "good");
  CHECK(render_failure(pages, kFailure).html == "bad");
}

TEST_CASE("result pages: LA-44, LA-45: a function goes before all, and gets what is known",
          "[pages]") {
  const ResultPages pages{
      .success =
          [](const SuccessContext& c) { return ours(c.account + c.scopes[0] + c.client_id); },
      .failure = [](const FailureContext& c) { return ours(c.error.detail); },
      .fixed_success = ours("fixed"),
      .fixed_failure = ours("fixed")};
  CHECK(render_success(pages, kSuccess).html == "adaemailclient-1");
  CHECK(render_failure(pages, kFailure).html == "a.detail");
}

TEST_CASE("result pages: a function that throws or gives nothing is passed over", "[pages]") {
  ResultPages pages;
  if (GENERATE(true, false)) {
    pages.success = [](const SuccessContext&) -> ResultPage { throw std::runtime_error("broken"); };
    pages.failure = [](const FailureContext&) -> ResultPage { throw 1; };
  } else {
    pages.success = [](const SuccessContext&) { return ours(""); };
    pages.failure = [](const FailureContext&) { return ours(""); };
  }
  CHECK(render_success(pages, kSuccess).html == success_page(kSuccess));
  CHECK(render_failure(pages, kFailure).html == failure_page(kFailure));
  pages.fixed_success = ours("fixed");
  pages.fixed_failure = ours("fixed");
  CHECK(render_success(pages, kSuccess).html == "fixed");
  CHECK(render_failure(pages, kFailure).html == "fixed");
}

TEST_CASE("result pages: an empty fixed page is none", "[pages]") {
  CHECK(render_success({.fixed_success = ours("")}, kSuccess).html == success_page(kSuccess));
}

TEST_CASE("result pages: a page of one's own comes with its own policy, and all other headers",
          "[pages]") {
  LoginWait login;
  auto browser = login.browser();
  login.result().value()->answer(
      200, ResultPage{.html = "mine", .policy = "default-src 'self'; img-src data:"});
  const auto answer = browser.read_all();
  CHECK(body_of(answer) == "mine");
  CHECK(holds(answer, "\r\nContent-Security-Policy: default-src 'self'; img-src data:\r\n"));
  for (const auto* header : {"Cache-Control: no-store\r\n", "Referrer-Policy: no-referrer\r\n",
                             "X-Content-Type-Options: nosniff\r\n", "X-Frame-Options: DENY\r\n"}) {
    CHECK(holds(answer, header));
  }
}

TEST_CASE("http_answer: a policy that would be more than one header is replaced", "[pages]") {
  const auto* policy = GENERATE("", "a\r\nSet-Cookie: x=y", "a\nb", "a\tb", "\xC3\xA4", "\x7f");
  const auto answer = http_answer(200, {.html = "x", .policy = policy});
  CHECK(
      holds(answer, "\r\nContent-Security-Policy: " + std::string(kSelfContainedPolicy) + "\r\n"));
  CHECK_FALSE(holds(answer, "Set-Cookie"));
}

TEST_CASE("http_answer: a status that is none becomes 500", "[pages]") {
  const int status = GENERATE(-1, 0, 100, 199, 600, 1000000);
  CHECK(http_answer(status, {.html = "x"}).starts_with("HTTP/1.1 500 Internal Server Error\r\n"));
  CHECK(http_answer(418, {.html = "x"}).starts_with("HTTP/1.1 418 \r\n"));
}
