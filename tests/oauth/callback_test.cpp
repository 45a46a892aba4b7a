// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/generators/catch_generators_range.hpp>
#include <optional>
#include <string>
#include <string_view>

import latchkey.core.crypto;
import latchkey.core.error;
import latchkey.core.secret;
import latchkey.oauth.authorization;

using latchkey::ErrorCode;
using latchkey::PendingLogin;

namespace {

constexpr std::string_view kIss = "iss=https%3A%2F%2Fentryway.test.dev";
constexpr std::string_view kGood = "state=S1&iss=https%3A%2F%2Fentryway.test.dev";

PendingLogin pending() {
  PendingLogin login;
  login.state = "S1";
  login.issuer = "https://entryway.test.dev";
  return login;
}

std::string fault(const std::string& query) {
  const auto result = process_callback(query, pending());
  return result ? "" : result.error().detail;
}

const std::string kOk(kGood);
const std::string kIssuer(kIss);

}  // namespace

TEST_CASE("C5.1: a callback with state, iss and code in any order is accepted", "[callback]") {
  const auto query =
      GENERATE_COPY(as<std::string>{}, kOk + "&code=c0de", "code=c0de&" + kIssuer + "&state=S1",
                    kIssuer + "&code=c0de&state=S1&session_state=x&x=1&x=2");
  const auto callback = process_callback(query, pending()).value();
  CHECK(callback.state == "S1");
  CHECK(callback.iss == "https://entryway.test.dev");
  CHECK(callback.code.expose() == std::string("c0de"));
}

TEST_CASE("C5.13: a JARM response is refused before anything else", "[callback]") {
  CHECK(fault(kOk + "&code=c&response=eyJ") == "callback.jarm");
  CHECK(fault("response=eyJ") == "callback.jarm");
  CHECK(fault("response=") == "callback.jarm");
  CHECK(fault("response=a&response=b&state=S1&state=S1") == "callback.jarm");
}

TEST_CASE("C5.1: a deciding parameter that occurs twice is refused, before the state is looked at",
          "[callback]") {
  const auto twice =
      GENERATE(as<std::string>{}, "state=S1", "code=c", "error=access_denied",
               "iss=https%3A%2F%2Fentryway.test.dev", "error_description=x", "error_uri=x");
  CAPTURE(twice);
  CHECK(fault(twice + "&" + twice) == "callback.malformed");
  CHECK(fault("state=wrong&" + twice + "&" + twice) == "callback.malformed");
  CHECK(fault(twice + "&x=1&" + twice + "2") == "callback.malformed");
}

