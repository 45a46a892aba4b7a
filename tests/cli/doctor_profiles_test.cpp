// SPDX-License-Identifier: MIT
#include <sys/stat.h>
#include <catch2/catch_test_macros.hpp>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>

import latchkey.core;
import latchkey.session;
import latchkey.test.examined;
import latchkey.test.folder;
import latchkey.test.tool;
import latchkey.test.tool_places;

// What the doctor says of profiles' files.

using namespace latchkey;
using namespace latchkey::test;
namespace fs = std::filesystem;

namespace {

constexpr std::string_view kGood = R"({"issuer":"https://id.test","client_id":"a"})";

// A home with somebody logged in, and the files of profiles as a person left them.
struct Profiles : Home {
  Profiles() { plant(kAlice, kNobody); }

  [[nodiscard]] fs::path config() const { return data_dir() / "config"; }
  void write(const fs::path& file, std::string_view text, mode_t mode = 0600) const {
    fs::create_directories(file.parent_path());
    chmod(file.parent_path().c_str(), 0700);
    write_text(file, text);
    chmod(file.c_str(), mode);
  }
  void profile(std::string_view name, std::string_view text, mode_t mode = 0600) const {
    write(config() / "profiles" / (std::string(name) + ".json"), text, mode);
  }
  void log_in(std::string_view name) const {
    plant(name, kNobody, [](OAuthSession& session) { session.handle.clear(); });
  }
};

}  // namespace

TEST_CASE("doctor: profiles that are in order are said to be, and those without a session",
          "[cli]") {
  const Profiles home;
  home.profile("work", kGood);
  home.profile("later", kGood);
  home.log_in("work");
  home.write(home.config() / "current", "work\n");
  const Examined seen = examine(home);
  CHECK(seen.status == 0);
  CHECK(seen["profile.logged_in"] == "ok");
  CHECK(seen["profile.not_logged_in"] == "note");
  CHECK(seen.text_of("profile.not_logged_in").find("--profile later") != std::string::npos);
  CHECK(seen["current.gone"].empty());
}

TEST_CASE("doctor: a profile's file that can't be read is a problem, by its name", "[cli]") {
  for (const auto& [text, id] :
       {std::pair{"{", "profile.not_json"},
        std::pair{R"({"clientid":"a"})", "profile.unknown_member"},
        std::pair{"{}", "profile.incomplete"}, std::pair{R"({"version":2})", "profile.version"}}) {
    CAPTURE(id);
    const Profiles home;
    home.profile("work", text);
    const Examined seen = examine(home);
    CHECK(seen.status == 1);
    CHECK(seen[id] == "problem");
  }
}

TEST_CASE("doctor: a profile that others can change is taken from them", "[cli]") {
  const Profiles home;
  home.profile("work", kGood, 0664);
  CHECK(examine(home)["location.permissions"] == "problem");
  CHECK(examine(home, {"--fix"})["location.permissions"] == "note fixed");
  CHECK(examine(home).status == 0);
}

TEST_CASE("doctor: a client secret that is not there, or open to all, is a problem", "[cli]") {
  const Profiles home;
  const fs::path secret = home.path() / "secrets" / "client";
  home.profile("work", R"({"issuer":"https://id.test","client_id":"a","client_auth":)"
                       R"("client_secret_basic","client_secret_file":")" +
                           secret.native() + R"("})");
  CHECK(examine(home)["profile.secret_file"] == "problem");
  home.write(secret, "sec-Marked", 0644);
  CHECK(examine(home)["location.permissions"] == "problem");
  CHECK(examine(home, {"--fix"})["location.permissions"] == "note fixed");
  CHECK(examine(home).status == 0);
}

TEST_CASE("doctor: a default account that is gone is said", "[cli]") {
  const Profiles home;
  home.write(home.config() / "current", "work\n");
  CHECK(examine(home)["current.gone"] == "note");
  home.write(home.config() / "current", std::string(kAlice) + "\n");
  CHECK(examine(home)["current.gone"].empty());
  home.write(home.config() / "current", "");
  CHECK(examine(home)["current.malformed"] == "problem");
}
