// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

import latchkey.core;
import latchkey.session;
import latchkey.store;
import latchkey.test.folder;
import latchkey.test.tool;
import latchkey.test.tool_places;

// An API key that is kept as a profile.

using namespace latchkey;
using namespace latchkey::test;
using Json = nlohmann::json;
using Words = std::vector<std::string>;

namespace {

bool has(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

constexpr std::string_view kKey = "key-Marked-0123456789";

struct Keyed {
  Services services{};
  Home home{};

  [[nodiscard]] ToolRun keep(std::string_view key, Words more = {}) const {
    Words words{"login", "--profile", "api", "--api-key-file", "-", "--origin", services.origin()};
    words.insert(words.end(), more.begin(), more.end());
    ToolStart start = home.start(std::move(words), services);
    start.input = typed(std::string(key));
    return run(std::move(start));
  }
  [[nodiscard]] ToolRun operator()(Words words) const {
    return run(home.start(std::move(words), services));
  }
};

Json error_of(const ToolRun& run) {
  return Json::parse(run.err)["error"];
}

}  // namespace

TEST_CASE("login --api-key-file: the key is sealed, and sent where its profile says", "[cli]") {
  Keyed k;
  const ToolRun kept = k.keep(std::string(kKey) + "\n");
  INFO(kept.err);
  REQUIRE(kept.status == 0);
  CHECK(kept.out == "logged in as api\n");
  CHECK(k.home.store()->load("api").value()->access_token.expose() == kKey);
  const auto sessions = read_text(k.home.data_dir() / "data" / "sessions.db").value_or("");
  CHECK_FALSE(has(sessions, kKey));
  k.services.on("/v1/me", [](const std::string&) { return json_http(200, R"({"me":1})"); });
  const ToolRun request = k({"request", "GET", "/v1/me"});
  CHECK(request.out == "{\"me\":1}\n");
  REQUIRE(k.services.requests_to("/v1/me").size() == 1);
  CHECK(has(k.services.requests_to("/v1/me")[0],
            "\r\nAuthorization:Bearer " + std::string(kKey) + "\r\n"));
  CHECK(k({"token", "--reveal"}).out == std::string(kKey) + "\n");
  const ToolRun token = k({"token"});
  CHECK(token.out.starts_with("Bearer token "));
  const ToolRun proof = k({"dpop", "GET", k.services.origin() + "/v1/me", "--json"});
  CHECK(proof.status == 2);
  CHECK(error_of(proof)["detail"] == "cli.no_proof");
  CHECK_FALSE(has(kept.out + kept.err + request.err + token.out + token.err, "Marked"));
}

TEST_CASE("login --api-key-file: another key takes the place of the first", "[cli]") {
  const Keyed k;
  REQUIRE(k.keep("key-Marked-1").status == 0);
  REQUIRE(k.keep("key-Marked-2").status == 0);
  CHECK(k.home.store()->load("api").value()->access_token.expose() == "key-Marked-2");
}

TEST_CASE("login --api-key-file: nothing renews a key, which is said", "[cli]") {
  Keyed k;
  REQUIRE(k.keep(kKey).status == 0);
  const ToolRun refresh = k({"refresh", "--json"});
  CHECK(refresh.status == 3);
  CHECK(error_of(refresh)["code"] == "login_required");
  const Json status = Json::parse(k({"status", "--json"}).out)["sessions"][0];
  CHECK(status["kind"] == "api_key");
  CHECK(status["state"] == "ready");
  CHECK(status["renewable"] == false);
  k.services.on("/v1/me", [](const std::string&) {
    return json_http(401, "{}", "WWW-Authenticate: Bearer error=\"invalid_token\"\r\n");
  });
  CHECK(k({"request", "GET", "/v1/me"}).status == 3);
}

TEST_CASE("login --api-key-file: logout erases the key, and tells that nobody else was told",
          "[cli]") {
  const Keyed k;
  REQUIRE(k.keep(kKey).status == 0);
  const ToolRun logout = k({"logout"});
  CHECK(logout.status == 0);
  CHECK(has(logout.err, "the provider can't be told"));
  CHECK_FALSE(k.home.store()->load("api").value().has_value());
  CHECK(std::filesystem::is_empty(k.home.data_dir() / "config" / "profiles"));
}

TEST_CASE("login --api-key-file: what is no key is not kept", "[cli]") {
  const Keyed k;
  const auto refused = [&](std::string_view key, Words more = {}) {
    more.emplace_back("--json");
    const ToolRun done = k.keep(key, more);
    CHECK(done.status != 0);
    CHECK_FALSE(has(done.err, "Marked"));
    return error_of(done)["detail"].get<std::string>();
  };
  CHECK(refused("") == "secret.empty");
  CHECK(refused("\n") == "secret.empty");
  CHECK(refused("key-Marked\nkey-Marked\n") == "secret.malformed");
  CHECK(refused("key Marked") == "secret.malformed");
  CHECK(refused(std::string(9000, 'x')) == "cli.input");
  CHECK(refused(kKey, {"--client-id", "a"}) == "profile.not_for_api_key");
  CHECK(refused(kKey, {"--issuer", "https://id.example.com"}) == "profile.not_for_api_key");
  CHECK(refused(kKey, {"--origin", "http://192.0.2.1"}) == "profile.insecure_url");
  CHECK_FALSE(std::filesystem::exists(k.home.data_dir() / "config" / "profiles"));
  CHECK_FALSE(k.home.store()->load("api").value().has_value());
}

TEST_CASE("login --api-key-file: a file that others may read is refused", "[cli]") {
  const Keyed k;
  const auto file = k.home.path() / "key";
  write_text(file, kKey);
  std::filesystem::permissions(file, std::filesystem::perms(0644));
  const ToolRun refused =
      k({"login", "--profile", "api", "--api-key-file", file.native(), "--json"});
  CHECK(refused.status == 1);
  CHECK(error_of(refused)["code"] == "insecure_location");
}

TEST_CASE("login: a profile that is an API key has nothing to sign in to", "[cli]") {
  const Keyed k;
  REQUIRE(k.keep(kKey).status == 0);
  const ToolRun login = k({"login", "--profile", "api", "--json"});
  CHECK(login.status == 2);
  CHECK(error_of(login)["detail"] == "profile.is_api_key");
}