TEST_CASE("C5.1: queries that do not decode or are too long are refused", "[callback]") {
  CHECK(fault(kOk + "&code=%zz") == "callback.malformed");
  CHECK(fault(kOk + "&code=%0d%0ax") == "callback.malformed");
  CHECK(fault(kOk + "&code=%00") == "callback.malformed");
  CHECK(fault(kOk + "&code=a%20b") == "callback.malformed");
  CHECK(fault(kOk + "&code=%C3%A9") == "callback.malformed");
  CHECK(fault(kOk + "&code=" + std::string(4097, 'c')) == "callback.malformed");
  CHECK(fault(kOk + "&code=" + std::string(4096, 'c')).empty());
  CHECK(fault(kIssuer + "&code=c&state=" + std::string(513, 's')) == "callback.malformed");
  CHECK(fault(kIssuer + "&code=c&state=" + std::string(512, 's')) == "callback.state_mismatch");
  CHECK(fault(kOk + "&code=c&x=" + std::string(17'000, 'x')) == "callback.malformed");
}

TEST_CASE("C5.1: the state must be the login's", "[callback]") {
  const auto state = GENERATE(as<std::string>{}, "", "&state=", "&state=S2", "&state=s1",
                              "&state=S1%20", "&state=S11", "&state=S", "&State=S1");
  CAPTURE(state);
  CHECK(fault(kIssuer + "&code=c" + state) == "callback.state_mismatch");
  CHECK(fault("error=access_denied" + state) == "callback.state_mismatch");
}

TEST_CASE("C5.1: a login without a state is met by no callback", "[callback]") {
  auto login = pending();
  login.state.clear();
  const auto result = process_callback(kIssuer + "&code=c&state=", login);
  REQUIRE_FALSE(result);
  CHECK(result.error().detail == "callback.state_mismatch");
}

TEST_CASE("C5.2: the issuer is required", "[callback]") {
  CHECK(fault("state=S1&code=c") == "callback.iss_missing");
  CHECK(fault("state=S1&error=access_denied") == "callback.iss_missing");
}

TEST_CASE("C5.2: the issuer must be the login's, to the character", "[callback]") {
  const auto iss = GENERATE(as<std::string>{}, "", "https://entryway.test.dev/",
                            "https://Entryway.test.dev", "https://entryway.test.dev:443",
                            "http://entryway.test.dev", "https://evil.dev", "entryway.test.dev");
  CAPTURE(iss);
  CHECK(fault("state=S1&code=c&iss=" + iss) == "callback.iss_mismatch");
  CHECK(fault("state=S1&error=access_denied&iss=" + iss) == "callback.iss_mismatch");
}

TEST_CASE("C5.3: a refusal by the user is access_denied, and says what the server says",
          "[callback]") {
  const auto result = process_callback(
      kOk + "&error=access_denied&error_description=no%20thanks&error_uri=https%3A%2F%2Fa.dev",
      pending());
  REQUIRE_FALSE(result);
  const auto& error = result.error();
  CHECK(error.code == ErrorCode::access_denied);
  CHECK(error.detail == "callback.access_denied");
  CHECK(error.oauth->error == "access_denied");
  CHECK(error.oauth->error_description == "no thanks");
  CHECK(error.oauth->error_uri == "https://a.dev");
}

TEST_CASE("C5.3: every other error is the provider's, and wins over a code", "[callback]") {
  const auto name =
      GENERATE(as<std::string>{}, "server_error", "", "invalid_scope", "Access_Denied");
  const auto result = process_callback(kOk + "&code=c&error=" + name, pending());
  REQUIRE_FALSE(result);
  CHECK(result.error().code == ErrorCode::provider_error);
  CHECK(result.error().detail == "callback.error");
}

TEST_CASE("C5.3: an error's texts are cut and can't draw on a terminal", "[callback]") {
  const auto result = process_callback(
      kOk + "&error=x%C2%9B&error_description=" + std::string(4000, '.') + "%E2%80%AE%C2%9B31m",
      pending());
  REQUIRE_FALSE(result);
  CHECK(result.error().message.size() < 700);
  CHECK(result.error().message.find("\xC2\x9B") == std::string::npos);
  CHECK(result.error().oauth->error.find("\xC2\x9B") == std::string::npos);
}

TEST_CASE("C5.4: without an error there must be a code", "[callback]") {
  CHECK(fault(kOk) == "callback.code_missing");
  CHECK(fault(kOk + "&code=") == "callback.code_missing");
  CHECK(fault(kOk + "&access_token=t") == "callback.code_missing");
}

TEST_CASE("callback: errors show neither code nor state", "[callback]") {
  for (const auto* query :
       {"state=secret-state&code=secret-code", "state=S1&code=secret-code",
        "state=S1&code=secret-code&iss=x", "state=S1&code=secret-code&code=secret-code"}) {
    const auto result = process_callback(query, pending());
    REQUIRE_FALSE(result);
    CHECK(result.error().message.find("secret") == std::string::npos);
  }
}

TEST_CASE("callback: the state alone can be read to find the login", "[callback]") {
  CHECK(latchkey::callback_state("code=c&state=a%2Bb+c") == "a+b c");
  CHECK(latchkey::callback_state("error=x&state=S1") == "S1");
  CHECK(latchkey::callback_state("state=" + std::string(512, 's')).size() == 512);
}

TEST_CASE("callback: no state, two states, long ones and broken queries give none", "[callback]") {
  const auto query = GENERATE(as<std::string>{}, "", "code=c", "state", "state=", "state=a&state=a",
                              "state=%zz", "state=a&x=%0a", "STATE=a");
  CAPTURE(query);
  CHECK(latchkey::callback_state(query).empty());
  CHECK(latchkey::callback_state("state=" + std::string(513, 's')).empty());
  CHECK(latchkey::callback_state("state=a&x=" + std::string(17'000, 'x')).empty());
}

TEST_CASE("callback: the browser that began is known by what it holds, and no other",
          "[callback]") {
  PendingLogin login = pending();
  const auto check = [&](std::string_view binding) {
    const auto known = check_browser(login, latchkey::SecretString(binding));
    return known ? "" : known.error().detail;
  };
  CHECK(check("").empty());
  CHECK(check("anything").empty());
  login.browser_binding_hash = latchkey::sha256_base64url("the-binding");
  CHECK(check("the-binding").empty());
  for (const std::string_view wrong : {"", "the-bindin", "the-binding ", "The-binding"}) {
    CHECK(check(wrong) == "callback.other_browser");
  }
  CHECK(check(login.browser_binding_hash) == "callback.other_browser");
}
