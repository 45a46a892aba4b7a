// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <array>
#include <chrono>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
module latchkey.sandbox.id_tokens;
import latchkey.core.crypto;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.json;
import latchkey.core.time;
import latchkey.sandbox.jose;
import latchkey.sandbox.message;
import latchkey.sandbox.tokens;

namespace latchkey::sandbox {
namespace {

constexpr std::chrono::minutes kLifetime{10};

std::string seconds_text(TimePoint time) {
  return std::to_string(std::chrono::floor<std::chrono::seconds>(time).time_since_epoch().count());
}

// Core §3.1.3.6: the left half of the hash that the algorithm has, SHA-256 for both.
std::string at_hash(std::string_view access_token) {
  const auto hash = sha256(access_token);
  return base64url_encode(std::span(hash).first(hash.size() / 2));
}

}  // namespace

Result<const SigningKey*> SigningKeys::current(JwsAlg alg) {
  const auto found = std::find_if(current_.begin(), current_.end(),
                                  [&](const auto& key) { return key.alg() == alg; });
  if (found != current_.end()) return &*found;
  auto key = SigningKey::generate(alg);
  if (!key) return std::move(key).error();
  current_.push_back(*std::move(key));
  return &current_.back();
}

void SigningKeys::rotate(std::chrono::seconds keep_old) {
  for (auto& key : current_) old_.push_back({std::move(key), clock_.now() + keep_old});
  current_.clear();
}

Result<std::string> SigningKeys::jwks() {
  std::erase_if(old_, [&](const Kept& kept) { return clock_.now() >= kept.until; });
  std::string keys;
  for (const JwsAlg alg : {JwsAlg::rs256, JwsAlg::es256}) {
    const auto key = current(alg);
    if (!key) return key.error();
    keys += (keys.empty() ? "" : ",") + (*key)->public_jwk();
  }
  for (const auto& kept : old_) keys += ',' + kept.key.public_jwk();
  return json_object({{"keys", '[' + keys + ']'}});
}

Result<std::string> make_id_token(SigningKeys& keys, JwsAlg alg, std::string_view issuer,
                                  const IssuedTokens& issued, std::string_view nonce,
                                  TimePoint now) {
  const auto key = keys.current(alg);
  if (!key) return key.error();
  const Grant& grant = issued.grant;
  JsonMembers claims{{"iss", json_quote(issuer)},
                     {"sub", json_quote(grant.did)},
                     {"aud", json_quote(grant.client_id)},
                     {"exp", seconds_text(now + kLifetime)},
                     {"iat", seconds_text(now)},
                     {"auth_time", seconds_text(grant.auth_time)},
                     {"at_hash", json_quote(at_hash(issued.access_token))}};
  if (!nonce.empty()) claims.emplace_back("nonce", json_quote(nonce));
  return (*key)->sign(json_object(claims));
}

}  // namespace latchkey::sandbox
