// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

import latchkey.core;
import latchkey.sandbox;
import latchkey.session;
import latchkey.store;
import latchkey.test.folder;
import latchkey.test.provider;
import latchkey.test.tool;
import latchkey.test.tool_places;

// What can be done with a profile that is logged in.

using namespace latchkey;
using namespace latchkey::test;
using Json = nlohmann::json;
using Words = std::vector<std::string>;

namespace {

bool has(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

Json error_of(const ToolRun& run) {
  return Json::parse(run.err)["error"];
}

std::filesystem::path config(const Provider& p, std::string_view name) {
  return p.home.data_dir() / "config" / name;
}

// "work" as a public client, and "books" as one with a secret.
struct Both : Provider {
  Both() {
    REQUIRE(log_in_to_work().status == 0);
    REQUIRE(log_in({"--profile", "books", "--issuer", servers->issuer(), "--client-id", "books app",
                    "--scope", "openid offline_access", "--client-secret-file",
                    secret_file("book-secret", kBookSecret)})
                .status == 0);
  }
};

}  // namespace

TEST_CASE("profiles: two clients' sessions live in one store, each renewed as its own", "[cli]") {
  Both p;
  const ToolRun which = run(p.start({"refresh", "--json"}));
  CHECK(which.status == 2);
  CHECK(error_of(which)["detail"] == "cli.which_account");
  CHECK(has(which.err, "books"));
  for (const char* profile : {"work", "books"}) {
    CAPTURE(profile);
    const std::string before(p.stored(profile).refresh_token->expose());
    const ToolRun refresh = run(p.start({"refresh", "--profile", profile, "--json"}));
    CHECK(refresh.status == 0);
    CHECK(Json::parse(refresh.out)["subject"] == profile);
    CHECK(p.stored(profile).refresh_token->expose() != before);
  }
  CHECK(p.servers->counts().replays == 0);
}

TEST_CASE("use: chooses the account for all commands, until another word is said", "[cli]") {
  Both p;
  const ToolRun nothing = run(p.start({"use"}));
  CHECK(nothing.status == 0);
  CHECK(nothing.out.empty());
  CHECK(run(p.start({"use", "--json"})).out == "{\"default\":null}\n");
  CHECK(run(p.start({"use", "work"})).out == "work\n");
  CHECK(run(p.start({"whoami"})).out == "work\n");
  CHECK(run(p.start({"whoami", "--profile", "books"})).out == "books\n");
  CHECK(run(p.start({"whoami", "--account", "books"})).out == "books\n");
  ToolStart by_environment = p.start({"whoami"});
  by_environment.environment["LATCHKEY_PROFILE"] = "books";
  CHECK(run(by_environment).out == "books\n");
  by_environment.words.insert(by_environment.words.end(), {"--account", "work"});
  CHECK(run(by_environment).out == "work\n");
  CHECK(run(p.start({"use", "nobody"})).status == 3);
  CHECK(run(p.start({"use"})).out == "work\n");
  CHECK(run(p.start({"use", "--none"})).status == 0);
  CHECK(run(p.start({"whoami"})).status == 2);
}

TEST_CASE("use: an AT Protocol account is chosen by its handle, and kept by its DID", "[cli]") {
  const Home home;
  home.plant();
  home.plant(kBob);
  CHECK(run(home.start({"use", "bob.test"})).out == std::string(kBob) + "\n");
  CHECK(has(run(home.start({"whoami"})).out, "bob.test"));
  CHECK(run(home.start({"use", std::string(kAlice)})).status == 0);
  CHECK(has(run(home.start({"whoami"})).out, "alice.test"));
}

TEST_CASE("use: a default that is no longer logged in is said, and no other is taken", "[cli]") {
  Both p;
  REQUIRE(run(p.start({"use", "work"})).status == 0);
  REQUIRE(p.home.store()->remove("work", p.stored("work").revision));
  const ToolRun gone = run(p.start({"whoami", "--json"}));
  CHECK(gone.status == 3);
  CHECK(error_of(gone)["detail"] == "cli.not_logged_in");
  std::filesystem::remove(config(p, "profiles/work.json"));
  const ToolRun unknown = run(p.start({"whoami", "--json"}));
  CHECK(unknown.status == 3);
  CHECK(error_of(unknown)["detail"] == "cli.no_such_account");
  CHECK(has(unknown.err, "latchkey use"));
}

TEST_CASE("token: is told of, and printed only when that is asked for by name", "[cli]") {
  Provider p;
  REQUIRE(p.log_in_to_work().status == 0);
  const ToolRun text = run(p.start({"token"}));
  CHECK(text.status == 0);
  CHECK(text.out.starts_with("DPoP token "));
  const ToolRun json = run(p.start({"token", "--json"}));
  const Json facts = Json::parse(json.out);
  CHECK(facts["subject"] == "work");
  CHECK_FALSE(facts.contains("access_token"));
  p.check_no_secret(text.out + text.err + json.out + json.err);
  const std::string token(p.stored("work").access_token.expose());
  CHECK(run(p.start({"token", "--reveal"})).out == token + "\n");
  const Json revealed = Json::parse(run(p.start({"token", "--reveal", "--json"})).out);
  CHECK(revealed["access_token"] == token);
  CHECK(revealed["fingerprint"] == token_fingerprint(SecretString(token)));
}

TEST_CASE("token: one that has expired is renewed first", "[cli]") {
  Provider p;
  REQUIRE(p.log_in_to_work().status == 0);
  OAuthSession session = p.stored("work");
  const std::string before(session.access_token.expose());
  const Revision revision = session.revision;
  session.expires_at = session.issued_at - std::chrono::hours{1};
  session.revision = Revision{revision.value ^ 1};
  REQUIRE(p.home.store()->save(session, revision));
  const ToolRun token = run(p.start({"token", "--reveal"}));
  CHECK(token.status == 0);
  CHECK(token.out != before + "\n");
}

TEST_CASE("refresh: a profile whose file is gone is renewed, or says what is missing", "[cli]") {
  Both p;
  std::filesystem::remove(config(p, "profiles/work.json"));
  std::filesystem::remove(config(p, "profiles/books.json"));
  CHECK(run(p.start({"refresh", "--profile", "work"})).status == 0);
  const std::string before(p.stored("books").refresh_token->expose());
  CHECK(run(p.start({"token", "--profile", "books"})).status == 0);
  const ToolRun refused = run(p.start({"refresh", "--profile", "books", "--json"}));
  CHECK(refused.status == 1);
  CHECK(error_of(refused)["detail"] == "profile.secret_missing");
  CHECK(p.stored("books").refresh_token->expose() == before);
  CHECK(p.stored("books").state == SessionState::active);
}

TEST_CASE("refresh: a secret that can't be read costs nothing", "[cli]") {
  Both p;
  const std::string before(p.stored("books").refresh_token->expose());
  std::filesystem::remove(p.home.path() / "book-secret");
  const ToolRun refused = run(p.start({"refresh", "--profile", "books", "--json"}));
  CHECK(refused.status != 0);
  CHECK(error_of(refused)["detail"] == "secret.no_file");
  CHECK(p.stored("books").refresh_token->expose() == before);
  static_cast<void>(p.secret_file("book-secret", kBookSecret));
  CHECK(run(p.start({"refresh", "--profile", "books"})).status == 0);
}

TEST_CASE("request: goes to servers that the profile names, and to no other", "[cli]") {
  Provider p;
  const Services elsewhere;
  REQUIRE(p.log_in_to_work().status == 0);
  const ToolRun mine = run(p.start({"request", "GET", "/oauth/userinfo"}));
  INFO(mine.err);
  CHECK(mine.status == 0);
  CHECK(Json::parse(mine.out)["sub"] == p.alice.did);
  const ToolRun whole = run(p.start({"request", "GET", p.servers->issuer() + "/oauth/userinfo"}));
  CHECK(whole.status == 0);
  const ToolRun other = run(p.start({"request", "GET", elsewhere.origin() + "/x", "--json"}));
  CHECK(other.status == 1);
  CHECK(error_of(other)["detail"] == "resource.other_origin");
  CHECK(elsewhere.requests_to("/x").empty());
  REQUIRE(p.log_in_to_work({"--origin", elsewhere.origin()}).status == 0);
  static_cast<void>(run(p.start({"request", "GET", elsewhere.origin() + "/x"})));
  REQUIRE(elsewhere.requests_to("/x").size() == 1);
  CHECK(has(elsewhere.requests_to("/x")[0], "\r\nAuthorization:DPoP "));
}

TEST_CASE("record: is nothing for a profile", "[cli]") {
  Provider p;
  REQUIRE(p.log_in_to_work().status == 0);
  const ToolRun record = run(p.start({"record", "list", "app.bsky.feed.post", "--json"}));
  CHECK(record.status == 2);
  CHECK(error_of(record)["detail"] == "cli.not_atproto");
  // The provider offers proofs, so the token has a key.
  CHECK(run(p.start({"dpop", "GET", p.servers->issuer() + "/x"})).status == 0);
}

TEST_CASE("logout: ends the session at the provider, and leaves no file of the profile", "[cli]") {
  Both p;
  REQUIRE(run(p.start({"use", "books"})).status == 0);
  const unsigned before = p.servers->live_sessions("alice.test");
  const ToolRun logout = run(p.start({"logout"}));
  CHECK(logout.status == 0);
  CHECK(has(logout.out, "confirmed by the server"));
  CHECK(p.servers->live_sessions("alice.test") == before - 1);
  CHECK_FALSE(std::filesystem::exists(config(p, "profiles/books.json")));
  CHECK_FALSE(std::filesystem::exists(config(p, "current")));
  CHECK_FALSE(p.home.store()->load("books").value().has_value());
  CHECK(std::filesystem::exists(config(p, "profiles/work.json")));
  CHECK(run(p.start({"logout", "--all"})).status == 0);
  CHECK(std::filesystem::is_empty(config(p, "profiles")));
}

TEST_CASE("logout: a profile that was never logged in loses its file", "[cli]") {
  const Provider p;
  CHECK(run(p.start({"login", "--profile", "work", "--issuer", p.servers->issuer(), "--client-id",
                     "public app", "--no-browser", "--timeout", "1"}))
            .status == 1);
  REQUIRE(std::filesystem::exists(config(p, "profiles/work.json")));
  const ToolRun logout = run(p.start({"logout", "--profile", "work", "--json"}));
  CHECK(logout.status == 0);
  CHECK(Json::parse(logout.out)["outcome"] == "not_logged_in");
  CHECK_FALSE(std::filesystem::exists(config(p, "profiles/work.json")));
}
