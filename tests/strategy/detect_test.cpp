// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

import latchkey.core;
import latchkey.loopback.headless;
import latchkey.refresh.keeper;
import latchkey.session;
import latchkey.store;
import latchkey.strategy;
import latchkey.strategy.detect;
import latchkey.strategy.static_token;
import latchkey.test.outcome;
import latchkey.test.refresh_world;
import latchkey.test.scripted_transport;

// D.14: which credentials are taken, and which are refused.

using namespace latchkey;
using namespace latchkey::test;

namespace {

using Variables = std::map<std::string, std::string>;

const Variables kClient{{"LATCHKEY_CLIENT_ID", "bot"},
                        {"LATCHKEY_CLIENT_SECRET", "secret-marker"},
                        {"LATCHKEY_TOKEN_ENDPOINT", "https://as.test/token"}};
const Variables kAccessKey{{"LATCHKEY_ACCESS_KEY", "secret-marker"},
                           {"LATCHKEY_ACCESS_KEY_ENDPOINT", "https://keys.test/"}};
const Variables kAppPassword{{"LATCHKEY_PDS", "https://pds.test"},
                             {"LATCHKEY_IDENTIFIER", "alice.test"},
                             {"LATCHKEY_APP_PASSWORD", "secret-marker"}};
const Variables kToken{{"LATCHKEY_TOKEN", "secret-marker"}};

struct Rig {
  World world{};
  std::shared_ptr<SessionKeeper> keeper = world.keeper();
  Variables variables{{"DISPLAY", ":0"}};
  CredentialValues given{};

  Result<std::shared_ptr<AutoStrategy>> detect(std::string subject = std::string(kSubject)) {
    return AutoStrategy::detect(
        {.given = std::move(given),
         .surroundings = {
             .variable = [this](const std::string& name) -> std::optional<std::string> {
               const auto found = variables.find(name);
               if (found == variables.end()) return std::nullopt;
               return found->second;
             },
             .exists = [](const std::filesystem::path&) { return false; }},
         .keeper = keeper,
         .subject = std::move(subject),
         .obtaining = {.transport = world.transport, .clock = world.clock}});
  }
  /// "environment: a fixed token", or code and detail.
  std::string found() {
    const auto strategy = detect();
    if (!strategy) {
      CHECK(strategy.error().message.find("marker") == std::string::npos);
      return outcome(strategy);
    }
    return std::string(to_string((*strategy)->source())) + ": " + (*strategy)->description();
  }
  std::string message() { return detect().error().message; }
};

std::string found_with(const Variables& variables) {
  Rig rig;
  rig.variables.insert(variables.begin(), variables.end());
  return rig.found();
}

Variables both(Variables one, const Variables& two) {
  one.insert(two.begin(), two.end());
  return one;
}

}  // namespace

TEST_CASE("AutoStrategy: each set in the environment is found", "[detect]") {
  CHECK(found_with(kToken) == "environment: a fixed token");
  CHECK(found_with(kClient) == "environment: client credentials");
  CHECK(found_with(kAccessKey) == "environment: an access key");
  CHECK(found_with(kAppPassword) == "environment: an app password");
  CHECK(found_with(both(kClient, {{"LATCHKEY_SCOPE", "read"}})) ==
        "environment: client credentials");
}

TEST_CASE("SA-51: what was given goes before the environment, and that before a stored session",
          "[detect]") {
  Rig rig;
  rig.world.log_in();
  CHECK(rig.found() == "stored_session: the session of " + std::string(kSubject));
  rig.variables = both(rig.variables, kAccessKey);
  CHECK(rig.found() == "environment: an access key");
  rig.given.token = SecretString("given");
  CHECK(rig.found() == "given: a fixed token");
}

TEST_CASE("SA-51: without any credentials login is required, saying what could be set",
          "[detect]") {
  Rig rig;
  CHECK(rig.found() == "login_required strategy.no_credentials");
  const std::string message = rig.message();
  for (const std::string_view name :
       {"LATCHKEY_TOKEN", "LATCHKEY_CLIENT_ID", "LATCHKEY_CLIENT_SECRET", "LATCHKEY_TOKEN_ENDPOINT",
        "LATCHKEY_ACCESS_KEY", "LATCHKEY_APP_PASSWORD", "or log in"}) {
    CHECK(message.find(name) != std::string::npos);
  }
  CHECK(message.find("--device") == std::string::npos);
}

