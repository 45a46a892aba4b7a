// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

import latchkey.core;
import latchkey.session;
import latchkey.store;
import latchkey.test.folder;
import latchkey.test.tool;
import latchkey.test.tool_places;

// Sessions of a client with a document of its own: what it was remembered as, and what is left of a
// logout when that is gone.

using namespace latchkey;
using namespace latchkey::test;
using Json = nlohmann::json;
using Words = std::vector<std::string>;

namespace {

const std::string kClient = "https://app.example.com/client.json";

bool has(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

std::string content(const std::filesystem::path& path) {
  std::ifstream in(path);
  return {std::istreambuf_iterator<char>(in), {}};
}

std::string detail(const ToolRun& run) {
  return Json::parse(run.err.substr(run.err.find('{')))["error"]["detail"];
}

// A confidential client with its files, and services that refuse to push requests.
struct Desk {
  Desk() {
    services.on("/par", [](const std::string&) {
      return json_http(400, R"({"error":"invalid_request"})");
    });
    make_document();
  }

  [[nodiscard]] std::string path(std::string_view name) const {
    return (home.path() / name).native();
  }
  [[nodiscard]] ToolRun call(Words words) const {
    return run(home.start(std::move(words), services));
  }
  void make_document(const Words& more = {}) const {
    Words words{"client-metadata", "new",
                "--client-id",     kClient,
                "--redirect-uri",  "https://app.example.com/callback",
                "--keys",          path("keys.json")};
    words.insert(words.end(), more.begin(), more.end());
    const ToolRun made = call(std::move(words));
    REQUIRE(made.status == 0);
    std::ofstream(path("client.json")) << made.out;
  }
  [[nodiscard]] std::string newest_kid() const {
    return Json::parse(content(path("keys.json")))["keys"][0]["kid"];
  }
  /// An active session of the client, bound to this key of its.
  void plant(const std::string& kid) const {
    home.plant(kAlice, services.origin(), [&](OAuthSession& session) {
      session.client_id = kClient;
      session.client_auth_method = ClientAuthMethod::private_key_jwt;
      session.client_auth_kid = kid;
    });
  }
  [[nodiscard]] ToolRun login(const Words& more = {}) const {
    Words words{"--json", "login", "alice.test", "--client-metadata", path("client.json"),
                "--paste"};
    words.insert(words.end(), more.begin(), more.end());
    return call(std::move(words));
  }
  [[nodiscard]] ToolRun login_with_keys() const {
    return login({"--client-keys", path("keys.json")});
  }
  [[nodiscard]] std::filesystem::path remembered() const {
    return std::filesystem::directory_iterator(home.data_dir() / "config" / "clients")->path();
  }
  [[nodiscard]] std::optional<OAuthSession> stored() const {
    return home.store()->load(kAlice).value();
  }

  Home home;
  Services services;
};

}  // namespace

TEST_CASE("C7.11: logout: a client that is not remembered has its session wait to be revoked",
          "[cli]") {
  const Desk desk;
  desk.plant(desk.newest_kid());
  const ToolRun logout = desk.call({"--json", "logout"});
  CHECK(logout.status == 1);
  CHECK(Json::parse(logout.out)["outcome"] == "pending");
  CHECK(desk.stored()->state == SessionState::revoking);
  CHECK(desk.services.requests_to("/revoke").empty());
}

TEST_CASE("logout --forget: erases a session whose client can't be made any more", "[cli]") {
  const Desk desk;
  desk.plant(desk.newest_kid());
  SECTION("it is not remembered") {}
  SECTION("its keys are gone") {
    CHECK(desk.login_with_keys().status != 0);
    std::filesystem::remove(desk.path("keys.json"));
    REQUIRE(desk.call({"--json", "refresh"}).status != 0);
  }
  SECTION("what is remembered is nonsense") {
    CHECK(desk.login_with_keys().status != 0);
    std::ofstream(desk.remembered()) << "nonsense";
  }
  const ToolRun logout = desk.call({"--json", "logout", "--forget"});
  CHECK(logout.status == 0);
  CHECK(Json::parse(logout.out)["outcome"] == "forgotten");
  CHECK_FALSE(desk.stored());
  CHECK(desk.home.vault()->list().value().empty());
}

TEST_CASE("logout: a remembered public client whose document breaks a later rule still revokes",
          "[cli]") {
  const Desk desk;
  desk.home.plant(kAlice, desk.services.origin(),
                  [](OAuthSession& session) { session.client_id = kClient; });
  std::ofstream(desk.path("client.json"))
      << R"({"client_id":")" << kClient << R"(","redirect_uris":["https://app.example.com/cb"],)"
      << R"("scope":"atproto","dpop_bound_access_tokens":true,)"
      << R"("token_endpoint_auth_method":"none"})";
  CHECK(desk.login().status != 0);
  Json remembered = Json::parse(content(desk.remembered()));
  Json document = Json::parse(remembered["document"].get<std::string>());
  document["scope"] = "openid atproto";
  remembered["document"] = document.dump();
  std::ofstream(desk.remembered()) << remembered.dump();
  const ToolRun logout = desk.call({"--json", "logout"});
  CHECK(logout.status == 0);
  CHECK(Json::parse(logout.out)["outcome"] == "revoked");
}

TEST_CASE("login: commands other than logout still say that the client is not remembered",
          "[cli]") {
  const Desk desk;
  desk.plant(desk.newest_kid());
  const ToolRun refused = desk.call({"--json", "refresh"});
  CHECK(refused.status != 0);
  CHECK(detail(refused) == "client.not_remembered");
}

TEST_CASE("C8.3: login: keys that lack the one of a stored session are refused", "[cli]") {
  const Desk desk;
  desk.plant("an-older-key");
  const ToolRun refused = desk.login_with_keys();
  CHECK(detail(refused) == "client.key_in_use");
  CHECK_FALSE(std::filesystem::exists(desk.home.data_dir() / "config" / "clients"));
  CHECK(desk.services.requests_to("/par").empty());
}

TEST_CASE("C8.3: login: the key of a session that has ended is in nobody's way", "[cli]") {
  const Desk desk;
  desk.home.plant(kAlice, desk.services.origin(), [](OAuthSession& session) {
    session.client_id = kClient;
    session.client_auth_method = ClientAuthMethod::private_key_jwt;
    session.client_auth_kid = "an-older-key";
    session.state = SessionState::dead;
    session.access_token = SecretString{};
    session.refresh_token.reset();
  });
  CHECK(detail(desk.login_with_keys()) != "client.key_in_use");
}

TEST_CASE("login: one that fails leaves what was remembered of the client before", "[cli]") {
  const Desk desk;
  CHECK(desk.login_with_keys().status != 0);
  const std::string before = content(desk.remembered());
  REQUIRE(has(before, "keys.json"));
  desk.plant(desk.newest_kid());
  std::filesystem::copy(desk.path("keys.json"), desk.path("copy.json"));
  const ToolRun failed = desk.login({"--client-keys", desk.path("copy.json")});
  CHECK(detail(failed) == "handle.not_found");
  CHECK(content(desk.remembered()) == before);
}
