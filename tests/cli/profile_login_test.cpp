// SPDX-License-Identifier: MIT
#include <sys/stat.h>
#include <catch2/catch_test_macros.hpp>
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

// Logging in to any provider, under a name of one's own.

using namespace latchkey;
using namespace latchkey::test;
using Json = nlohmann::json;
using Words = std::vector<std::string>;

namespace {

bool has(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

Json error_of(const ToolRun& run) {
  const auto begin = run.err.find("{\"error\"");
  if (begin == std::string::npos) return Json::object();
  return Json::parse(run.err.substr(begin))["error"];
}

// How often the token endpoint was asked.
std::size_t token_requests(const Provider& provider) {
  std::size_t count = 0;
  for (const auto& request : provider.servers->requests()) count += !request.grant_type.empty();
  return count;
}

bool has_config(const Provider& provider, std::string_view profile) {
  return std::filesystem::exists(provider.home.data_dir() / "config" / "profiles" /
                                 (std::string(profile) + ".json"));
}

}  // namespace

TEST_CASE("login --issuer: a public client by a browser, kept under the profile's name", "[cli]") {
  Provider p;
  const ToolRun login = p.log_in_to_work({"--json"});
  INFO(login.err);
  REQUIRE(login.status == 0);
  const Json session = Json::parse(login.out);
  CHECK(session["subject"] == "work");
  CHECK(session["issuer"] == p.servers->issuer());
  CHECK(session["client_id"] == "public app");
  const OAuthSession stored = p.stored("work");
  CHECK(stored.refresh_token.has_value());
  CHECK(stored.id_token.has_value());
  struct stat status{};
  REQUIRE(stat((p.home.data_dir() / "config/profiles/work.json").c_str(), &status) == 0);
  CHECK((status.st_mode & 0777) == 0600);
  p.check_no_secret(login.out + login.err + p.config_of("work"));
}

TEST_CASE("login --issuer: the profile is named after the issuer if it was given no name",
          "[cli]") {
  Provider p;
  const ToolRun login = p.log_in({"--issuer", p.servers->issuer(), "--client-id", "public app",
                                  "--scope", "profile", "--json"});
  INFO(login.err);
  REQUIRE(login.status == 0);
  const std::string name = Json::parse(login.out)["subject"];
  CHECK(name.starts_with("localhost-"));
  CHECK(has_config(p, name));
}

TEST_CASE("login --issuer: a client with a secret, from a file and from a command", "[cli]") {
  for (const bool by_command : {false, true}) {
    CAPTURE(by_command);
    Provider p;
    const std::string file = p.secret_file("book-secret", std::string(kBookSecret) + "\n");
    const Words secret = by_command ? Words{"--client-secret-command", "cat " + file}
                                    : Words{"--client-secret-file", file};
    Words words{"--profile",   "books",     "--issuer", p.servers->issuer(),
                "--client-id", "books app", "--scope",  "openid offline_access"};
    words.insert(words.end(), secret.begin(), secret.end());
    const ToolRun login = p.log_in(words);
    INFO(login.err);
    REQUIRE(login.status == 0);
    CHECK(p.stored("books").client_auth_method == ClientAuthMethod::client_secret_basic);
    const ToolRun refresh = run(p.start({"refresh"}));
    CHECK(refresh.status == 0);
    p.check_no_secret(login.out + login.err + refresh.out + refresh.err + p.config_of("books"));
    CHECK(has(p.config_of("books"), "client_secret_"));
  }
}

TEST_CASE("login --profile: logs in again as the file says", "[cli]") {
  Provider p;
  REQUIRE(p.log_in_to_work().status == 0);
  const std::uint64_t first = p.stored("work").login_id;
  const ToolRun again = p.log_in({"--profile", "work"});
  INFO(again.err);
  CHECK(again.status == 0);
  CHECK(p.stored("work").login_id != first);
}

TEST_CASE("login: endpoints instead of discovery", "[cli]") {
  Provider p;
  const std::string issuer = p.servers->issuer();
  const ToolRun login =
      p.log_in({"--profile", "work", "--client-id", "public app", "--scope", "profile",
                "--authorization-endpoint", issuer + "/oauth/authorize", "--token-endpoint",
                issuer + "/oauth/token"});
  INFO(login.err);
  REQUIRE(login.status == 0);
  for (const auto& request : p.servers->requests()) CHECK_FALSE(has(request.path, "/.well-known/"));
  CHECK(run(p.start({"token"})).status == 0);
}

TEST_CASE("login: openid from endpoints needs the keys, or the word that they are not needed",
          "[cli]") {
  Provider p;
  const std::string issuer = p.servers->issuer();
  Words words{"--profile",
              "work",
              "--issuer",
              issuer,
              "--client-id",
              "public app",
              "--scope",
              "openid",
              "--authorization-endpoint",
              issuer + "/oauth/authorize",
              "--token-endpoint",
              issuer + "/oauth/token",
              "--json"};
  const ToolRun refused = p.log_in(words);
  CHECK(refused.status == 2);
  CHECK(error_of(refused)["detail"] == "profile.no_jwks");
  CHECK_FALSE(has_config(p, "work"));
  words.emplace_back("--without-jwks-validation");
  CHECK(p.log_in(words).status == 0);
  words.back() = "--jwks-endpoint";
  words.push_back(issuer + "/oauth/jwks");
  CHECK(p.log_in(words).status == 0);
}

TEST_CASE("login --issuer: a pasted address of another login is refused", "[cli]") {
  const Provider p;
  ToolStart start =
      p.start({"login", "--profile", "work", "--issuer", p.servers->issuer(), "--client-id",
               "public app", "--scope", "profile", "--paste", "--json"});
  start.input = {.kind = Input::Kind::silent};
  Tool tool(std::move(start));
  REQUIRE(tool.says("press Enter:"));
  tool.type("http://127.0.0.1/callback?state=stale&code=x");
  const ToolRun other = tool.finish();
  CHECK(other.status == 1);
  CHECK(error_of(other)["detail"] == "callback.pasted_other");
  CHECK(has_config(p, "work"));
  CHECK_FALSE(p.home.store()->load("work").value().has_value());
}

TEST_CASE("login: what is set by half is refused before anybody is asked", "[cli]") {
  const Provider p;
  const std::string secret = p.secret_file("secret", kBookSecret);
  struct Case {
    Words words;
    Environment environment;
    std::string detail;
  };
  for (const auto& [words, environment, detail] : std::vector<Case>{
           {{}, {}, "profile.incomplete"},
           {{"--client-id", "a", "--client-auth", "client_secret_post"}, {}, "profile.half_set"},
           {{"--client-id", "a", "--client-auth", "none", "--client-secret-file", secret},
            {},
            "profile.half_set"},
           {{"--client-id", "a", "--client-secret-file", secret, "--client-secret-command", "x"},
            {},
            "profile.half_set"},
           {{}, {{"LATCHKEY_CLIENT_SECRET_FILE", secret}}, "profile.half_set"},
           {{"--client-id", "a", "--client-auth", "private_key_jwt"}, {}, "profile.bad_value"},
           {{"--client-id", "a", "--token-endpoint", "http://192.0.2.1/t"}, {}, "profile.half_set"},
           {{"--client-id", "a", "--parameter", "state=x"}, {}, "authorization.reserved_parameter"},
           {{"--client-id", "a", "--parameter", "novalue"}, {}, "profile.parameter"},
           {{"--client-id", "a", "--config", "/nowhere.json"}, {}, "cli.input"},
       }) {
    CAPTURE(words, detail);
    Words all{"login", "--issuer", p.servers->issuer(), "--json"};
    all.insert(all.end(), words.begin(), words.end());
    ToolStart start = p.start(all);
    start.environment.insert(environment.begin(), environment.end());
    const ToolRun refused = run(std::move(start));
    CHECK((refused.status == 1 || refused.status == 2));
    CHECK(error_of(refused)["detail"] == detail);
    p.check_no_secret(refused.err);
  }
  CHECK(p.servers->requests().empty());
  CHECK_FALSE(std::filesystem::exists(p.home.data_dir() / "config" / "profiles"));
}

TEST_CASE("login: the environment's client is a pair, and counts only where none is named",
          "[cli]") {
  Provider p;
  const std::string secret = p.secret_file("secret", kBookSecret);
  ToolStart start = p.start({"login", "--profile", "books", "--issuer", p.servers->issuer(),
                             "--no-browser", "--timeout", "1", "--json"});
  start.environment["LATCHKEY_CLIENT_ID"] = "books app";
  start.environment["LATCHKEY_CLIENT_SECRET_FILE"] = secret;
  CHECK(run(start).status == 1);  // nobody came
  CHECK(Json::parse(p.config_of("books"))["client_id"] == "books app");
  CHECK(Json::parse(p.config_of("books"))["client_secret_file"] == secret);
  start.words.insert(start.words.end(), {"--profile", "work", "--client-id", "public app"});
  start.words.erase(start.words.begin() + 4, start.words.begin() + 6);  // --profile books
  CHECK(run(start).status == 1);
  CHECK(Json::parse(p.config_of("work"))["client_id"] == "public app");
  CHECK_FALSE(Json::parse(p.config_of("work")).contains("client_secret_file"));
}

TEST_CASE("login: words that do not go together are a usage error", "[cli]") {
  const Provider p;
  for (const Words& words : std::vector<Words>{
           {"login"},
           {"login", "alice.test", "--issuer", p.servers->issuer()},
           {"login", "alice.test", "--device"},
           {"login", "--profile", "a/b", "--issuer", p.servers->issuer(), "--client-id", "a"},
           {"login", "--profile", "unknown"},
           {"login", "--client-id", "a"},
           {"login", "--issuer", "not a url", "--client-id", "a"},
           {"login", "--api-key-file", "-"},
           {"whoami", "--profile", "a", "--account", "b"},
           {"login", "--issuer", p.servers->issuer(), "--client-id", "a", "--port", "70000"},
       }) {
    CAPTURE(words);
    CHECK(run(p.start(words)).status == 2);
  }
  CHECK(p.servers->requests().empty());
}

TEST_CASE("login: a name that another client's session has is not taken over", "[cli]") {
  Provider p;
  REQUIRE(p.log_in_to_work().status == 0);
  const std::string before = p.config_of("work");
  const std::string secret = p.secret_file("secret", kBookSecret);
  const ToolRun other =
      p.log_in({"--profile", "work", "--issuer", p.servers->issuer(), "--client-id", "books app",
                "--client-secret-file", secret, "--json"});
  CHECK(other.status == 4);
  CHECK(error_of(other)["detail"] == "profile.taken");
  CHECK(p.config_of("work") == before);
  const std::string key = p.secret_file("key", "key-Marked");
  const ToolRun api_key =
      run(p.start({"login", "--profile", "work", "--api-key-file", key, "--json"}));
  CHECK(error_of(api_key)["detail"] == "profile.taken");
  CHECK(run(p.start({"token"})).status == 0);
}

TEST_CASE("login: less granted than asked for is said", "[cli]") {
  Provider p;
  const ToolRun login = p.log_in_to_work({"--scope", "openid calendar"});
  INFO(login.err);
  if (login.status == 0) CHECK(has(login.err, "missing: calendar"));
}

TEST_CASE("login: an unknown client, or a wrong secret, is said without the secret", "[cli]") {
  Provider p;
  const std::string wrong = p.secret_file("wrong", "sec-Marked-wrong");
  const ToolRun refused =
      p.log_in({"--profile", "books", "--issuer", p.servers->issuer(), "--client-id", "books app",
                "--client-secret-file", wrong, "--json"});
  CHECK(refused.status == 1);
  CHECK(error_of(refused)["code"] == "invalid_client");
  p.check_no_secret(refused.err + refused.out);
  CHECK_FALSE(p.home.store()->load("books").value().has_value());
}

TEST_CASE("login: a machine without a browser is told of what helps", "[cli]") {
  const Provider p;
  ToolStart start = p.start({"login", "--profile", "work", "--issuer", p.servers->issuer(),
                             "--client-id", "public app", "--timeout", "1"});
  start.environment["LATCHKEY_HEADLESS"] = "1";
  start.environment["BROWSER"] = "/bin/true";
  const ToolRun waited = run(start);
  CHECK(waited.status == 1);
  CHECK(has(waited.err, "LATCHKEY_HEADLESS is set: log in with --device"));
  CHECK_FALSE(has(waited.err, "opening your browser"));
}

TEST_CASE("login: https is only for those who have mkcert, and said how to get", "[cli]") {
  const Provider p;
  ToolStart start = p.start({"login", "--profile", "work", "--issuer", p.servers->issuer(),
                             "--client-id", "public app", "--https", "--no-browser"});
  start.environment["PATH"] = p.home.path().native();
  const ToolRun refused = run(start);
  CHECK(refused.status == 1);
  CHECK(has(refused.err, "mkcert"));
  CHECK_FALSE(has_config(p, "work"));
  CHECK(token_requests(p) == 0);
}
