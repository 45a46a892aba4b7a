// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <utility>
module latchkey.store.vault.sealed_keys;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.secret;
import latchkey.store.vault;

namespace latchkey {
namespace {

constexpr std::string_view kKeyMagic = "latchkey-key\n";
constexpr unsigned char kKeyVersion = 1;

// What stands before the box of a sealed key, and is its context: magic, version, length of the id,
// id.
Bytes key_preamble(std::string_view id) {
  Bytes out(kKeyMagic.begin(), kKeyMagic.end());
  out.push_back(kKeyVersion);
  out.push_back(static_cast<unsigned char>(id.size()));
  out.insert(out.end(), id.begin(), id.end());
  return out;
}

Error bad_key(ErrorCode code, std::string_view detail, std::string_view id, std::string_view why) {
  return make_error(code, detail,
                    "cannot read the key " + std::string(id) + ": " + std::string(why));
}

// The box, when what stands before it is this key's preamble.
Result<std::span<const unsigned char>> box_of(std::string_view id,
                                              std::span<const unsigned char> bytes) {
  const Bytes expected = key_preamble(id);
  const auto differs = std::mismatch(bytes.begin(), bytes.end(), expected.begin(), expected.end());
  if (differs.second == expected.end()) return bytes.subspan(expected.size());
  if (differs.first == bytes.end()) {
    return bad_key(ErrorCode::corrupt, "vault.key_truncated", id,
                   "it is cut off; restore it from a copy, or log in again");
  }
  const auto at = static_cast<std::size_t>(differs.second - expected.begin());
  if (at == kKeyMagic.size() && *differs.first > kKeyVersion) {
    return bad_key(ErrorCode::schema_too_new, "vault.key_version", id,
                   "a newer latchkey wrote it; update this one");
  }
  if (at > kKeyMagic.size()) {
    return bad_key(ErrorCode::corrupt, "vault.key_swapped", id,
                   "another key is in its place; restore it from a copy, or log in again");
  }
  return bad_key(ErrorCode::corrupt, "vault.key_altered", id,
                 "it is not what latchkey wrote; restore it from a copy, or log in again");
}

}  // namespace

Result<Bytes> SealedKeys::seal(std::string_view id, const SecretBytes& key) const {
  Bytes bytes = key_preamble(id);
  const auto box = sealer_->seal(key.expose(), as_text(bytes));
  if (!box) return box.error();
  bytes.insert(bytes.end(), box->begin(), box->end());
  return bytes;
}

Result<SecretBytes> SealedKeys::open(std::string_view id,
                                     std::span<const unsigned char> bytes) const {
  const auto box = box_of(id, bytes);
  if (!box) return box.error();
  return sealer_->open(*box, as_text(bytes.first(bytes.size() - box->size())));
}

Result<std::string> SealedKeys::data_key_of(std::string_view id,
                                            std::span<const unsigned char> bytes) const {
  const auto box = box_of(id, bytes);
  if (!box) return box.error();
  return sealed_with(*box);
}

Result<bool> SealedKeys::is_current(std::string_view id,
                                    std::span<const unsigned char> bytes) const {
  const auto box = box_of(id, bytes);
  if (!box) return box.error();
  return sealer_->is_current(*box);
}

}  // namespace latchkey
