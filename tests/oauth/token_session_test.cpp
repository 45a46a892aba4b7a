// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <optional>
#include <string>
#include <utility>

import latchkey.core.secret;
import latchkey.core.time;
import latchkey.oauth.authorization;
import latchkey.oauth.token;
import latchkey.session;

using latchkey::ClientAuthMethod;
using latchkey::OAuthSession;
using latchkey::PendingLogin;
using latchkey::SecretString;
using latchkey::SessionState;
using latchkey::TimePoint;
using latchkey::TokenAnswer;
using std::chrono::hours;
using std::chrono::seconds;

namespace {

const TimePoint kLogin{std::chrono::milliseconds(1'795'339'800'000)};
const TimePoint kRefresh = kLogin + hours(1);

PendingLogin pending() {
  PendingLogin login;
  login.issuer = "https://entryway.test.dev";
  login.token_endpoint = "https://entryway.test.dev/oauth/token";
  login.revocation_endpoint = "https://entryway.test.dev/oauth/revoke";
  login.par_endpoint = "https://entryway.test.dev/oauth/par";
  login.client_id = "https://app.test.dev/client.json";
  login.client_auth_method = ClientAuthMethod::private_key_jwt;
  login.client_auth_kid = "kid-1";
  login.redirect_uri = "http://127.0.0.1:49152/callback";
  login.scope = "atproto transition:generic";
  login.expected_subject = "did:plc:ewvi7nxzyoun6zhxrhs64oiz";
  login.handle = "alice.test.dev";
  login.resource_server = "https://pds.test.dev";
  login.dpop_jkt = "jkt";
  login.created_at = kLogin - seconds(40);
  return login;
}

TokenAnswer answer() {
  return {.access_token = SecretString("access-1"),
          .token_type = "dpop",
          .expires_in = seconds(3599),
          .refresh_token = SecretString("refresh-1"),
          .id_token = std::nullopt,
          .scope = "atproto",
          .sub = "did:plc:ewvi7nxzyoun6zhxrhs64oiz"};
}

OAuthSession logged_in() {
  auto session = session_from_exchange(pending(), answer(), kLogin);
  session.login_id = 7;
  session.revision = {9};
  session.refresh_expires_at = kLogin + hours(24 * 14);
  return session;
}

TokenAnswer renewed() {
  auto next = answer();
  next.access_token = SecretString("access-2");
  next.refresh_token = SecretString("refresh-2");
  next.expires_in = seconds(1800);
  return next;
}

}  // namespace

TEST_CASE("session: an exchange makes a session of the pending login and the answer", "[token]") {
  const auto session = session_from_exchange(pending(), answer(), kLogin);
  CHECK(session.subject == "did:plc:ewvi7nxzyoun6zhxrhs64oiz");
  CHECK(session.issuer == "https://entryway.test.dev");
  CHECK(session.resource_server == "https://pds.test.dev");
  CHECK(session.token_endpoint == "https://entryway.test.dev/oauth/token");
  CHECK(session.revocation_endpoint == "https://entryway.test.dev/oauth/revoke");
  CHECK(session.par_endpoint == "https://entryway.test.dev/oauth/par");
  CHECK(session.client_id == "https://app.test.dev/client.json");
  CHECK(session.client_auth_method == ClientAuthMethod::private_key_jwt);
  CHECK(session.client_auth_kid == "kid-1");
  CHECK(session.redirect_uri == "http://127.0.0.1:49152/callback");
  CHECK(session.scope == "atproto");
  CHECK(session.token_type == "DPoP");
  CHECK(session.dpop_jkt == "jkt");
  CHECK(session.handle == "alice.test.dev");
  CHECK(session.access_token.expose() == std::string("access-1"));
  CHECK(session.refresh_token->expose() == std::string("refresh-1"));
  CHECK_FALSE(session.id_token);
  CHECK(session.state == SessionState::active);
}

TEST_CASE("LA-36, C5.12: expiry counts from before the request, and is unknown when not said",
          "[token]") {
  const auto session = session_from_exchange(pending(), answer(), kLogin);
  CHECK(session.issued_at == kLogin);
  CHECK(session.session_started_at == kLogin);
  CHECK(session.expires_at == kLogin + seconds(3599));
  CHECK_FALSE(session.refresh_expires_at);
  auto silent = answer();
  silent.expires_in = std::nullopt;
  CHECK_FALSE(session_from_exchange(pending(), std::move(silent), kLogin).expires_at);
}

