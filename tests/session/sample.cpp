// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <optional>
#include <string>
#include <utility>
#include <vector>
module latchkey.test.sample;
import latchkey.core.secret;
import latchkey.core.time;
import latchkey.session;

namespace latchkey::test {
namespace {

constexpr TimePoint kNoon{std::chrono::milliseconds{1'795'176'000'000}};  // 2026-11-20T12:00:00Z

MemberChange text(std::string member, std::string SessionSummary::* pointer) {
  return {std::move(member), [pointer](SessionSummary& s) { s.*pointer += "x"; }};
}

MemberChange time(std::string member, std::optional<TimePoint> SessionSummary::* pointer) {
  return {std::move(member),
          [pointer](SessionSummary& s) { s.*pointer = *(s.*pointer) + Duration{1}; }};
}

MemberChange absence(std::string member, std::optional<TimePoint> SessionSummary::* pointer) {
  return {"no " + std::move(member), [pointer](SessionSummary& s) { s.*pointer = std::nullopt; }};
}

}  // namespace

SessionSummary sample_summary() {
  using namespace std::chrono_literals;
  return {.subject = "did:plc:ewvi7nxzyoun6zhxrhs64oiz",
          .issuer = "https://auth.example",
          .resource_server = "https://pds.example",
          .token_endpoint = "https://auth.example/token",
          .revocation_endpoint = "https://auth.example/revoke",
          .par_endpoint = "https://auth.example/par",
          .client_id = "https://app.example/client-metadata.json",
          .client_auth_method = ClientAuthMethod::private_key_jwt,
          .client_auth_kid = "key-1",
          .redirect_uri = "https://app.example/callback",
          .scope = "atproto transition:generic",
          .token_type = "DPoP",
          .dpop_jkt = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I",
          .handle = "alice.example",
          .issued_at = kNoon,
          .expires_at = kNoon + 1h,
          .refresh_expires_at = kNoon + 24h * 90,
          .session_started_at = kNoon - 48h,
          .login_id = 0x0123456789abcdef,
          .revision = {0xfedcba9876543210},
          .state = SessionState::dead,
          .state_cause = "token.revoked",
          .state_changed_at = kNoon + 250ms};
}

OAuthSession sample_session() {
  return {sample_summary(), SecretString("access-token"), SecretString("refresh-token"),
          SecretString("id-token")};
}

std::vector<MemberChange> member_changes() {
  using S = SessionSummary;
  return {
      text("subject", &S::subject),
      text("issuer", &S::issuer),
      text("resource_server", &S::resource_server),
      text("token_endpoint", &S::token_endpoint),
      text("revocation_endpoint", &S::revocation_endpoint),
      text("par_endpoint", &S::par_endpoint),
      text("client_id", &S::client_id),
      {"client_auth_method", [](S& s) { s.client_auth_method = ClientAuthMethod::none; }},
      text("client_auth_kid", &S::client_auth_kid),
      text("redirect_uri", &S::redirect_uri),
      text("scope", &S::scope),
      text("token_type", &S::token_type),
      text("dpop_jkt", &S::dpop_jkt),
      text("handle", &S::handle),
      {"issued_at", [](S& s) { s.issued_at += Duration{1}; }},
      time("expires_at", &S::expires_at),
      time("refresh_expires_at", &S::refresh_expires_at),
      {"session_started_at", [](S& s) { s.session_started_at += Duration{1}; }},
      {"login_id", [](S& s) { s.login_id ^= 1; }},
      {"revision", [](S& s) { s.revision.value ^= 1ull << 63; }},
      {"state", [](S& s) { s.state = SessionState::revoking; }},
      text("state_cause", &S::state_cause),
      time("state_changed_at", &S::state_changed_at),
      absence("expires_at", &S::expires_at),
      absence("refresh_expires_at", &S::refresh_expires_at),
      absence("state_changed_at", &S::state_changed_at),
  };
}

}  // namespace latchkey::test