TEST_CASE("AutoStrategy: a machine without a browser is pointed to --device and --paste",
          "[detect]") {
  Rig rig;
  rig.variables = {{"SSH_CONNECTION", "192.0.2.1 1 192.0.2.2 22"}};
  const std::string message = rig.message();
  CHECK(message.find("--device") != std::string::npos);
  CHECK(message.find("--paste") != std::string::npos);
  CHECK(message.find("SSH") != std::string::npos);
}

TEST_CASE("SA-52: half of a set is an error that names what is missing, whatever else there is",
          "[detect]") {
  for (const Variables& whole : {kClient, kAccessKey, kAppPassword}) {
    for (const auto& [missing, value] : whole) {
      CAPTURE(missing);
      Rig rig;
      rig.world.log_in();
      rig.variables = both(rig.variables, whole);
      rig.variables.erase(missing);
      CHECK(rig.found() == "invalid_argument strategy.half_set");
      CHECK(rig.message().find("not " + missing) != std::string::npos);
      rig.variables = both(rig.variables, kToken);
      CHECK(rig.found() == "invalid_argument strategy.half_set");
    }
  }
}

TEST_CASE("SA-52: half of what was given is not filled up from the environment", "[detect]") {
  Rig rig;
  rig.variables = both(rig.variables, kClient);
  rig.given.client_id = "bot";
  const auto strategy = rig.detect();
  CHECK(outcome(strategy) == "invalid_argument strategy.half_set");
  CHECK(strategy.error().message.find("client_secret and token_endpoint") != std::string::npos);
}

TEST_CASE("AutoStrategy: a variable that is empty is not set", "[detect]") {
  CHECK(found_with({{"LATCHKEY_TOKEN", ""}}) == "login_required strategy.no_credentials");
  CHECK(found_with(both({{"LATCHKEY_CLIENT_SECRET", ""}},
                        {{"LATCHKEY_CLIENT_ID", "bot"},
                         {"LATCHKEY_TOKEN_ENDPOINT", "https://as.test/token"}})) ==
        "invalid_argument strategy.half_set");
}

TEST_CASE("AutoStrategy: two whole sets at one level are no silent choice", "[detect]") {
  CHECK(found_with(both(kToken, kClient)) == "invalid_argument strategy.ambiguous");
  CHECK(found_with(both(kAccessKey, kAppPassword)) == "invalid_argument strategy.ambiguous");
}

TEST_CASE("D.14: credentials of a bad form are fatal, and not passed over", "[detect]") {
  CHECK(found_with({{"LATCHKEY_TOKEN", "secret marker"}}) ==
        "invalid_argument static_token.characters");
  Variables bad = kAppPassword;
  bad["LATCHKEY_PDS"] = "http://pds.test";
  CHECK(found_with(bad) == "insecure_address url.not_https");
}

TEST_CASE("AutoStrategy: a stored API key counts as a session", "[detect]") {
  Rig rig;
  OAuthSession key =
      static_token_session("work", std::string(kClientId), SecretString("key-1")).value();
  key.revision = Revision{1};
  REQUIRE(rig.world.store->save(key, Revision{}));
  const auto strategy = rig.detect("work");
  REQUIRE(strategy);
  CHECK((*strategy)->get_token()->access_token.expose() == "key-1");
  CHECK(rig.world.transport->count() == 0);
}

TEST_CASE("AutoStrategy: a session that has ended is found, and says so", "[detect]") {
  Rig rig;
  OAuthSession ended = sample_session(rig.world.jkt);
  ended.state = SessionState::dead;
  ended.state_cause = "refresh.invalid_grant";
  ended.revision = Revision{1};
  REQUIRE(rig.world.store->save(ended, Revision{}));
  const auto strategy = rig.detect();
  REQUIRE(strategy);
  CHECK(outcome((*strategy)->get_token()) == "session_dead session.dead");
}

TEST_CASE("AutoStrategy: a store that can't be read is an error, and not an absent session",
          "[detect]") {
  Rig rig;
  rig.world.store->set_hook([](std::string_view) -> std::optional<Error> {
    return make_error(ErrorCode::locked, "test.locked", "the vault is locked");
  });
  CHECK(rig.found() == "locked test.locked");
}

TEST_CASE("AutoStrategy: nothing is sent to find out", "[detect]") {
  CHECK(found_with(kClient) == "environment: client credentials");
  Rig rig;
  rig.variables = both(rig.variables, kClient);
  REQUIRE(rig.detect());
  CHECK(rig.world.transport->count() == 0);
}
