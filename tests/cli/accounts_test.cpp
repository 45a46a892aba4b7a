// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

import latchkey.core;
import latchkey.session;
import latchkey.store;
import latchkey.store.filesystem;
import latchkey.store.vault;
import latchkey.test.folder;
import latchkey.test.tool;
import latchkey.test.tool_places;

// Who is logged in, which account a command is for, and what doctor finds.

using namespace latchkey;
using namespace latchkey::test;
using namespace std::chrono_literals;
using Json = nlohmann::json;

namespace {

bool has(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}
bool shows_secret(const ToolRun& run) {
  return has(run.out + run.err, "Marked");
}

void as_dead(OAuthSession& session) {
  session.state = SessionState::dead;
  session.state_cause = "refresh.invalid_grant";
  session.state_changed_at = session.issued_at;
  session.access_token = SecretString{};
  session.refresh_token.reset();
}

void as_revoking(OAuthSession& session) {
  session.state = SessionState::revoking;
  session.state_cause = "session.logged_out";
  session.state_changed_at = session.issued_at;
  session.access_token = SecretString{};
}

std::string detail(const ToolRun& run) {
  return Json::parse(run.err)["error"]["detail"];
}

}  // namespace

TEST_CASE("sessions: nobody is nobody, and no failure", "[cli]") {
  const Home home;
  const ToolRun text = run(home.start({"sessions"}));
  CHECK(text.status == 0);
  CHECK(text.out.empty());
  CHECK(has(text.err, "nobody is logged in"));
  const ToolRun json = run(home.start({"sessions", "--json"}));
  CHECK(json.status == 0);
  CHECK(json.out == "[]\n");
  CHECK(json.err.empty());
}

TEST_CASE("sessions: all are listed, each with what it is good for, and without a token", "[cli]") {
  const Home home;
  home.plant();
  home.plant(kBob, "https://pds.test", as_dead);
  home.plant("did:web:carol.test", "https://pds.test", as_revoking);
  home.plant("did:web:dan.test", "https://pds.test",
             [](OAuthSession& session) { session.expires_at = session.issued_at - 1h; });
  home.plant("did:web:eve.test", "https://pds.test",
             [](OAuthSession& session) { session.expires_at.reset(); });
  const ToolRun text = run(home.start({"sessions"}));
  CHECK(text.status == 0);
  CHECK(
      has(text.out,
          "active\talice.test (did:plc:ewvi7nxzyoun6zhxrhs64oiz)\ttoken good, expires in 59 min"));
  CHECK(has(text.out,
            "dead\tbob.test (did:plc:z72i7hdynmk6r22z27h6tvur)\tended (refresh.invalid_grant)"));
  CHECK(has(text.out, "revoking\t"));
  CHECK(has(text.out, "logged out, not confirmed by the server yet"));
  CHECK(has(text.out, "token expired 60 min ago"));
  CHECK(has(text.out, "token of unknown lifetime"));
  const ToolRun json = run(home.start({"sessions", "--json"}));
  CHECK(json.status == 0);
  CHECK(json.err.empty());
  const Json rows = Json::parse(json.out);
  REQUIRE(rows.size() == 5);
  CHECK(rows[0]["subject"] == kAlice);
  CHECK(rows[0]["handle"] == "alice.test");
  CHECK(rows[0]["state"] == "active");
  CHECK(rows[0]["scope"] == "atproto transition:generic");
  CHECK_FALSE(rows[0].contains("cause"));
  CHECK(rows[1]["cause"] == "refresh.invalid_grant");
  CHECK(rows[4]["expires_at"] == nullptr);
  CHECK_FALSE(shows_secret(text));
  CHECK_FALSE(shows_secret(json));
}

TEST_CASE("sessions: one that can't be read is reported and hides no other", "[cli]") {
  const Home home;
  const auto folder = home.path() / "files";
  {
    const auto store = FilesystemOAuthTokenStore::open(folder, home.vault()->sealer()).value();
    REQUIRE(store->save(home.session(kAlice), Revision{}));
    REQUIRE(store->save(home.session(kBob), Revision{}));
  }
  for (const auto& name : names_in(folder / "sessions")) {
    if (has(name, "z72i")) write_text(folder / "sessions" / name, "{");
  }
  const std::string store = "file:" + folder.native();
  const ToolRun text = run(home.start({"sessions", "--store", store}));
  CHECK(text.status == 1);
  CHECK(has(text.out, "alice.test"));
  CHECK(has(text.err, "unreadable session"));
  const ToolRun json = run(home.start({"sessions", "--json", "--store", store}));
  CHECK(json.status == 1);
  const Json rows = Json::parse(json.out);
  REQUIRE(rows.size() == 2);
  CHECK((rows[0].contains("error") != rows[1].contains("error")));
  CHECK(run(home.start({"whoami", "--store", store})).status == 0);
  CHECK(run(home.start({"whoami", "--store", store, "--account", "bob.test"})).status == 1);
}