TEST_CASE("session: login id and revision are not drawn here", "[token]") {
  const auto session = session_from_exchange(pending(), answer(), kLogin);
  CHECK(session.login_id == 0);
  CHECK(session.revision.is_none());
  CHECK(session_from_refresh(logged_in(), renewed(), kRefresh).revision.is_none());
}

TEST_CASE("C5.14: the subject is the server's word, or the one expected where it says none",
          "[token]") {
  auto other = answer();
  other.sub = "did:web:alice.test.dev";
  CHECK(session_from_exchange(pending(), std::move(other), kLogin).subject ==
        "did:web:alice.test.dev");
  auto silent = answer();
  silent.sub = "";
  CHECK(session_from_exchange(pending(), std::move(silent), kLogin).subject ==
        pending().expected_subject);
}

TEST_CASE("session: outside ATProto a scope left out is the requested one", "[token]") {
  auto silent = answer();
  silent.scope = std::nullopt;
  CHECK(session_from_exchange(pending(), std::move(silent), kLogin).scope ==
        "atproto transition:generic");
}

TEST_CASE("session: a Bearer session is bound to no key", "[token]") {
  auto bearer = answer();
  bearer.token_type = "bearer";
  const auto session = session_from_exchange(pending(), std::move(bearer), kLogin);
  CHECK(session.token_type == "Bearer");
  CHECK(session.dpop_jkt.empty());
}

TEST_CASE("refresh: new tokens and times, everything else as it was", "[token]") {
  const auto before = logged_in();
  const auto after = session_from_refresh(before, renewed(), kRefresh);
  CHECK(after.access_token.expose() == std::string("access-2"));
  CHECK(after.refresh_token->expose() == std::string("refresh-2"));
  CHECK(after.issued_at == kRefresh);
  CHECK(after.expires_at == kRefresh + seconds(1800));
  CHECK(after.login_id == 7);
  CHECK(after.session_started_at == kLogin);
  latchkey::SessionSummary expected = before;
  expected.issued_at = kRefresh;
  expected.expires_at = kRefresh + seconds(1800);
  expected.refresh_expires_at = std::nullopt;
  expected.revision = {};
  CHECK(static_cast<const latchkey::SessionSummary&>(after) == expected);
}

TEST_CASE("refresh: what the answer omits is kept", "[token]") {
  auto before = logged_in();
  before.id_token = SecretString("id-1");
  auto sparse = renewed();
  sparse.refresh_token = std::nullopt;
  sparse.scope = std::nullopt;
  sparse.sub = "";
  const auto after = session_from_refresh(before, std::move(sparse), kRefresh);
  CHECK(after.refresh_token->expose() == std::string("refresh-1"));
  CHECK(after.refresh_expires_at == before.refresh_expires_at);
  CHECK(after.id_token->expose() == std::string("id-1"));
  CHECK(after.scope == "atproto");
  CHECK(after.subject == before.subject);
  CHECK(before.refresh_token->expose() == std::string("refresh-1"));
}

TEST_CASE("refresh: an expiry that is no longer said is unknown, not the old one", "[token]") {
  auto silent = renewed();
  silent.expires_in = std::nullopt;
  CHECK_FALSE(session_from_refresh(logged_in(), std::move(silent), kRefresh).expires_at);
}

TEST_CASE("refresh: a narrower scope is taken over", "[token]") {
  auto before = logged_in();
  before.scope = "atproto transition:generic";
  CHECK(session_from_refresh(before, renewed(), kRefresh).scope == "atproto");
}

TEST_CASE("refresh: a session that was renewed is active", "[token]") {
  auto before = logged_in();
  before.state = SessionState::dead;
  before.state_cause = "refresh.invalid_grant";
  before.state_changed_at = kLogin;
  const auto after = session_from_refresh(before, renewed(), kRefresh);
  CHECK(after.state == SessionState::active);
  CHECK(after.state_cause.empty());
  CHECK_FALSE(after.state_changed_at);
}

TEST_CASE("refresh: a session without a refresh token stays without", "[token]") {
  auto before = logged_in();
  before.refresh_token = std::nullopt;
  auto sparse = renewed();
  sparse.refresh_token = std::nullopt;
  CHECK_FALSE(session_from_refresh(before, std::move(sparse), kRefresh).refresh_token);
}
