// SPDX-License-Identifier: MIT
module;
#include <sodium.h>

#include <algorithm>
#include <cstddef>
#include <span>
#include <string_view>
module latchkey.store.vault.aead;
import latchkey.core.crypto;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.secret;

namespace latchkey {
namespace {

static_assert(kVaultKeySize == crypto_aead_xchacha20poly1305_ietf_KEYBYTES);
static_assert(kNonceSize == crypto_aead_xchacha20poly1305_ietf_NPUBBYTES);
static_assert(kTagSize == crypto_aead_xchacha20poly1305_ietf_ABYTES);

constexpr std::string_view kKeyIdContext = "latchkey.vault.keyid.v1";

Error altered() {
  return make_error(ErrorCode::corrupt, "box.altered",
                    "cannot open a sealed box: it or the record around it was changed; restore it "
                    "from a copy, or log in again");
}

}  // namespace

SecretBytes derive_subkey(const SecretBytes& key, std::string_view context, std::size_t size) {
  ensure_sodium();
  SecretBytes out(size);
  const auto text = as_bytes(context);
  crypto_generichash(out.mutable_span().data(), size, text.data(), text.size(), key.expose().data(),
                     key.size());
  return out;
}

KeyId key_id_of(const SecretBytes& data_key) {
  const SecretBytes digest = derive_subkey(data_key, kKeyIdContext);
  KeyId id{};
  std::copy_n(digest.expose().begin(), id.size(), id.begin());
  return id;
}

SecretBytes random_key(Random& random) {
  SecretBytes key(kVaultKeySize);
  random.fill(key.mutable_span());
  return key;
}

Bytes aead_seal(const SecretBytes& key, std::span<const unsigned char> plaintext,
                std::span<const unsigned char, kNonceSize> nonce,
                std::span<const unsigned char> associated) {
  ensure_sodium();
  Bytes out(kNonceSize + plaintext.size() + kTagSize);
  std::copy(nonce.begin(), nonce.end(), out.begin());
  crypto_aead_xchacha20poly1305_ietf_encrypt(out.data() + kNonceSize, nullptr, plaintext.data(),
                                             plaintext.size(), associated.data(), associated.size(),
                                             nullptr, nonce.data(), key.expose().data());
  return out;
}

Result<SecretBytes> aead_open(const SecretBytes& key, std::span<const unsigned char> sealed,
                              std::span<const unsigned char> associated) {
  ensure_sodium();
  if (sealed.size() < kNonceSize + kTagSize) return altered();
  const auto text = sealed.subspan(kNonceSize);
  // One byte at least: libsodium wants somewhere to write, also when there is nothing to write.
  SecretBytes plain(std::max<std::size_t>(1, text.size() - kTagSize));
  if (crypto_aead_xchacha20poly1305_ietf_decrypt(
          plain.mutable_span().data(), nullptr, nullptr, text.data(), text.size(),
          associated.data(), associated.size(), sealed.data(), key.expose().data()) != 0) {
    return altered();
  }
  plain.truncate(text.size() - kTagSize);
  return plain;
}

}  // namespace latchkey
