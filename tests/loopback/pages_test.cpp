// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <string>
#include <string_view>

import latchkey.loopback.pages;

using namespace latchkey;

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
  const auto page =
      GENERATE_COPY(success_page(evil, "demo"), success_page("alice.example.com", evil),
                    failure_page(evil, "demo"), failure_page("refused", evil));
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
  CHECK(failure_page(std::string(100'000, 'x'), "demo").size() < 5'000);
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
