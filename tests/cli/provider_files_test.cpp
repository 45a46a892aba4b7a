// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <filesystem>
#include <set>
#include <string>

import latchkey.cli.profile;
import latchkey.cli.profile.device;
import latchkey.cli.profile.json;
import latchkey.cli.terminal;
import latchkey.core;
import latchkey.flows.device;
import latchkey.test.folder;

// What docs/providers.md shows: files, and a screen.

using namespace latchkey;
using namespace latchkey::cli;
using namespace latchkey::test;

TEST_CASE("docs/providers: every file is a profile, and docs/providers.md names it", "[cli]") {
  const std::filesystem::path folder = LATCHKEY_PROVIDER_FILES;
  const std::string page = read_text(folder.parent_path() / "providers.md").value();
  std::set<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const std::string name = entry.path().filename();
    CAPTURE(name);
    const auto profile =
        parse_profile(read_text(entry.path()).value(), ErrorCode::invalid_argument);
    REQUIRE(profile);
    const auto checked = check_profile(*profile);
    CHECK((checked ? "" : checked.error().message) == "");
    CHECK(parse_profile(profile_json(*profile), ErrorCode::corrupt).value() == *profile);
    CHECK(page.find("(providers/" + name + ")") != std::string::npos);
    names.insert(name);
  }
  CHECK(names.size() == 7);
}

TEST_CASE("docs/providers.md: the screen of a device login is what the tool shows", "[cli]") {
  const std::filesystem::path folder = LATCHKEY_PROVIDER_FILES;
  const std::string page = read_text(folder.parent_path() / "providers.md").value();
  const DeviceCodes codes{
      .id = {},
      .subject = "work",
      .user_code = "WDJB-MJHT",
      .verification_uri = "https://id.example.com/device",
      .verification_uri_complete = "https://id.example.com/device?user_code=WDJB-MJHT"};
  CHECK(page.find("```\n" + device_screen(codes, {}, true)) != std::string::npos);
  const Terminal wide{.moves_cursor = true, .utf8 = true, .columns = 100, .rows = 50};
  const std::string whole = device_screen(codes, wide, true);
  CHECK(whole.find("latchkey: or scan this, and compare the code\n") != std::string::npos);
  CHECK(device_screen(codes, wide, false) == device_screen(codes, {}, true));
}
