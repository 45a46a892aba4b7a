// SPDX-License-Identifier: MIT
#include <sys/stat.h>
#include <catch2/catch_test_macros.hpp>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

import latchkey.cli.profile.client;
import latchkey.core;
import latchkey.oauth.server_metadata;
import latchkey.sandbox;
import latchkey.session;
import latchkey.store;
import latchkey.test.folder;
import latchkey.test.provider;
import latchkey.test.sandbox_world;
import latchkey.test.tool;
import latchkey.test.tool_places;

// One name, and two providers, two tenants, or a file and a session that are not of each other.

using namespace latchkey;
using namespace latchkey::test;
using Json = nlohmann::json;
using Words = std::vector<std::string>;
namespace fs = std::filesystem;

namespace {

constexpr std::string_view kBesideWork = "revoking|0102030405060708|work";

bool has(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

Json error_of(const ToolRun& run) {
  const auto begin = run.err.find("{\"error\"");
  return begin == std::string::npos ? Json::object() : Json::parse(run.err.substr(begin))["error"];
}

void as_client(OAuthSession& session) {
  session.client_id = "my client";
  session.resource_server.clear();
  session.handle.clear();
}

void as_secret_client(OAuthSession& session) {
  as_client(session);
  session.client_auth_method = ClientAuthMethod::client_secret_basic;
}

void as_logged_out(OAuthSession& session) {
  session.state = SessionState::revoking;
  session.state_cause = "session.logged_out";
  session.state_changed_at = session.issued_at;
  session.access_token = SecretString{};
}

// Sessions of "my client" at a server, and the file of the profile "work".
struct Planted {
  Services services{};
  Home home{};

  [[nodiscard]] fs::path file() const { return home.data_dir() / "config/profiles/work.json"; }
  void configure(std::string_view text, mode_t mode = 0600) const {
    fs::create_directories(file().parent_path());
    chmod(file().parent_path().c_str(), 0700);
    write_text(file(), text);
    chmod(file().c_str(), mode);
  }
  [[nodiscard]] std::string config(const std::string& issuer, const std::string& more = {}) const {
    return R"({"issuer":")" + issuer + R"(","client_id":"my client")" + more + "}";
  }
  void beside(void (*client)(OAuthSession&) = as_client) const {
    home.plant(kBesideWork, services.origin(), [client](OAuthSession& session) {
      client(session);
      as_logged_out(session);
    });
  }
  [[nodiscard]] ToolRun operator()(Words words) const {
    return run(home.start(std::move(words), services));
  }
};

std::string secret_at(const fs::path& file) {
  return R"(,"client_auth":"client_secret_basic","client_secret_file":")" + file.native() + "\"";
}

}  // namespace

TEST_CASE("check_name_free: a name belongs to one client at one server", "[cli]") {
  const Home home;
  home.plant("work", "https://id.test/a", as_client);
  home.plant("plain", "https://id.test", [](OAuthSession& session) {
    as_client(session);
    session.issuer.clear();
  });
  home.plant("ended", "https://id.test/a", [](OAuthSession& session) {
    as_client(session);
    session.state = SessionState::dead;
    session.state_cause = "refresh.invalid_grant";
    session.state_changed_at = session.issued_at;
    session.access_token = SecretString{};
    session.refresh_token.reset();
  });
  const auto store = home.store();
  const auto fault = [&](const std::string& name, const std::string& client,
                         const std::string& issuer, const std::string& token) {
    ServerMetadata server;
    server.issuer = issuer;
    server.token_endpoint = token;
    const auto free = cli::check_name_free(*store, name, client, server);
    return free ? std::string("ok") : free.error().detail;
  };
  const std::string mine = "my client", token = "https://id.test/a/token";
  CHECK(fault("work", mine, "https://id.test/b", "https://id.test/b/token") == "profile.taken");
  CHECK(fault("work", mine, "https://id.test/b", token) == "profile.taken");
  CHECK(fault("work", mine, "", token) == "profile.taken");
  CHECK(fault("work", "other", "https://id.test/a", token) == "profile.taken");
  CHECK(fault("work", "", "", "") == "profile.taken");
  CHECK(fault("plain", mine, "", "https://other.test/token") == "profile.taken");
  CHECK(fault("plain", mine, "https://id.test", "https://id.test/token") == "profile.taken");
  CHECK(fault("plain", mine, "", "https://id.test/token") == "ok");
  CHECK(fault("work", mine, "https://id.test/a", "https://moved.test/token") == "ok");
  CHECK(fault("ended", "other", "https://id.test/b", token) == "ok");
  CHECK(fault("nobody", mine, "https://id.test/b", token) == "ok");
}

