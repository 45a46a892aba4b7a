// SPDX-License-Identifier: MIT
#include <sys/stat.h>
#include <catch2/catch_test_macros.hpp>
#include <filesystem>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

import latchkey.cli.profile;
import latchkey.cli.profile.folder;
import latchkey.cli.profile.secret;
import latchkey.core;
import latchkey.session;
import latchkey.test.folder;

// Where profiles are kept, and where their secrets come from.

using namespace latchkey;
using namespace latchkey::cli;
using namespace latchkey::test;

namespace {

struct Config {
  TemporaryFolder home{};
  ProfileFolder profiles{home.path() / "config"};

  void plant(std::string_view file, std::string_view text) const {
    std::filesystem::create_directories(profiles.folder());
    write_text(profiles.folder() / file, text);
    chmod((profiles.folder() / file).c_str(), 0600);
  }
};

Profile example(std::string client_id) {
  Profile profile;
  profile.issuer = "https://id.example.com";
  profile.client_id = std::move(client_id);
  return profile;
}

template <class T>
std::string fault(const Result<T>& result) {
  return result ? "ok" : result.error().detail;
}

std::string secret_fault(const std::filesystem::path& path) {
  return fault(read_secret_file(path.native(), {}));
}

}  // namespace

TEST_CASE("ProfileFolder: what is saved is there again, and yours alone", "[cli]") {
  const Config config;
  CHECK_FALSE(config.profiles.load("work").value().has_value());
  CHECK(config.profiles.list().value().empty());
  CHECK_FALSE(std::filesystem::exists(config.home.path() / "config"));
  REQUIRE(config.profiles.save("work", example("a")));
  REQUIRE(config.profiles.save("work", example("b")));
  REQUIRE(config.profiles.save("home", example("c")));
  CHECK(config.profiles.load("work").value().value() == example("b"));
  struct stat status{};
  REQUIRE(stat(config.profiles.file("work").c_str(), &status) == 0);
  CHECK((status.st_mode & 0777) == 0600);
  const auto listed = config.profiles.list().value();
  REQUIRE(listed.size() == 2);
  CHECK(listed[0].name == "home");
  CHECK(listed[1].profile == example("b"));
  REQUIRE(config.profiles.remove("work"));
  REQUIRE(config.profiles.remove("work"));
  CHECK_FALSE(config.profiles.load("work").value().has_value());
}

TEST_CASE("ProfileFolder: no name leads out of it, and no unfinished profile gets in", "[cli]") {
  const Config config;
  CHECK(fault(config.profiles.load("../vault")) == "profile.name");
  CHECK(fault(config.profiles.save("a/b", example("a"))) == "profile.name");
  CHECK(fault(config.profiles.remove("..")) == "profile.name");
  CHECK(fault(config.profiles.save("work", Profile{})) == "profile.incomplete");
  CHECK(config.profiles.list().value().empty());
}

TEST_CASE("ProfileFolder: a file that can't be read is listed with its fault, beside the others",
          "[cli]") {
  const Config config;
  REQUIRE(config.profiles.save("good", example("a")));
  config.plant("broken.json", "{");
  config.plant("open.json", R"({"issuer":"https://a.example","client_id":"c"})");
  config.plant("notes.txt", "not mine");
  config.plant("no name.json", "{}");
  chmod(config.profiles.file("open").c_str(), 0644);
  const auto listed = config.profiles.list().value();
  REQUIRE(listed.size() == 3);
  CHECK(listed[0].error.value().detail == "profile.not_json");
  CHECK(listed[0].error.value().code == ErrorCode::corrupt);
  CHECK(listed[0].error.value().message.find("broken.json") != std::string::npos);
  CHECK(listed[1].profile.has_value());
  CHECK(listed[2].error.value().detail == "location.permissions");
}

TEST_CASE("ProfileFolder: a file that is far too large, or a link, is not read", "[cli]") {
  const Config config;
  config.plant("huge.json", std::string(70'000, ' '));
  CHECK(fault(config.profiles.load("huge")) == "file.too_large");
  std::filesystem::create_symlink("huge.json", config.profiles.file("link"));
  CHECK(fault(config.profiles.load("link")) == "location.symlink");
}

TEST_CASE("ProfileFolder: the default account is kept, changed and cleared", "[cli]") {
  const Config config;
  CHECK_FALSE(config.profiles.current().value().has_value());
  REQUIRE(config.profiles.set_current("work"));
  REQUIRE(config.profiles.set_current("did:plc:ewvi7nxzyoun6zhxrhs64oiz"));
  CHECK(config.profiles.current().value() == "did:plc:ewvi7nxzyoun6zhxrhs64oiz");
  CHECK(fault(config.profiles.set_current("")) == "subject.invalid");
  CHECK(fault(config.profiles.set_current("a\nb")) == "subject.invalid");
  REQUIRE(config.profiles.clear_current());
  REQUIRE(config.profiles.clear_current());
  CHECK_FALSE(config.profiles.current().value().has_value());
  for (const std::string_view text : {"", "\n", "a\nb\n"}) {
    write_text(config.profiles.current_file(), text);
    chmod(config.profiles.current_file().c_str(), 0600);
    CHECK(fault(config.profiles.current()) == "current.malformed");
  }
}

TEST_CASE("read_secret_file: is the one line of a file that is yours alone", "[cli]") {
  const TemporaryFolder folder;
  const auto file = folder.path() / "secret";
  const auto with = [&](std::string_view text, int mode = 0600) {
    write_text(file, text);
    chmod(file.c_str(), static_cast<mode_t>(mode));
    return secret_fault(file);
  };
  CHECK(with("sec-Marked") == "ok");
  CHECK(with("sec-Marked\n") == "ok");
  CHECK(read_secret_file(file.native(), {}).value().expose() == "sec-Marked");
  CHECK(with("sec-Marked\r\n") == "ok");
  CHECK(with(std::string(8192, 'x')) == "ok");
  CHECK(with("") == "secret.empty");
  CHECK(with("\n") == "secret.empty");
  CHECK(with("two\nlines\n") == "secret.malformed");
  CHECK(with("a b/c+d") == "ok");
  CHECK(with(" a") == "secret.malformed");
  CHECK(with("a \n") == "secret.malformed");
  CHECK(with("a\tb") == "secret.malformed");
  CHECK(with("caf\xc3\xa9") == "secret.malformed");
  CHECK(with(std::string_view("a\0b", 3)) == "secret.malformed");
  CHECK(with(std::string(8193, 'x')) == "secret.malformed");
  CHECK(with(std::string(20'000, 'x')) == "file.too_large");
  CHECK(with("sec-Marked", 0644) == "location.permissions");
  CHECK(secret_fault(folder.path() / "missing") == "secret.no_file");
  CHECK(secret_fault(folder.path()) != "ok");
}

TEST_CASE("read_client_secret: is what the command prints", "[cli]") {
  const auto of = [](std::vector<std::string> words) {
    SecretSource source;
    source.command = std::move(words);
    return read_client_secret(source, {});
  };
  CHECK(of({"echo", "sec-Marked"}).value().expose() == "sec-Marked");
  CHECK(fault(of({"false"})) == "secret.command");
  CHECK(fault(of({"true"})) == "secret.empty");
  CHECK(fault(of({"printf", "a\\nb"})) == "secret.malformed");
  CHECK(fault(of({"/nowhere/pass"})) == "process.not_started");
  CHECK(of({"false", "Marked"}).error().message.find("Marked") == std::string::npos);
}
