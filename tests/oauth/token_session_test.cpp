// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <optional>
#include <string>
#include <utility>

import latchkey.core.secret;
import latchkey.core.time;
import latchkey.oauth.token;
import latchkey.session;

using latchkey::ClientAuthMethod;
using latchkey::OAuthSession;
using latchkey::SecretString;
using latchkey::SessionState;
using latchkey::TimePoint;
using latchkey::TokenAnswer;
using std::chrono::hours;
using std::chrono::seconds;

namespace {

const TimePoint kLogin{std::chrono::milliseconds(1'795'339'800'000)};
const TimePoint kRefresh = kLogin + hours(1);

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
  OAuthSession session;
  session.subject = "did:plc:ewvi7nxzyoun6zhxrhs64oiz";
  session.issuer = "https://entryway.test.dev";
  session.resource_server = "https://pds.test.dev";
  session.token_endpoint = "https://entryway.test.dev/oauth/token";
  session.revocation_endpoint = "https://entryway.test.dev/oauth/revoke";
  session.par_endpoint = "https://entryway.test.dev/oauth/par";
  session.client_id = "https://app.test.dev/client.json";
  session.client_auth_method = ClientAuthMethod::private_key_jwt;
  session.client_auth_kid = "kid-1";
  session.redirect_uri = "http://127.0.0.1:49152/callback";
  session.scope = "atproto";
  session.token_type = "DPoP";
  session.dpop_jkt = "jkt";
  session.handle = "alice.test.dev";
  session.issued_at = session.session_started_at = kLogin;
  session.expires_at = kLogin + seconds(3599);
  session.refresh_expires_at = kLogin + hours(24 * 14);
  session.access_token = SecretString("access-1");
  session.refresh_token = SecretString("refresh-1");
  session.login_id = 7;
  session.revision = {9};
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

TEST_CASE("refresh: the revision is not drawn here", "[token]") {
  CHECK(session_from_refresh(logged_in(), renewed(), kRefresh).revision.is_none());
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