TEST_CASE("whoami: nobody, one, several, a chosen one", "[cli]") {
  const Home home;
  const ToolRun nobody = run(home.start({"whoami", "--json"}));
  CHECK(nobody.status == 3);
  CHECK(detail(nobody) == "cli.no_session");
  CHECK(nobody.out.empty());
  home.plant();
  const ToolRun one = run(home.start({"whoami"}));
  CHECK(one.status == 0);
  CHECK(one.out == "alice.test (did:plc:ewvi7nxzyoun6zhxrhs64oiz)\n");
  CHECK(one.err.empty());
  home.plant(kBob);
  const ToolRun several = run(home.start({"whoami"}));
  CHECK(several.status == 2);
  CHECK(has(several.err, "\n  did:plc:ewvi7nxzyoun6zhxrhs64oiz (alice.test)"));
  CHECK(has(several.err, "\n  did:plc:z72i7hdynmk6r22z27h6tvur (bob.test)"));
  CHECK(detail(run(home.start({"whoami", "--json"}))) == "cli.which_account");
  for (const std::string account : {"bob.test", "BOB.test", "did:plc:z72i7hdynmk6r22z27h6tvur"}) {
    CAPTURE(account);
    const ToolRun bob = run(home.start({"whoami", "--json", "--account", account}));
    CHECK(bob.status == 0);
    CHECK(Json::parse(bob.out)["subject"] == kBob);
  }
  const ToolRun other = run(home.start({"whoami", "--json", "--account", "carol.test"}));
  CHECK(other.status == 3);
  CHECK(detail(other) == "cli.no_such_account");
}

TEST_CASE("whoami: a session that has ended is shown with its end, and a login is needed",
          "[cli]") {
  const Home home;
  home.plant(kAlice, "https://pds.test", as_dead);
  const ToolRun dead = run(home.start({"whoami", "--json"}));
  CHECK(dead.status == 3);
  CHECK(Json::parse(dead.out)["state"] == "dead");
  CHECK(has(dead.err, "refresh.invalid_grant"));
  const Home left;
  left.plant(kAlice, "https://pds.test", as_revoking);
  CHECK(run(left.start({"whoami"})).status == 3);
}

TEST_CASE("whoami: what the sealed record says counts, not what somebody wrote over it", "[cli]") {
  const Home home;
  const auto folder = home.path() / "files";
  {
    const auto store = FilesystemOAuthTokenStore::open(folder, home.vault()->sealer()).value();
    REQUIRE(store->save(home.session(kAlice), Revision{}));
  }
  const auto file = folder / "sessions" / names_in(folder / "sessions").at(0);
  std::string text = read_text(file).value();
  const auto at = text.find("alice.test");
  REQUIRE(at != std::string::npos);
  write_text(file, text.replace(at, 10, "mallo.test"));
  const ToolRun whoami =
      run(home.start({"whoami", "--json", "--store", "file:" + folder.native()}));
  CHECK(whoami.status == 1);
  CHECK(Json::parse(whoami.err)["error"]["code"] == "corrupt");
}

TEST_CASE("latchkey: a master key that is wrong, missing or too open are three answers", "[cli]") {
  const auto code = [](const Home& home) -> std::string {
    const ToolRun whoami = run(home.start({"whoami", "--json"}));
    return std::to_string(whoami.status) + " " +
           Json::parse(whoami.err)["error"]["code"].get<std::string>();
  };
  const Home home;
  home.plant();
  const auto key = home.data_dir() / "config" / "vault.key";
  const std::string right = read_text(key).value();
  write_text(key, std::string(32, 'x'));
  CHECK(code(home) == "1 wrong_key");
  std::filesystem::remove(key);
  CHECK(code(home) == "4 locked");
  write_text(key, right);
  std::filesystem::permissions(key, std::filesystem::perms(0644));
  CHECK(code(home) == "1 insecure_location");
  std::filesystem::permissions(key, std::filesystem::perms(0600));
  CHECK(run(home.start({"whoami"})).status == 0);
}