TEST_CASE("login: a name that another provider's session has is not taken over", "[cli]") {
  Provider p;
  const Provider other;
  REQUIRE(p.log_in_to_work().status == 0);
  const std::string before = p.config_of("work");
  const std::string token(p.stored("work").access_token.expose());
  const unsigned live = p.servers->live_sessions("alice.test");
  const ToolRun refused = p.log_in({"--profile", "work", "--issuer", other.servers->issuer(),
                                    "--client-id", "public app", "--scope", "profile", "--json"});
  CHECK(refused.status == 4);
  CHECK(error_of(refused)["detail"] == "profile.taken");
  CHECK(p.config_of("work") == before);
  CHECK(p.stored("work").access_token.expose() == token);
  CHECK(p.servers->live_sessions("alice.test") == live);
  CHECK(run(p.start({"refresh"})).status == 0);
}

TEST_CASE("login: one that fails leaves the file of the session that is there", "[cli]") {
  Provider p;
  REQUIRE(p.log_in_to_work().status == 0);
  const std::string before = p.config_of("work");
  const ToolRun failed = run(p.start({"login", "--profile", "work", "--origin",
                                      "https://elsewhere.test", "--no-browser", "--timeout", "1"}));
  CHECK(failed.status == 1);
  CHECK(p.config_of("work") == before);
  REQUIRE(p.log_in({"--profile", "work", "--origin", "https://elsewhere.test"}).status == 0);
  CHECK(has(p.config_of("work"), "https://elsewhere.test"));
}

TEST_CASE("login: a logout meanwhile does not take the file of the session that comes", "[cli]") {
  Provider p;
  Tool tool(p.start({"login", "--profile", "work", "--issuer", p.servers->issuer(), "--client-id",
                     "public app", "--scope", "profile", "--no-browser", "--parameter",
                     "login_hint=alice.test"}));
  REQUIRE(tool.says("waiting for you"));
  CHECK(run(p.start({"logout", "--profile", "work"})).status == 0);
  CHECK(p.config_of("work").empty());
  const auto page = Url::parse(shown_address(tool.said()));
  REQUIRE(page);
  REQUIRE(p.browser.open(*page));
  CHECK(tool.finish().status == 0);
  CHECK(has(p.config_of("work"), p.servers->issuer()));
}

TEST_CASE("request: the origins of a file that is of another provider get no token", "[cli]") {
  const Planted w;
  const Services elsewhere;
  const std::string origins = R"(,"origins":[")" + elsewhere.origin() + "\"]";
  const Words words{"request", "GET", elsewhere.origin() + "/x", "--json"};
  w.home.plant("work", w.services.origin(), as_client);
  w.configure(w.config(elsewhere.origin(), origins));
  const ToolRun refused = w(words);
  CHECK(refused.status == 1);
  CHECK(error_of(refused)["detail"] == "resource.other_origin");
  CHECK(elsewhere.requests_to("/x").empty());
  w.configure(w.config(w.services.origin(), origins));
  static_cast<void>(w(words));
  CHECK(elsewhere.requests_to("/x").size() == 1);
}

TEST_CASE("refresh: the secret in a file that is of another provider is not sent", "[cli]") {
  const Planted w;
  const fs::path secret = w.home.path() / "secret";
  write_text(secret, "sec-Marked");
  chmod(secret.c_str(), 0600);
  w.home.plant("work", w.services.origin(), as_secret_client);
  for (const std::string& issuer :
       {std::string("https://other.test"), w.services.origin() + "/tenant"}) {
    CAPTURE(issuer);
    w.configure(w.config(issuer, secret_at(secret)));
    const ToolRun refused = w({"refresh", "--json"});
    CHECK(refused.status == 1);
    CHECK(error_of(refused)["detail"] == "profile.secret_missing");
  }
  CHECK(w.services.requests_to("/token").empty());
  w.configure(w.config(w.services.origin(), secret_at(secret)));
  static_cast<void>(w({"refresh"}));
  REQUIRE(w.services.requests_to("/token").size() == 1);
  CHECK(has(w.services.requests_to("/token")[0], "Basic "));
}

