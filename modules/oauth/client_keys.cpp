// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <array>
#include <cstddef>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
module latchkey.oauth.client_keys;
import latchkey.core.crypto;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.json;
import latchkey.core.secret;
import latchkey.dpop.p256;
import latchkey.dpop.prover;

namespace latchkey {
namespace {

constexpr std::string_view kStep = "client_keys";
constexpr std::size_t kMaxKid = 128;
using Key = ClientKeys::Key;

Error refused(std::string_view detail, std::string_view cause) {
  return make_error(ErrorCode::invalid_key, std::string(kStep) + "." + std::string(detail),
                    "cannot use the client's keys: " + std::string(cause));
}

bool is_kid(std::string_view kid) {
  return !kid.empty() && kid.size() <= kMaxKid &&
         std::all_of(kid.begin(), kid.end(), [](char c) { return c > ' ' && c < '\x7f'; });
}

Error bad_kid() {
  return refused("kid", "a kid must be 1 to 128 printable ASCII characters without spaces; rename");
}

Result<std::string> read_kid(const JsonObject& jwk) {
  auto kid = jwk.string("kid");
  if (!kid) return std::move(kid).error();
  if (!*kid || (*kid)->empty()) {
    return refused("kid_missing",
                   "one has no kid, by which servers know which key has signed (RFC 7515 section "
                   "4.1.4); name it");
  }
  if (!is_kid(**kid)) return bad_kid();
  return **std::move(kid);
}

Result<void> check_use(const JsonObject& jwk) {
  const auto use = jwk.string("use");
  if (!use) return use.error();
  if (*use && **use != "sig") {
    return refused("use", "one is not for signatures; leave out \"use\" or make it \"sig\"");
  }
  return {};
}

// The members that make the key, as text of their own; the private one is moved out of the tree.
Result<SecretString> key_members(JsonObject& jwk) {
  SecretBuilder text;
  char separator = '{';
  for (const std::string_view name : {"kty", "crv", "x", "y", "alg"}) {
    const auto value = jwk.string(name);
    if (!value) return value.error();
    if (!*value) continue;
    text.append(separator).append(json_quote(name)).append(':').append(json_quote(**value));
    separator = ',';
  }
  auto d = jwk.take_secret("d");
  if (!d) return std::move(d).error();
  // It is base64url, or it is no key: nothing in it needs an escape.
  if (*d && (*d)->expose().find_first_of("\"\\") == std::string_view::npos) {
    text.append(separator).append("\"d\":\"").append((*d)->expose()).append('"');
    separator = ',';
  }
  if (separator == '{') text.append('{');
  text.append('}');
  return std::move(text).finish();
}

Result<Key> read_key(JsonObject& jwk, const std::shared_ptr<Random>& random) {
  auto kid = read_kid(jwk);
  if (!kid) return std::move(kid).error();
  if (auto usable = check_use(jwk); !usable) return std::move(usable).error();
  auto members = key_members(jwk);
  if (!members) return std::move(members).error();
  auto key = P256DpopProver::from_private_jwk(*members, random);
  if (!key) return std::move(key).error();
  return Key{.kid = *std::move(kid), .key = *std::move(key)};
}

auto find(const std::vector<Key>& keys, std::string_view kid) {
  return std::find_if(keys.begin(), keys.end(), [&](const Key& key) { return key.kid == kid; });
}

Result<std::shared_ptr<P256DpopProver>> read_key_file(const SecretBytes& file,
                                                      const std::shared_ptr<Random>& random) {
  auto key = P256DpopProver::from_pkcs8(file, random);
  if (key || key.error().detail != "key.not_pkcs8") return key;
  auto older = P256DpopProver::from_sec1(file, random);
  if (older || older.error().detail != "key.not_sec1") return older;
  return key;
}

}  // namespace

ClientKeys::ClientKeys(std::vector<Key> keys, std::shared_ptr<Random> random)
    : keys_(std::move(keys)), random_(std::move(random)) {}

Result<std::shared_ptr<ClientKeys>> ClientKeys::from_jwk_set(const SecretString& jwk_set,
                                                             std::shared_ptr<Random> random) {
  auto json = JsonObject::parse(jwk_set.expose(), ErrorCode::invalid_key, kStep);
  if (!json) return std::move(json).error();
  auto listed = json->objects("keys");
  if (!listed) return std::move(listed).error();
  if (!*listed || (*listed)->empty()) {
    return refused("none", "there is none; a JWK Set has them in \"keys\" (RFC 7517 section 5)");
  }
  std::vector<Key> keys;
  for (JsonObject& jwk : **listed) {
    auto key = read_key(jwk, random);
    if (!key) return std::move(key).error();
    if (find(keys, key->kid) != keys.end()) {
      return refused("kid_twice", "two have the kid " + printable(key->kid, 64) + "; rename one");
    }
    keys.push_back(*std::move(key));
  }
  return std::make_shared<ClientKeys>(std::move(keys), std::move(random));
}

Result<std::shared_ptr<ClientKeys>> ClientKeys::from_key_file(const SecretBytes& file,
                                                              std::string_view kid,
                                                              std::shared_ptr<Random> random) {
  auto key = read_key_file(file, random);
  if (!key) return std::move(key).error();
  std::string name(kid.empty() ? std::string_view((*key)->jkt()) : kid);
  if (!is_kid(name)) return bad_kid();
  return std::make_shared<ClientKeys>(std::vector<Key>{{std::move(name), *std::move(key)}},
                                      std::move(random));
}

Result<std::shared_ptr<ClientKeys>> ClientKeys::generate(std::shared_ptr<Random> random) {
  auto keys = std::make_shared<ClientKeys>(std::vector<Key>{}, std::move(random));
  if (auto made = keys->add_new(); !made) return std::move(made).error();
  return keys;
}

Result<std::string> ClientKeys::add_new() {
  auto key = P256DpopProver::generate(random_);
  if (!key) return std::move(key).error();
  std::string kid = (*key)->jkt();
  const std::scoped_lock lock(mutex_);
  keys_.insert(keys_.begin(), Key{.kid = kid, .key = *std::move(key)});
  return kid;
}

Result<void> ClientKeys::remove(std::string_view kid) {
  const std::scoped_lock lock(mutex_);
  const auto found = find(keys_, kid);
  if (found == keys_.end()) {
    return make_error(
        ErrorCode::invalid_argument, "client_keys.unknown",
        "cannot remove the key " + printable(kid, 64) + ": there is none of that kid");
  }
  if (keys_.size() == 1) {
    return make_error(ErrorCode::invalid_argument, "client_keys.last",
                      "cannot remove the key " + printable(kid, 64) +
                          ": it is the client's last; add a new one first");
  }
  keys_.erase(found);
  return {};
}

std::vector<Key> ClientKeys::copy() const {
  const std::scoped_lock lock(mutex_);
  return keys_;
}

std::string ClientKeys::newest() const {
  const std::scoped_lock lock(mutex_);
  return keys_.front().kid;
}

std::vector<std::string> ClientKeys::kids() const {
  std::vector<std::string> kids;
  for (const Key& key : copy()) kids.push_back(key.kid);
  return kids;
}

bool ClientKeys::contains(std::string_view kid) const {
  const std::scoped_lock lock(mutex_);
  return find(keys_, kid) != keys_.end();
}

std::vector<std::string> ClientKeys::thumbprints() const {
  std::vector<std::string> thumbprints;
  for (const Key& key : copy()) thumbprints.push_back(key.key->jkt());
  return thumbprints;
}

std::string ClientKeys::public_jwk_set() const {
  std::string set = R"({"keys":[)";
  for (char separator = 0; const Key& key : copy()) {
    if (separator != 0) set += separator;
    set += R"({"kid":)" + json_quote(key.kid) + R"(,"use":"sig","alg":"ES256",)" +
           key.key->public_jwk().substr(1);
    separator = ',';
  }
  return set + "]}";
}

SecretString ClientKeys::private_jwk_set() const {
  SecretBuilder set;
  set.append(R"({"keys":[)");
  for (bool first = true; const Key& key : copy()) {
    if (!first) set.append(',');
    set.append(R"({"kid":)").append(json_quote(key.kid)).append(R"(,"use":"sig","alg":"ES256",)");
    set.append(key.key->to_private_jwk().expose().substr(1));
    first = false;
  }
  set.append("]}");
  return std::move(set).finish();
}

Result<SecretString> ClientKeys::sign(std::string_view kid, std::string_view claims) const {
  std::shared_ptr<P256DpopProver> key;
  {
    const std::scoped_lock lock(mutex_);
    if (const auto found = find(keys_, kid); found != keys_.end()) key = found->key;
  }
  if (!key) {
    return make_error(ErrorCode::invalid_client, "client.key_gone",
                      "cannot authenticate the client: its key " + printable(kid, 64) +
                          ", which the session is bound to, is not among its keys any more; put it "
                          "back, or log in again");
  }
  const std::string header = R"({"alg":"ES256","kid":)" + json_quote(kid) + "}";
  SecretBuilder jws;
  jws.append(base64url_encode(as_bytes(header))).append('.');
  jws.append(base64url_encode(as_bytes(claims)));
  SecretString input = std::move(jws).finish();
  const auto signature = key->sign(input.expose());
  if (!signature) return signature.error();
  SecretBuilder out(input.size() + 1 + base64url_size(signature->size()));
  out.append(input.expose()).append('.').append(base64url_encode(*signature));
  return std::move(out).finish();
}

}  // namespace latchkey
