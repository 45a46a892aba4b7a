// SPDX-License-Identifier: MIT
#include <sys/stat.h>
#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

import latchkey.core;
import latchkey.session;
import latchkey.store;
import latchkey.store.vault;
import latchkey.store.vault.file_vault;
import latchkey.store.vault.master_key;
import latchkey.test.folder;
import latchkey.test.tool;
import latchkey.test.tool_places;

// The vault's master key and data keys, at a shell. No bus is in reach of these tests, so that
// nobody's keychain is.

using namespace latchkey;
using namespace latchkey::test;

namespace {

using Json = nlohmann::json;

constexpr std::string_view kPrinted = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";

Json result(const ToolRun& run) {
  INFO(run.err);
  REQUIRE(run.status == 0);
  return Json::parse(run.out);
}

std::string error_of(const ToolRun& run) {
  const auto line = run.err.rfind("{\"error\"");
  INFO(run.err);
  REQUIRE(line != std::string::npos);
  return std::to_string(run.status) + " " +
         Json::parse(run.err.substr(line))["error"]["detail"].get<std::string>();
}

ToolRun tool(const Home& home, std::vector<std::string> words) {
  words.push_back("--json");
  return run(home.start(std::move(words)));
}

// With a terminal, at which somebody types. script is the one program that gives it one.
ToolRun at_terminal(const Home& home, std::vector<std::string> words, std::string text) {
  ToolStart start = home.start(std::move(words));
  std::string line;
  for (const auto& word : start.words) line += (line.empty() ? "'" : " '") + word + "'";
  start.words = {"/usr/bin/script", "-qec", line, "/dev/null"};
  start.input = typed(std::move(text));
  return run(std::move(start));
}

std::string command_file(const Home& home, std::string_view printed = kPrinted) {
  const auto path = home.path() / "print-key";
  write_text(path, "#!/bin/sh\necho " + std::string(printed) + "\n");
  chmod(path.c_str(), 0700);
  return "command:" + path.string();
}

}  // namespace

TEST_CASE("vault: without a keychain in reach a key file is chosen, and said once", "[vault]") {
  const Home home;
  const auto first = run(home.start({"vault", "status"}));
  CHECK(first.status == 0);
  CHECK(first.err.find("its master key: key-file") != std::string::npos);
  CHECK(first.err.find("not against programs that run as you") != std::string::npos);
  const auto second = run(home.start({"vault", "status"}));
  CHECK(second.err.empty());
  CHECK(second.out.find("key-file") != std::string::npos);
  CHECK(std::filesystem::exists(home.data_dir() / "config" / "vault.key"));
}

TEST_CASE("vault: a keychain that was asked for and is absent is an error, not a key file",
          "[vault]") {
  const Home home;
  CHECK(error_of(tool(home, {"vault", "status", "--master-key", "keychain"})) ==
        "4 keychain.no_bus");
  CHECK_FALSE(std::filesystem::exists(home.data_dir() / "config" / "vault.key"));
}

TEST_CASE("vault: a master key that is no kind is a usage error", "[vault]") {
  const Home home;
  for (const std::string_view word : {"nonsense", "command:", "command:   ", "Keychain"}) {
    CHECK(error_of(tool(home, {"sessions", "--master-key", std::string(word)})) ==
          "2 cli.master_key");
  }
  CHECK(error_of(tool(home, {"vault", "rewrap", "--to", "auto"})) == "2 cli.master_key");
  CHECK_FALSE(std::filesystem::exists(home.data_dir() / "config" / "vault.key"));
}

TEST_CASE("vault: status counts what each data key seals", "[vault]") {
  const Home home;
  home.plant();
  home.plant(kBob);
  const auto before = result(tool(home, {"vault", "status"}));
  CHECK(before["kind"] == "key-file");
  REQUIRE(before["data_keys"].size() == 1);
  CHECK(before["data_keys"][0]["keys"] == 2);
  CHECK(before["data_keys"][0]["sessions"] == 2);
}

TEST_CASE("vault: rotate seals everything anew, and the sessions go on working", "[vault]") {
  const Home home;
  home.plant();
  home.plant(kBob);
  const auto rotated = tool(home, {"vault", "rotate"});
  const auto done = result(rotated);
  CHECK(done["new_data_key"] == true);
  CHECK(done["keys_resealed"] == 2);
  CHECK(done["sessions_resealed"] == 2);
  CHECK(done["left"] == 0);
  CHECK(rotated.err.find("sessions sealed anew: 2 of 2") != std::string::npos);
  const auto after = result(tool(home, {"vault", "status"}));
  REQUIRE(after["data_keys"].size() == 2);
  CHECK(after["data_keys"][0]["sessions"] == 2);
  CHECK(after["data_keys"][1]["sessions"] == 0);
  CHECK(home.store()->load(kAlice).value()->access_token.expose() == kAccessToken);
  CHECK(error_of(tool(home, {"vault", "rotate", "--drop-old"})) == "4 vault.rotated_recently");
}