TEST_CASE("logout: what is kept beside a profile is ended as the profile's client", "[cli]") {
  for (const Words& words : std::vector<Words>{
           {"logout", "--json"}, {"logout", "--profile", "work", "--json"}, {"logout", "--all"}}) {
    CAPTURE(words);
    const Planted w;
    w.beside();
    const ToolRun logout = w(words);
    INFO(logout.err);
    CHECK(logout.status == 0);
    REQUIRE(w.services.requests_to("/revoke").size() == 1);
    CHECK(has(body_of_request(w.services.requests_to("/revoke")[0]), "client_id=my"));
    CHECK(w({"sessions", "--json"}).out == "[]\n");
  }
}

TEST_CASE(
    "logout: what is kept beside a profile stays while its secret is missing, or is forgotten",
    "[cli]") {
  const Planted w;
  w.beside(as_secret_client);
  const ToolRun pending = w({"logout", "--json"});
  CHECK(pending.status == 1);
  CHECK(Json::parse(pending.out)["outcome"] == "pending");
  CHECK(w.services.requests_to("/revoke").empty());
  const ToolRun forgotten = w({"logout", "--forget", "--json"});
  CHECK(forgotten.status == 0);
  CHECK(Json::parse(forgotten.out)["outcome"] == "forgotten");
  CHECK(w({"sessions", "--json"}).out == "[]\n");
}

TEST_CASE("logout: the profile's file stays as long as a logout kept beside needs it", "[cli]") {
  const Planted w;
  w.home.plant("work", w.services.origin(), as_client);
  w.beside(as_secret_client);
  w.configure(w.config(w.services.origin()));
  const ToolRun first = w({"logout", "--json"});
  CHECK(Json::parse(first.out)["subject"] == "work");
  CHECK(fs::exists(w.file()));
  const ToolRun second = w({"logout", "--forget", "--profile", "work", "--json"});
  CHECK(Json::parse(second.out)["subject"] == kBesideWork);
  CHECK_FALSE(fs::exists(w.file()));
}

TEST_CASE("logout: the logouts of one profile that are left are finished together", "[cli]") {
  const Planted w;
  w.beside();
  w.home.plant("work", w.services.origin(), [](OAuthSession& session) {
    as_client(session);
    as_logged_out(session);
  });
  CHECK(w({"whoami", "--profile", "work"}).status == 3);
  CHECK(w({"logout"}).status == 0);
  CHECK(w({"sessions", "--json"}).out == "[]\n");
  w.beside();
  w.home.plant(kAlice, w.services.origin(), as_logged_out);
  CHECK(w({"logout"}).status == 2);
}

TEST_CASE("logout: a profile's file that can't be read is said, and does not stand in the way",
          "[cli]") {
  for (const bool open_to_all : {false, true}) {
    CAPTURE(open_to_all);
    const Planted w;
    w.home.plant("work", w.services.origin(), as_client);
    w.configure(open_to_all ? w.config(w.services.origin()) : "{",
                open_to_all ? mode_t{0644} : mode_t{0600});
    const ToolRun refresh = w({"refresh", "--json"});
    CHECK(refresh.status == 1);
    CHECK(w.services.requests_to("/token").empty());
    const ToolRun logout = w({"logout"});
    CHECK(logout.status == 0);
    CHECK(has(logout.err, "counts as absent"));
    CHECK(w.services.requests_to("/revoke").size() == 1);
    CHECK_FALSE(fs::exists(w.file()));
  }
}

TEST_CASE("logout: without a file that can be read, a session that needs its secret is forgotten",
          "[cli]") {
  const Planted w;
  w.home.plant("work", w.services.origin(), as_secret_client);
  w.configure("{");
  CHECK(w({"logout"}).status == 1);
  CHECK(fs::exists(w.file()));
  CHECK(w({"logout", "--forget"}).status == 0);
  CHECK(w({"sessions", "--json"}).out == "[]\n");
  CHECK_FALSE(fs::exists(w.file()));
}
