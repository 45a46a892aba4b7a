// SPDX-License-Identifier: MIT
#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/generators/catch_generators_range.hpp>
#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

import latchkey.core.crypto;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.secret;
import latchkey.core.time;
import latchkey.oauth.authorization;
import latchkey.session;
import latchkey.test.oauth;

using latchkey::ClientAuthMethod;
using latchkey::ErrorCode;
using latchkey::PendingLogin;
using latchkey::SecretBytes;
using latchkey::SecretString;
using std::literals::operator""s;

namespace {

latchkey::Bytes golden(const std::string& version = "v3") {
  auto text =
      latchkey::test::read_file(LATCHKEY_TEST_DATA "/formats/pending_login_" + version + ".hex");
  std::erase(text, '\n');
  return latchkey::hex_decode(text).value();
}

PendingLogin golden_login_v1() {
  PendingLogin login;
  login.state = "state-0123456789";
  login.code_verifier = SecretString("verifier-abcdefghijklmnopqrstuvwxyz-0123456");
  login.issuer = "https://entryway.test.dev";
  login.token_endpoint = "https://entryway.test.dev/oauth/token";
  login.revocation_endpoint = "https://entryway.test.dev/oauth/revoke";
  login.par_endpoint = "https://entryway.test.dev/oauth/par";
  login.client_id = "http://localhost";
  login.client_auth_method = ClientAuthMethod::private_key_jwt;
  login.redirect_uri = "http://127.0.0.1:49152/callback";
  login.scope = "atproto transition:generic";
  login.expected_subject = "did:plc:ewvi7nxzyoun6zhxrhs64oiz";
  login.handle = "alice.test.dev";
  login.resource_server = "https://pds.test.dev";
  login.dpop_jkt = "jkt-thumbprint";
  login.app_state = "r\xC3\xA9sum\xC3\xA9 \0 2"s;
  login.created_at = latchkey::TimePoint(std::chrono::milliseconds(1'795'339'800'250));
  return login;
}

PendingLogin golden_login_v2() {
  PendingLogin login = golden_login_v1();
  login.nonce = "nonce-0123456789";
  login.resources = {"https://api.test.dev/v1", "urn:example:cooperation"};
  login.max_age = std::chrono::seconds(3600);
  login.iss_required = false;
  return login;
}

PendingLogin golden_login() {
  PendingLogin login = golden_login_v2();
  login.browser_binding_hash = latchkey::sha256_base64url("binding-0123456789");
  return login;
}

std::string detail_of(const latchkey::Bytes& bytes) {
  const auto result = latchkey::parse_pending(SecretBytes(bytes));
  return result ? "" : result.error().detail;
}

}  // namespace

TEST_CASE("pending: the golden file is what is written", "[pending]") {
  const auto bytes = serialize_pending(golden_login());
  CHECK(latchkey::hex_encode(bytes.expose()) == latchkey::hex_encode(golden()));
}

TEST_CASE("C4.11: every member of a pending login comes back from the golden files", "[pending]") {
  const int version = GENERATE(1, 2, 3);
  const auto read =
      latchkey::parse_pending(SecretBytes(golden("v" + std::to_string(version)))).value();
  const auto wanted = version == 1   ? golden_login_v1()
                      : version == 2 ? golden_login_v2()
                                     : golden_login();
  CHECK(read.state == wanted.state);
  CHECK(read.code_verifier == wanted.code_verifier);
  CHECK(read.issuer == wanted.issuer);
  CHECK(read.token_endpoint == wanted.token_endpoint);
  CHECK(read.revocation_endpoint == wanted.revocation_endpoint);
  CHECK(read.par_endpoint == wanted.par_endpoint);
  CHECK(read.client_id == wanted.client_id);
  CHECK(read.client_auth_method == wanted.client_auth_method);
  CHECK(read.client_auth_kid.empty());
  CHECK(read.redirect_uri == wanted.redirect_uri);
  CHECK(read.scope == wanted.scope);
  CHECK(read.expected_subject == wanted.expected_subject);
  CHECK(read.handle == wanted.handle);
  CHECK(read.resource_server == wanted.resource_server);
  CHECK(read.dpop_jkt == wanted.dpop_jkt);
  CHECK(read.app_state == wanted.app_state);
  CHECK(read.created_at == wanted.created_at);
  CHECK(read.nonce == wanted.nonce);
  CHECK(read.resources == wanted.resources);
  CHECK(read.max_age == wanted.max_age);
  CHECK(read.iss_required == wanted.iss_required);
  CHECK(read.browser_binding_hash == wanted.browser_binding_hash);
}

