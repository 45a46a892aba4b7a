// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>

import latchkey.cli.interaction;
import latchkey.loopback.headless;

// What somebody without a browser is advised to do.

using namespace latchkey;
using namespace latchkey::cli;

namespace {

std::string advice(std::map<std::string, std::string> variables, bool has_device_grant) {
  const Surroundings here{
      .variable = [variables](const std::string& name) -> std::optional<std::string> {
        const auto found = variables.find(name);
        if (found == variables.end()) return std::nullopt;
        return found->second;
      },
      .exists = [](const std::filesystem::path&) { return false; }};
  return headless_advice(here, has_device_grant).value_or("");
}

bool has(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

}  // namespace

TEST_CASE("headless_advice: nothing where a browser can be opened", "[cli]") {
  CHECK(advice({{"DISPLAY", ":0"}}, true).empty());
  CHECK(advice({{"DISPLAY", ":0"}, {"LATCHKEY_HEADLESS", "0"}}, true).empty());
}

TEST_CASE("headless_advice: names only what helps", "[cli]") {
  CHECK(has(advice({{"LATCHKEY_HEADLESS", "1"}, {"DISPLAY", ":0"}}, true), "--device"));
  CHECK_FALSE(has(advice({{"LATCHKEY_HEADLESS", "1"}}, false), "--device"));
  CHECK(has(advice({{"LATCHKEY_HEADLESS", "1"}}, false), "--paste"));
  const std::string ssh = advice({{"SSH_CONNECTION", "a b c d"}}, false);
  CHECK(has(ssh, "SSH"));
  CHECK(has(ssh, "--paste"));
  CHECK_FALSE(has(ssh, "--device"));
  const std::string ci = advice({{"CI", "true"}}, true);
  CHECK_FALSE(ci.empty());
}
