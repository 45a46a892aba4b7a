// SPDX-License-Identifier: MIT
#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/generators/catch_generators_range.hpp>
#include <chrono>
#include <cstddef>
#include <string>
#include <string_view>

import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.secret;
import latchkey.core.time;
import latchkey.oauth.authorization;
import latchkey.oauth.pending_device;
import latchkey.session;
import latchkey.test.marker;
import latchkey.test.oauth;
import latchkey.test.outcome;

using namespace latchkey;
using namespace latchkey::test;
using namespace std::chrono_literals;

namespace {

// Written by another program from docs/formats.md.
std::string golden() {
  auto text = read_file(LATCHKEY_TEST_DATA "/formats/pending_device_v1.hex");
  std::erase(text, '\n');
  return std::string(as_text(hex_decode(text).value()));
}

PendingDevice golden_login() {
  return {.id = "AAECAwQFBgcICQoLDA0ODw",
          .device_code = SecretString("dev-\"code\"\\ 01"),
          .user_code = "WDJB-MJHT",
          .verification_uri = "https://id.test.dev/device",
          .verification_uri_complete = "https://id.test.dev/device?user_code=WDJB-MJHT",
          .issuer = "https://id.test.dev",
          .token_endpoint = "https://id.test.dev/token",
          .client_id = "kitchen \"radio\"",
          .client_auth_method = ClientAuthMethod::client_secret_basic,
          .client_auth_kid = "kid-1",
          .scope = "openid r\xC3\xA9sum\xC3\xA9",
          .subject = "work",
          .dpop_jkt = "jkt-thumbprint",
          .interval = 15s,
          .expires_at = parse_rfc3339("2026-11-20T09:30:00.250Z").value()};
}

Result<PendingDevice> read(std::string_view text) {
  return parse_pending_device(SecretBytes(as_bytes(text)));
}

std::string replaced(std::string_view from, std::string_view to) {
  std::string text = golden();
  const auto at = text.find(from);
  REQUIRE(at != std::string::npos);
  return text.replace(at, from.size(), to);
}

}  // namespace

TEST_CASE("pending device: the golden file is what is written", "[pending]") {
  CHECK(as_text(serialize_pending_device(golden_login()).expose()) == golden());
}

TEST_CASE("pending device: every member comes back from the golden file", "[pending]") {
  const auto login = read(golden()).value();
  const auto wanted = golden_login();
  CHECK(login.id == wanted.id);
  CHECK(login.device_code == wanted.device_code);
  CHECK(login.user_code == wanted.user_code);
  CHECK(login.verification_uri == wanted.verification_uri);
  CHECK(login.verification_uri_complete == wanted.verification_uri_complete);
  CHECK(login.issuer == wanted.issuer);
  CHECK(login.token_endpoint == wanted.token_endpoint);
  CHECK(login.client_id == wanted.client_id);
  CHECK(login.client_auth_method == wanted.client_auth_method);
  CHECK(login.client_auth_kid == wanted.client_auth_kid);
  CHECK(login.scope == wanted.scope);
  CHECK(login.subject == wanted.subject);
  CHECK(login.dpop_jkt == wanted.dpop_jkt);
  CHECK(login.interval == wanted.interval);
  CHECK(login.expires_at == wanted.expires_at);
}

TEST_CASE("pending device: it is told apart from a pending code login", "[pending]") {
  CHECK(is_pending_device(serialize_pending_device(golden_login())));
  CHECK_FALSE(is_pending_device(serialize_pending(PendingLogin{})));
  CHECK_FALSE(is_pending_device(SecretBytes()));
}

TEST_CASE("pending device: cut off anywhere it is corrupt", "[pending]") {
  const auto whole = golden();
  for (std::size_t size = 0; size < whole.size(); ++size) {
    CHECK(outcome(read(whole.substr(0, size))) == "corrupt pending.not_json");
  }
}

TEST_CASE("pending device: a member that is missing or wrong is corrupt", "[pending]") {
  CHECK(outcome(read(replaced("\"user_code\"", "\"other\""))) == "corrupt pending.missing_member");
  CHECK(outcome(read(replaced("\"device_code\"", "\"other\""))) ==
        "corrupt pending.missing_member");
  CHECK(outcome(read(replaced("\"interval\"", "\"other\""))) == "corrupt pending.missing_member");
  CHECK(outcome(read(replaced("\"WDJB-MJHT\"", "7"))) == "corrupt pending.wrong_type");
  CHECK(outcome(read(replaced("\"interval\":15", "\"interval\":\"15\""))) ==
        "corrupt pending.wrong_type");
  CHECK(outcome(read(replaced("\"interval\":15", "\"interval\":0"))) ==
        "corrupt pending.malformed");
  CHECK(outcome(read(replaced("client_secret_basic", "client_secret_magic"))) ==
        "corrupt pending.malformed");
  CHECK(outcome(read(replaced("2026-11-20T", "2026-11-20 "))) == "corrupt pending.malformed");
  CHECK(outcome(read(replaced("\"device_code\":\"", "\"device_code\":\"="))) ==
        "corrupt pending.malformed");
  CHECK(outcome(read(replaced("\"id\":", "\"user_code\":"))) == "corrupt pending.duplicate_member");
}

TEST_CASE("pending device: a newer format is too new, a foreign one is corrupt", "[pending]") {
  CHECK(outcome(read(replaced("login.v1", "login.v2"))) == "schema_too_new pending.version");
  CHECK(outcome(read(replaced("latchkey.device_login.v1", "latchkey.session.v1"))) ==
        "corrupt pending.malformed");
}

TEST_CASE("pending device: no device code is left in memory by writing and reading", "[pending]") {
  const Marker code;
  {
    auto login = golden_login();
    login.device_code = SecretString(code.secret());
    const auto bytes = serialize_pending_device(login);
    CHECK(parse_pending_device(bytes)->device_code == login.device_code);
  }
  CHECK_FALSE(code.is_in_memory());
}
