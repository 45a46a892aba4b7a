// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <array>
#include <chrono>
#include <optional>
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
import latchkey.sandbox.storage;
import latchkey.sandbox.tokens;

namespace latchkey::sandbox {
namespace {

constexpr std::chrono::minutes kLifetime{10};
constexpr std::string_view kKind = "signing_key";

std::string seconds_text(TimePoint time) {
  return std::to_string(std::chrono::floor<std::chrono::seconds>(time).time_since_epoch().count());
}

// Core §3.1.3.6: the left half of the hash that the algorithm has, SHA-256 for both.
std::string at_hash(std::string_view access_token) {
  const auto hash = sha256(access_token);
  return base64url_encode(std::span(hash).first(hash.size() / 2));
}

}  // namespace

Result<SigningKeys::Held> SigningKeys::read(const KeptRow& row) {
  auto json = JsonObject::parse(row.value, ErrorCode::corrupt, "signing_key");
  if (!json) return std::move(json).error();
  const auto until = read_kept_time(*json, "until");
  if (!until) return until.error();
  const auto text = json->take_secret("der");
  if (!text) return text.error();
  if (!*text) return json->missing("der");
  const auto der = base64url_decode_secret((*text)->expose());
  auto key = der ? SigningKey::parse(der->expose()) : std::nullopt;
  if (key && key->kid() == row.key) return Held{*std::move(key), *until};
  return make_error(ErrorCode::corrupt, "signing_key.der",
                    "cannot read the sandbox's signing keys: one is malformed; use another file");
}

Result<void> SigningKeys::restore(Storage& storage) {
  const auto rows = storage.all(kKind);
  if (!rows) return rows.error();
  for (const auto& row : *rows) {
    auto held = read(row);
    if (!held) return std::move(held).error();
    keys_.push_back(*std::move(held));
  }
  storage_ = &storage;
  return {};
}

void SigningKeys::keep(const Held& held) {
  if (storage_ == nullptr) return;
  const auto der = base64url_encode_secret(held.key.der().expose());
  JsonMembers members{{"der", json_quote(der.expose())}};
  if (held.until) members.emplace_back("until", kept_time(*held.until));
  storage_->put(kKind, held.key.kid(), json_object(members));
}

Result<const SigningKey*> SigningKeys::current(JwsAlg alg) {
  const auto found = std::find_if(keys_.begin(), keys_.end(), [&](const Held& held) {
    return !held.until && held.key.alg() == alg;
  });
  if (found != keys_.end()) return &found->key;
  auto key = SigningKey::generate(alg);
  if (!key) return std::move(key).error();
  keys_.push_back({.key = *std::move(key)});
  keep(keys_.back());
  return &keys_.back().key;
}

void SigningKeys::rotate(std::chrono::seconds keep_old) {
  for (auto& held : keys_) {
    if (held.until) continue;
    held.until = clock_.now() + keep_old;
    keep(held);
  }
  forget_old();
}

void SigningKeys::forget_old() {
  std::erase_if(keys_, [&](const Held& held) {
    const bool over = held.until && clock_.now() >= *held.until;
    if (over && storage_ != nullptr) storage_->remove(kKind, held.key.kid());
    return over;
  });
}

Result<std::string> SigningKeys::jwks() {
  forget_old();
  for (const JwsAlg alg : {JwsAlg::rs256, JwsAlg::es256}) {
    if (const auto key = current(alg); !key) return key.error();
  }
  std::string keys;
  for (const auto& held : keys_) keys += (keys.empty() ? "" : ",") + held.key.public_jwk();
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