TEST_CASE("pending: a login of version 1 needs iss, and has no nonce or resources", "[pending]") {
  const auto read = latchkey::parse_pending(SecretBytes(golden("v1"))).value();
  CHECK(read.iss_required);
  CHECK(read.nonce.empty());
  CHECK(read.resources.empty());
  CHECK_FALSE(read.max_age);
}

TEST_CASE("pending: one version with the members of another is corrupt", "[pending]") {
  for (const unsigned written : {1u, 2u, 3u}) {
    for (const unsigned said : {1u, 2u, 3u}) {
      if (said == written) continue;
      auto bytes = golden("v" + std::to_string(written));
      bytes[4] = static_cast<unsigned char>(said);
      CAPTURE(written, said);
      CHECK(detail_of(bytes) == "pending.malformed");
    }
  }
}

TEST_CASE("pending: a login of version 2 is bound to no browser", "[pending]") {
  const auto read = latchkey::parse_pending(SecretBytes(golden("v2"))).value();
  CHECK(read.browser_binding_hash.empty());
  CHECK(latchkey::check_browser(read, SecretString()));
}

TEST_CASE("pending: an empty login and each client authentication come back", "[pending]") {
  const auto method =
      GENERATE(ClientAuthMethod::none, ClientAuthMethod::client_secret_basic,
               ClientAuthMethod::client_secret_post, ClientAuthMethod::private_key_jwt);
  PendingLogin login;
  login.client_auth_method = method;
  login.client_auth_kid = "kid-1";
  login.created_at = latchkey::TimePoint(std::chrono::milliseconds(-1));
  const auto read = latchkey::parse_pending(serialize_pending(login)).value();
  CHECK(read.client_auth_method == method);
  CHECK(read.client_auth_kid == "kid-1");
  CHECK(read.created_at == login.created_at);
  CHECK(read.code_verifier.empty());
  CHECK_FALSE(read.max_age);
  CHECK(read.iss_required);
}

TEST_CASE("pending: cut off anywhere it is corrupt", "[pending]") {
  const auto whole = golden(GENERATE(as<std::string>{}, "v1", "v2", "v3"));
  for (std::size_t size = 0; size < whole.size(); ++size) {
    const latchkey::Bytes cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size));
    const auto read = latchkey::parse_pending(SecretBytes(cut));
    REQUIRE_FALSE(read);
    CHECK(read.error().code == ErrorCode::corrupt);
    CHECK(read.error().detail == "pending.malformed");
  }
}

TEST_CASE("pending: bytes after the end, foreign magic and a wrong method are corrupt",
          "[pending]") {
  auto bytes = golden();
  bytes.push_back(0);
  CHECK(detail_of(bytes) == "pending.malformed");
  bytes = golden();
  bytes[0] = 'l';
  CHECK(detail_of(bytes) == "pending.malformed");
  bytes = golden("v1");
  bytes[bytes.size() - 9] = 4;
  CHECK(detail_of(bytes) == "pending.malformed");
  bytes[bytes.size() - 9] = 255;
  CHECK(detail_of(bytes) == "pending.malformed");
}

TEST_CASE("pending: a count, an age or a rule that cannot be is corrupt", "[pending]") {
  const auto changed = [](std::size_t from_end, unsigned char value) {
    auto bytes = golden("v2");
    bytes[bytes.size() - from_end] = value;
    return detail_of(bytes);
  };
  CHECK(changed(1, 2) == "pending.malformed");
  CHECK(changed(9, 0x80) == "pending.malformed");  // more seconds than a signed number has
  const std::size_t resources = 9 + 4 + 23 + 4 + 23 + 4;
  CHECK(changed(resources, 0xff) == "pending.malformed");
  CHECK(changed(resources - 3, 1) == "pending.malformed");
}

TEST_CASE("pending: a length that points past the end is corrupt", "[pending]") {
  for (const auto value : {0xFFu, 0x7Fu, 0x01u}) {
    auto bytes = golden();
    bytes[5] = static_cast<unsigned char>(value);
    CHECK(detail_of(bytes) == "pending.malformed");
  }
}

TEST_CASE("pending: a newer version is too new, version 0 is corrupt", "[pending]") {
  auto bytes = golden();
  bytes[4] = 4;
  const auto read = latchkey::parse_pending(SecretBytes(bytes));
  REQUIRE_FALSE(read);
  CHECK(read.error().code == ErrorCode::schema_too_new);
  CHECK(read.error().detail == "pending.version");
  bytes[4] = 0;
  CHECK(detail_of(bytes) == "pending.malformed");
}
