// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

import latchkey.core;
import latchkey.loopback.pages;

using namespace latchkey;
using namespace std::chrono_literals;

namespace {

bool holds(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

}  // namespace

TEST_CASE("escape_html: LA-42: the five characters that mean something become entities",
          "[pages]") {
  CHECK(escape_html("a<b>&\"c'") == "a&lt;b&gt;&amp;&quot;c&#39;");
  CHECK(escape_html("&amp;") == "&amp;amp;");
  CHECK(escape_html("").empty());
  CHECK(escape_html("\xC3\xA4 plain") == "\xC3\xA4 plain");
}

TEST_CASE("pages: what others wrote is escaped wherever it stands", "[pages]") {
  const std::string evil = "</p><script>x</script><img src=\"a\" onerror='b'>";
  const auto page = GENERATE_COPY(
      success_page(evil, "demo"), success_page("alice.example.com", evil),
      failure_page(evil, "demo"), failure_page("refused", evil),
      success_page(SuccessContext{.subject = evil}), success_page(SuccessContext{.name = evil}),
      success_page(SuccessContext{.email = evil}),
      success_page(SuccessContext{.name = "a", .email = evil}),
      success_page(SuccessContext{.scopes = {evil}}),
      failure_page({.error = make_error(ErrorCode::io, evil, "x")}),
      failure_page({.error = make_error(ErrorCode::io, "x", evil)}));
  CHECK_FALSE(holds(page, "<script"));
  CHECK_FALSE(holds(page, "<img"));
  CHECK_FALSE(holds(page, "onerror='"));
  CHECK(holds(page, "&lt;script&gt;x&lt;/script&gt;"));
}

TEST_CASE("pages: control characters and broken UTF-8 do not reach the browser", "[pages]") {
  const auto page = failure_page("a\x01\x1b[31m\xC3(\xE2\x80\xAE", "demo");
  CHECK(holds(page, "a??[31m?(?"));
}

TEST_CASE("pages: a long text is cut", "[pages]") {
  const std::string text(100'000, 'x');
  CHECK(failure_page(text, "demo").size() < 10'000);
  CHECK(success_page({.account = text,
                      .application = text,
                      .subject = text,
                      .name = text,
                      .email = text,
                      .scopes = std::vector<std::string>(1000, text)})
            .size() < 20'000);
}

TEST_CASE("pages: LA-43: a page needs nothing from anywhere and runs nothing", "[pages]") {
  const auto page =
      GENERATE(success_page("alice.example.com", "demo"), failure_page("refused", "demo"),
               success_page("", ""), failure_page("", ""), stray_page());
  for (const std::string_view part :
       {"src=", "href=", "url(", "@import", "<script", "<link", "http:", "https:", "onload"}) {
    INFO(part);
    CHECK_FALSE(holds(page, part));
  }
}

TEST_CASE("pages: LA-46: every page has a language, a character set, a viewport and two palettes",
          "[pages]") {
  const auto page = GENERATE(success_page("a", "b"), failure_page("a", "b"), stray_page());
  CHECK(page.starts_with("<!DOCTYPE html>\n<html lang=\"en\">"));
  CHECK(holds(page, "<meta charset=\"utf-8\">"));
  CHECK(holds(page, "name=\"viewport\" content=\"width=device-width, initial-scale=1\""));
  CHECK(holds(page, "@media (prefers-color-scheme: dark)"));
  CHECK(page.ends_with("</html>\n"));
}

TEST_CASE("pages: they say what happened, to whom, and where to go", "[pages]") {
  const auto good = success_page("alice.example.com", "Demo");
  CHECK(holds(good, "<title>You are logged in</title>"));
  CHECK(holds(good, "alice.example.com"));
  CHECK(holds(good, "Demo"));
  const auto bad = failure_page("the server refused the code", "Demo");
  CHECK(holds(bad, "<title>The login did not work</title>"));
  CHECK(holds(bad, "the server refused the code"));
  CHECK(holds(bad, "Demo"));
  CHECK_FALSE(holds(bad, "You are logged in"));
}

TEST_CASE("success page: LA-40: name, e-mail and initials where an id token gave them", "[pages]") {
  const auto page = success_page({.account = "ada",
                                  .name = "Ada King Lovelace",
                                  .email = "ada@example.com",
                                  .email_verified = true,
                                  .picture = "https://example.com/ada.png"});
  CHECK(holds(page, "Ada King Lovelace"));
  CHECK(holds(page, ">AL</span>"));
  CHECK(holds(page, "<wbr>@example.com"));
  CHECK(holds(page, "ada@example.com</bdi> (verified)"));
  CHECK_FALSE(holds(page, "ada.png"));
  CHECK(holds(success_page({.email = "a@b"}), "a@b</bdi> (not verified)"));
}

TEST_CASE("success page: initials are whole characters of the first and the last word", "[pages]") {
  const auto [name, expected] = GENERATE(
      table<std::string, std::string>({{"ada", "a"},
                                       {"  ada  ", "a"},
                                       {"\xC3\x89mile \xE6\x9D\x8E", "\xC3\x89\xE6\x9D\x8E"},
                                       {"<a >b", "&lt;&gt;"},
                                       {" ", ""}}));
  CHECK(holds(success_page({.name = name}), "aria-hidden=\"true\">" + expected + "</span>"));
}

TEST_CASE("success page: LA-40: permissions as granted, and how many more there are", "[pages]") {
  CHECK(holds(success_page({.scopes = {"openid", "email"}}),
              "<li><bdi>openid</bdi></li>\n<li><bdi>email</bdi></li>"));
  CHECK_FALSE(holds(success_page({.account = "a"}), "Granted permissions"));
  const auto many = success_page({.scopes = std::vector<std::string>(43, "scope")});
  CHECK(holds(many, "<li>and 3 more</li>"));
}

TEST_CASE("success page: LA-40: when access ends, in words", "[pages]") {
  using Row = std::tuple<std::optional<Duration>, std::string>;
  const auto [time, words] = GENERATE(values<Row>({{59s, "in 59 seconds"},
                                                   {1ms, "in 1 second"},
                                                   {1min, "in 1 minute"},
                                                   {59min + 59s, "in 59 minutes"},
                                                   {60min, "in 1 hour"},
                                                   {90min, "in 1 hour 30 minutes"},
                                                   {47h + 59min, "in 47 hours 59 minutes"},
                                                   {48h, "in 2 days"},
                                                   {24h * 365, "in 365 days"},
                                                   {0ms, "now"},
                                                   {-1h, "now"},
                                                   {std::nullopt, "the server did not say when"}}));
  const auto page = success_page({.expires_in = time, .has_refresh_token = false});
  CHECK(holds(page, "<dt>Access ends</dt><dd>" + words + "</dd>"));
}

TEST_CASE("success page: LA-40: the details say what is known, and nothing else", "[pages]") {
  const auto all = success_page(
      {.subject = "sub-1", .identity = IdentityCheck::validated, .has_refresh_token = true});
  for (const auto* part : {"sub-1", "<dd>checked: ", "<dd>yes: "}) CHECK(holds(all, part));
  const auto less =
      success_page({.identity = IdentityCheck::unvalidated, .has_refresh_token = false});
  for (const auto* part : {"<dd>not checked</dd>", "<dd>no: "}) CHECK(holds(less, part));
  CHECK_FALSE(holds(success_page({.account = "ada"}), "<details>"));
}

TEST_CASE("failure page: LA-41: what went wrong, with its code and cause", "[pages]") {
  const auto page = failure_page(
      {.error = make_error(ErrorCode::access_denied, "callback.denied", "you said no; try again"),
       .application = "Demo"});
  for (const auto* part :
       {"you said no; try again", "access_denied", "callback.denied", "Demo", "role=\"alert\""}) {
    CHECK(holds(page, part));
  }
}
