// SPDX-License-Identifier: MIT
module;
#include <sodium.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
module latchkey.store.vault.header;
import latchkey.core.crypto;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.secret;
import latchkey.store.vault.aead;
import latchkey.store.vault.master_key;

namespace latchkey {
namespace {

constexpr std::string_view kMagic = "latchkey-vault\n";
constexpr unsigned char kVersion = 1;
constexpr std::string_view kCheckContext = "latchkey.vault.check.v1";
constexpr std::string_view kWrapContext = "latchkey.vault.wrap.v1";
constexpr std::string_view kMacContext = "latchkey.vault.header.v1";

constexpr std::size_t kSaltSize = 16;
constexpr std::size_t kCheckSize = 16;
constexpr std::size_t kMacSize = 32;
constexpr std::size_t kWrappedSize = kNonceSize + kVaultKeySize + kTagSize;

// Where the parts begin.
constexpr std::size_t kVersionAt = kMagic.size();
constexpr std::size_t kKindAt = kVersionAt + 1;
constexpr std::size_t kPassesAt = kKindAt + 1;
constexpr std::size_t kMemoryAt = kPassesAt + 8;
constexpr std::size_t kSaltAt = kMemoryAt + 8;
constexpr std::size_t kCheckAt = kSaltAt + kSaltSize;
constexpr std::size_t kCountAt = kCheckAt + kCheckSize;
constexpr std::size_t kKeysAt = kCountAt + 1;

static_assert(kKeysAt + kMaxDataKeys * kWrappedSize + kMacSize <= kMaxHeaderSize);
static_assert(kSaltSize == crypto_pwhash_argon2id_SALTBYTES);
static_assert(kMasterKeySize == kVaultKeySize);

constexpr std::uint64_t kMiB = 1024 * 1024;
constexpr Argon2Cost kLeastCost{.passes = 1, .memory_bytes = 8 * kMiB};
constexpr Argon2Cost kMostCost{.passes = 20, .memory_bytes = 1024 * kMiB};

// In the file; never to be given to another kind.
constexpr unsigned char number_of(MasterKey::Kind kind) {
  switch (kind) {
    case MasterKey::Kind::key_file:
      return 1;
    case MasterKey::Kind::passphrase:
      return 2;
    case MasterKey::Kind::keychain:
      return 3;
    case MasterKey::Kind::command:
      break;
  }
  return 4;
}

Error unreadable(std::string_view detail, std::string_view cause) {
  return make_error(
      ErrorCode::corrupt, detail,
      "cannot open the vault: " + std::string(cause) + "; restore vault.header from a copy");
}

Error altered() {
  return unreadable("vault.header_altered", "its header is not what latchkey wrote");
}

void append(Bytes& out, std::span<const unsigned char> bytes) {
  out.insert(out.end(), bytes.begin(), bytes.end());
}

void append_number(Bytes& out, std::uint64_t value) {
  for (int shift = 56; shift >= 0; shift -= 8) {
    out.push_back(static_cast<unsigned char>(value >> shift));
  }
}

std::uint64_t number_at(std::span<const unsigned char> bytes, std::size_t at) {
  std::uint64_t value = 0;
  for (const unsigned char byte : bytes.subspan(at, 8)) value = value << 8 | byte;
  return value;
}

// A wrapped key belongs to this header and this place in it.
Bytes wrap_associated(std::span<const unsigned char> fixed_part, std::size_t index) {
  Bytes out(kWrapContext.begin(), kWrapContext.end());
  append(out, fixed_part);
  out.push_back(static_cast<unsigned char>(index));
  return out;
}

SecretBytes mac_of(const SecretBytes& master_key, std::span<const unsigned char> bytes) {
  return derive_subkey(derive_subkey(master_key, kMacContext), as_text(bytes), kMacSize);
}

bool equal(const SecretBytes& secret, std::span<const unsigned char> bytes) {
  return constant_time_equal(as_text(secret.expose()), as_text(bytes));
}

bool is_zero(std::span<const unsigned char> bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](unsigned char byte) { return byte == 0; });
}

Result<void> check_frame(std::span<const unsigned char> bytes) {
  const auto magic = as_text(bytes.first(std::min(bytes.size(), kMagic.size())));
  if (magic != kMagic.substr(0, magic.size())) return altered();
  const Error truncated = unreadable("vault.header_truncated", "its header is cut off");
  if (bytes.size() <= kVersionAt) return truncated;
  if (bytes[kVersionAt] > kVersion) {
    return make_error(ErrorCode::schema_too_new, "vault.version",
                      "cannot open the vault: a newer latchkey wrote it; update this one");
  }
  if (bytes[kVersionAt] != kVersion) return altered();
  if (bytes.size() < kKeysAt) return truncated;
  const std::size_t count = bytes[kCountAt];
  if (count == 0 || count > kMaxDataKeys) return altered();
  const std::size_t size = kKeysAt + count * kWrappedSize + kMacSize;
  if (bytes.size() < size) return truncated;
  if (bytes.size() > size) return altered();
  return {};
}

}  // namespace

