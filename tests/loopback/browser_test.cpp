// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <string>
#include <string_view>

import latchkey.core;
import latchkey.loopback.browser;
import latchkey.test.programs;

using namespace latchkey;
using namespace latchkey::test;

namespace {

struct Desktop {
  explicit Desktop(const std::string& browser, const std::string& display = "")
      : path("PATH", programs.path()),
        browser_variable("BROWSER", browser),
        x11("DISPLAY", display),
        wayland("WAYLAND_DISPLAY", "") {}
  Programs programs;
  Variable path, browser_variable, x11, wayland;
};

Result<void> open(const std::string& url) {
  return system_browser()->open(Url::parse(url).value());
}

constexpr const char* kUrl = "https://as.example/authorize?client_id=x&request_uri=urn:y";

}  // namespace

TEST_CASE("browser: BROWSER is started with the URL as one word", "[browser]") {
  const Desktop desktop("mine --new-window");
  desktop.programs.add("mine", 0);
  REQUIRE(open(kUrl));
  CHECK(desktop.programs.calls() == "mine [--new-window] [" + std::string(kUrl) + "]\n");
}

TEST_CASE("browser: %s in BROWSER stands for the URL", "[browser]") {
  const Desktop desktop("mine --url=%s --x");
  desktop.programs.add("mine", 0);
  REQUIRE(open(kUrl));
  CHECK(desktop.programs.calls() == "mine [--url=" + std::string(kUrl) + "] [--x]\n");
}

TEST_CASE("browser: what a URL carries is no command", "[browser]") {
  const Desktop desktop("mine");
  desktop.programs.add("mine", 0);
  const std::string url = "https://as.example/$(id);%20&x='y'?%s=%s";
  REQUIRE_FALSE(Url::parse(url));
  const std::string harmless = "https://as.example/$(id);&x='y'";
  REQUIRE(open(harmless));
  CHECK(desktop.programs.calls() == "mine [" + harmless + "]\n");
}

TEST_CASE("browser: BROWSER is a list, tried until one works", "[browser]") {
  const Desktop desktop("absent:failing::  :working %s:never");
  desktop.programs.add("failing", 3);
  desktop.programs.add("working", 0);
  desktop.programs.add("never", 0);
  REQUIRE(open(kUrl));
  const std::string url = " [" + std::string(kUrl) + "]\n";
  CHECK(desktop.programs.calls() == "failing" + url + "working" + url);
}

TEST_CASE("browser: with a display the desktop's programs are tried in turn", "[browser]") {
  const Desktop desktop("failing", ":0");
  desktop.programs.add("failing", 1);
  desktop.programs.add("xdg-open", 3);
  desktop.programs.add("sensible-browser", 0);
  REQUIRE(open(kUrl));
  const std::string url = " [" + std::string(kUrl) + "]\n";
  CHECK(desktop.programs.calls() == "failing" + url + "xdg-open" + url + "sensible-browser" + url);
}

TEST_CASE("browser: C11.5: without display and BROWSER nothing is started", "[browser]") {
  const Desktop desktop("");
  desktop.programs.add("xdg-open", 0);
  const auto opened = open(kUrl);
  REQUIRE_FALSE(opened);
  CHECK(opened.error().code == ErrorCode::io);
  CHECK(opened.error().detail == "browser.not_opened");
  CHECK(desktop.programs.calls().empty());
}

TEST_CASE("system_browser_program: the first that is there, and none without display and BROWSER",
          "[browser]") {
  {
    const Desktop desktop("absent:working %s");
    desktop.programs.add("working", 0);
    const auto program = system_browser_program();
    REQUIRE(program);
    CHECK(program->ends_with("/working"));
    CHECK(desktop.programs.calls().empty());
  }
  const Desktop headless("");
  headless.programs.add("xdg-open", 0);
  CHECK_FALSE(system_browser_program());
}

TEST_CASE("browser: when every program fails, the error says so", "[browser]") {
  const auto browser = GENERATE("absent", "failing", "failing:absent", ":", "  ");
  const Desktop desktop(browser);
  desktop.programs.add("failing", 1);
  const auto opened = open(kUrl);
  REQUIRE_FALSE(opened);
  CHECK(opened.error().detail == "browser.not_opened");
  CHECK(opened.error().message.find("as.example") == std::string::npos);
}

TEST_CASE("browser: only http and https URLs are opened", "[browser]") {
  const auto url = GENERATE("ftp://host/file", "file://host/etc/passwd", "javascript://x/%0aalert");
  const Desktop desktop("mine", ":0");
  desktop.programs.add("mine", 0);
  const auto opened = open(url);
  REQUIRE_FALSE(opened);
  CHECK(opened.error().detail == "browser.not_opened");
  CHECK(desktop.programs.calls().empty());
}