TEST_CASE("vault: a session that somebody is changing is left, with exit code 4", "[vault]") {
  const Home home;
  home.plant();
  const auto store = home.store();
  const auto lease =
      store->lease(kAlice, {.deadline = SystemClock().steady_now() + std::chrono::seconds{5}})
          .value();
  const auto done = tool(home, {"vault", "rotate"});
  CHECK(done.status == 4);
  CHECK(Json::parse(done.out)["left"] == 1);
  CHECK(store->load(kAlice).value()->access_token.expose() == kAccessToken);
}

TEST_CASE("vault: rewrap to a command, which later runs must name", "[vault]") {
  const Home home;
  home.plant();
  const auto command = command_file(home);
  CHECK(result(tool(home, {"vault", "rewrap", "--to", command}))["kind"] == "command");
  CHECK(error_of(tool(home, {"whoami"})) == "4 cli.master_key_command");
  CHECK(error_of(tool(home, {"whoami", "--master-key", "key-file"})) == "4 vault.kind");
  const auto known = run(home.start({"whoami", "--master-key", command}));
  CHECK(known.status == 0);
  ToolStart start = home.start({"whoami"});
  start.environment["LATCHKEY_MASTER_KEY"] = command;
  CHECK(run(std::move(start)).status == 0);
  command_file(home, "marked-and-no-key");
  const auto refused = tool(home, {"whoami", "--master-key", command});
  CHECK(error_of(refused) == "1 vault.command_output");
  CHECK(refused.err.find("marked") == std::string::npos);
  command_file(home, std::string(43, 'A'));
  CHECK(error_of(tool(home, {"whoami", "--master-key", command})) == "1 vault.wrong_master_key");
}

TEST_CASE("vault: rewrap to the key file it has already is refused", "[vault]") {
  const Home home;
  CHECK(error_of(tool(home, {"vault", "rewrap", "--to", "key-file"})) == "2 cli.same_key_file");
}

TEST_CASE("vault: a passphrase is asked for at the terminal, twice when it is new", "[vault]") {
  const Home home;
  home.plant();
  const auto differing =
      at_terminal(home, {"vault", "rewrap", "--to", "passphrase"}, "marked one\nmarked two\n");
  CHECK(differing.status == 2);
  CHECK(differing.out.find("differ") != std::string::npos);
  const auto done =
      at_terminal(home, {"vault", "rewrap", "--to", "passphrase"}, "marked one\nmarked one\n");
  INFO(done.out);
  REQUIRE(done.status == 0);
  const auto right = at_terminal(home, {"whoami"}, "marked one\n");
  INFO(right.out);
  CHECK(right.status == 0);
  CHECK(at_terminal(home, {"whoami"}, "marked two\n").status == 1);
  CHECK(at_terminal(home, {"whoami"}, "\n").status == 2);
  CHECK(error_of(tool(home, {"whoami"})) == "4 cli.no_terminal");
}

TEST_CASE("vault: what is typed as a passphrase is not shown, and a signal ends the waiting",
          "[vault]") {
  const Home home;
  // What the terminal shows comes as standard error.
  ToolStart start = home.start({"vault", "status", "--master-key", "passphrase"});
  std::string line;
  for (const auto& word : start.words) line += (line.empty() ? "'" : " '") + word + "'";
  start.words = {"/bin/sh", "-c", "exec /usr/bin/script -qec \"exec " + line + "\" /dev/null >&2"};
  start.input = {.kind = Input::Kind::silent};
  Tool tool(std::move(start));
  REQUIRE(tool.says("new passphrase for the vault"));
  tool.type("marked passphrase");
  REQUIRE(tool.says("the same again"));
  tool.press("\x03");  // Ctrl-C
  const auto done = tool.finish();
  CHECK(done.status != 0);
  CAPTURE(done.err);
  CHECK(done.err.find("marked") == std::string::npos);
  CHECK(done.err.find("stopped waiting for the passphrase") != std::string::npos);
}

TEST_CASE("vault: a passphrase is not taken from a pipe", "[vault]") {
  const Home home;
  ToolStart start = home.start({"vault", "status", "--master-key", "passphrase", "--json"});
  start.input = typed("from a pipe\nfrom a pipe\n");
  start.words.insert(start.words.begin(), "/usr/bin/setsid");
  start.words.insert(start.words.begin() + 1, "--wait");
  CHECK(error_of(run(std::move(start))) == "4 cli.no_terminal");
}