bool is_allowed(const Argon2Cost& cost) noexcept {
  return cost.passes >= kLeastCost.passes && cost.passes <= kMostCost.passes &&
         cost.memory_bytes >= kLeastCost.memory_bytes &&
         cost.memory_bytes <= kMostCost.memory_bytes;
}

Result<SecretBytes> derive_master_key(const SecretString& passphrase, const KdfParameters& kdf) {
  ensure_sodium();
  SecretBytes key(kMasterKeySize);
  const auto text = passphrase.expose();
  if (crypto_pwhash(key.mutable_span().data(), key.size(), text.data(), text.size(),
                    kdf.salt.data(), kdf.cost.passes,
                    static_cast<std::size_t>(kdf.cost.memory_bytes),
                    crypto_pwhash_ALG_ARGON2ID13) != 0) {
    return make_error(
        ErrorCode::io, "vault.kdf_memory",
        "cannot derive the vault's key from the passphrase: the system did not give " +
            std::to_string(kdf.cost.memory_bytes / kMiB) +
            " MiB of memory; close other programs and try again");
  }
  return key;
}

Bytes build_header(const VaultHeader& header, const SecretBytes& master_key,
                   std::span<const SecretBytes> data_keys, Random& random) {
  Bytes out(kMagic.begin(), kMagic.end());
  out.push_back(kVersion);
  out.push_back(number_of(header.kind));
  append_number(out, header.kdf.cost.passes);
  append_number(out, header.kdf.cost.memory_bytes);
  if (header.kind == MasterKey::Kind::keychain) {
    append(out, header.item);
  } else {
    append(out, header.kdf.salt);
  }
  append(out, derive_subkey(master_key, kCheckContext, kCheckSize).expose());
  out.push_back(static_cast<unsigned char>(data_keys.size()));
  const Bytes fixed_part = out;
  const SecretBytes wrap_key = derive_subkey(master_key, kWrapContext);
  for (std::size_t i = 0; i < data_keys.size(); ++i) {
    std::array<unsigned char, kNonceSize> nonce{};
    random.fill(nonce);
    append(out, aead_seal(wrap_key, data_keys[i].expose(), nonce, wrap_associated(fixed_part, i)));
  }
  append(out, mac_of(master_key, out).expose());
  return out;
}

Result<VaultHeader> parse_header(std::span<const unsigned char> bytes) {
  if (auto frame = check_frame(bytes); !frame) return std::move(frame).error();
  VaultHeader header;
  header.kdf.cost = {.passes = number_at(bytes, kPassesAt),
                     .memory_bytes = number_at(bytes, kMemoryAt)};
  const auto named = bytes.subspan(kSaltAt, kSaltSize);
  const bool no_cost = is_zero(bytes.subspan(kPassesAt, kSaltAt - kPassesAt));
  switch (bytes[kKindAt]) {
    case number_of(MasterKey::Kind::key_file):
    case number_of(MasterKey::Kind::command):
      if (!no_cost || !is_zero(named)) return altered();
      header.kind = bytes[kKindAt] == number_of(MasterKey::Kind::command)
                        ? MasterKey::Kind::command
                        : MasterKey::Kind::key_file;
      return header;
    case number_of(MasterKey::Kind::passphrase):
      header.kind = MasterKey::Kind::passphrase;
      std::copy(named.begin(), named.end(), header.kdf.salt.begin());
      if (!is_allowed(header.kdf.cost)) {
        return unreadable("vault.kdf_bounds", "its header asks for an absurd amount of work");
      }
      return header;
    case number_of(MasterKey::Kind::keychain):
      header.kind = MasterKey::Kind::keychain;
      std::copy(named.begin(), named.end(), header.item.begin());
      if (!no_cost || is_zero(named)) return altered();
      return header;
    case 0:
      return altered();
    default:
      return make_error(ErrorCode::schema_too_new, "vault.kind_unknown",
                        "cannot open the vault: it was made with a kind of master key that this "
                        "latchkey does not know; update it");
  }
}

Result<std::vector<SecretBytes>> unlock_header(std::span<const unsigned char> bytes,
                                               const SecretBytes& master_key) {
  const auto check = derive_subkey(master_key, kCheckContext, kCheckSize);
  if (!equal(check, bytes.subspan(kCheckAt, kCheckSize))) {
    return make_error(ErrorCode::wrong_key, "vault.wrong_master_key",
                      "cannot open the vault: this is not the key or passphrase it was made with; "
                      "give the right one");
  }
  const auto body = bytes.first(bytes.size() - kMacSize);
  if (!equal(mac_of(master_key, body), bytes.last(kMacSize))) return altered();
  const SecretBytes wrap_key = derive_subkey(master_key, kWrapContext);
  std::vector<SecretBytes> data_keys;
  for (std::size_t i = 0; i < bytes[kCountAt]; ++i) {
    auto key = aead_open(wrap_key, bytes.subspan(kKeysAt + i * kWrappedSize, kWrappedSize),
                         wrap_associated(bytes.first(kKeysAt), i));
    if (!key || key->size() != kVaultKeySize) return altered();
    data_keys.push_back(*std::move(key));
  }
  return data_keys;
}

}  // namespace latchkey
