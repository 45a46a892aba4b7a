// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
module latchkey.bench.postgres.filling;
import latchkey.bench.postgres.bare;
import latchkey.core.secret;
import latchkey.core.time;
import latchkey.session;
import latchkey.store.postgres.connection;
import latchkey.store.postgres.records;
import latchkey.store.record;
import latchkey.store.vault;

namespace latchkey::bench {
namespace {

constexpr std::size_t kBatch = 10'000;
constexpr std::size_t kTokenSize = 900;
constexpr TimePoint kNow{std::chrono::milliseconds{1'795'176'000'000}};

// SplitMix64: the same numbers in every run.
std::uint64_t mixed(std::uint64_t number) {
  number += 0x9e3779b97f4a7c15;
  number = (number ^ (number >> 30)) * 0xbf58476d1ce4e5b9;
  number = (number ^ (number >> 27)) * 0x94d049bb133111eb;
  return number ^ (number >> 31);
}

std::string letters(std::uint64_t number, std::size_t size) {
  constexpr std::string_view kAlphabet = "abcdefghijklmnopqrstuvwxyz234567";
  std::string text;
  for (std::size_t i = 0; i < size; ++i) {
    if (i % 12 == 0) number = mixed(number);
    text += kAlphabet[(number >> (i % 12 * 5)) % kAlphabet.size()];
  }
  return text;
}

}  // namespace

std::string subject_of(std::uint64_t number) {
  return "did:plc:" + letters(number, 24);
}

OAuthSession session_of(std::uint64_t number) {
  using namespace std::chrono_literals;
  OAuthSession session;
  static_cast<SessionSummary&>(session) = {
      .subject = subject_of(number),
      .issuer = "https://auth.example",
      .resource_server = "https://pds.example",
      .token_endpoint = "https://auth.example/oauth/token",
      .revocation_endpoint = "https://auth.example/oauth/revoke",
      .par_endpoint = "https://auth.example/oauth/par",
      .client_id = "https://app.example/client-metadata.json",
      .client_auth_method = ClientAuthMethod::private_key_jwt,
      .client_auth_kid = "key-1",
      .redirect_uri = "https://app.example/callback",
      .scope = "atproto transition:generic",
      .token_type = "DPoP",
      .dpop_jkt = letters(~number, 43),
      .handle = letters(number, 8) + ".example",
      .issued_at = kNow,
      .expires_at = kNow + 1h,
      .refresh_expires_at = kNow + 24h * 90,
      .session_started_at = kNow - 48h,
      .login_id = mixed(number),
      .revision = {mixed(number) | 1},
      .state = SessionState::active,
      .state_cause = "",
      .state_changed_at = std::nullopt};
  session.access_token = SecretString(letters(number + 1, kTokenSize));
  session.refresh_token = SecretString(letters(number + 2, kTokenSize));
  return session;
}

void fill(Bare& bare, Sealer& sealer, std::size_t count) {
  std::vector<PostgresValues> rows;
  for (std::size_t first = 0; first < count; first += kBatch) {
    rows.clear();
    for (std::size_t number = first; number < std::min(first + kBatch, count); ++number) {
      rows.push_back(postgres_values(seal_session(session_of(number), sealer).value()));
    }
    bare.copy("latchkey_sessions", rows);
  }
}

}  // namespace latchkey::bench
