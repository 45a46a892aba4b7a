// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>
module latchkey.store.vault;
import latchkey.core.crypto;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.secret;
import latchkey.core.time;
import latchkey.store.vault.aead;

namespace latchkey {
namespace {

constexpr std::string_view kBoxPrefix = "latchkey.box.v1";
constexpr unsigned char kUnsealedVersion = 0;
constexpr unsigned char kBoxVersion = 1;
constexpr std::size_t kIdEnd = 1 + std::tuple_size_v<KeyId>;
constexpr std::size_t kBoxHeaderSize = kIdEnd + kNonceSize;
constexpr std::size_t kMaxKeyIdSize = 128;

struct SealingKey {
  KeyId id;
  SecretBytes key;
};

class UnsealedSealer final : public Sealer {
 public:
  Result<Bytes> seal(std::span<const unsigned char> plaintext, std::string_view) override {
    Bytes box{kUnsealedVersion};
    box.insert(box.end(), plaintext.begin(), plaintext.end());
    return box;
  }

  Result<SecretBytes> open(std::span<const unsigned char> box, std::string_view) override {
    if (box.empty()) {
      return make_error(ErrorCode::corrupt, "box.truncated",
                        "cannot read an unsealed box: it is empty; log in again");
    }
    if (box[0] != kUnsealedVersion) {
      return make_error(
          ErrorCode::wrong_key, "box.sealed",
          "cannot read a box: it is sealed, and this store was opened without a vault; "
          "open it with the vault that sealed it");
    }
    return SecretBytes(box.subspan(1));
  }

  bool is_current(std::span<const unsigned char> box) override {
    return !box.empty() && box[0] == kUnsealedVersion;
  }
};

// Box format 1 under keys that are in memory.
class BoxSealer final : public Sealer {
 public:
  BoxSealer(std::vector<SealingKey> keys, std::shared_ptr<Random> random)
      : keys_(std::move(keys)), random_(std::move(random)) {}

  Result<Bytes> seal(std::span<const unsigned char> plaintext, std::string_view context) override {
    const SealingKey& newest = keys_.front();
    std::array<unsigned char, kBoxHeaderSize> header{kBoxVersion};
    std::copy(newest.id.begin(), newest.id.end(), header.begin() + 1);
    const auto nonce = std::span(header).subspan<kIdEnd, kNonceSize>();
    random_->fill(nonce);
    const Bytes sealed = aead_seal(newest.key, plaintext, nonce, associated(header, context));
    Bytes box;
    box.reserve(kIdEnd + sealed.size());
    box.insert(box.end(), header.begin(), header.begin() + kIdEnd);
    box.insert(box.end(), sealed.begin(), sealed.end());
    return box;
  }

  Result<SecretBytes> open(std::span<const unsigned char> box, std::string_view context) override {
    if (auto form = check_form(box); !form) return std::move(form).error();
    const auto id = box.subspan(1, std::tuple_size_v<KeyId>);
    const auto key = std::find_if(keys_.begin(), keys_.end(), [&](const SealingKey& candidate) {
      return std::equal(id.begin(), id.end(), candidate.id.begin());
    });
    if (key == keys_.end()) {
      return make_error(
          ErrorCode::wrong_key, "box.unknown_key",
          "cannot open a sealed box: it was sealed by another vault; open the vault it belongs to");
    }
    return aead_open(key->key, box.subspan(kIdEnd), associated(box.first(kBoxHeaderSize), context));
  }

  bool is_current(std::span<const unsigned char> box) override {
    return sealed_with(box) == hex_encode(keys_.front().id);
  }

 private:
  static Bytes associated(std::span<const unsigned char> header, std::string_view context) {
    Bytes out;
    out.reserve(kBoxPrefix.size() + header.size() + context.size());
    out.insert(out.end(), kBoxPrefix.begin(), kBoxPrefix.end());
    out.insert(out.end(), header.begin(), header.end());
    out.insert(out.end(), context.begin(), context.end());
    return out;
  }

  static Result<void> check_form(std::span<const unsigned char> box) {
    if (!box.empty() && box[0] == kUnsealedVersion) {
      return make_error(
          ErrorCode::wrong_key, "box.unsealed",
          "cannot open a box: it is not sealed, and this store seals; open the store with "
          "store_sessions_unsealed, or log in again");
    }
    if (!box.empty() && box[0] > kBoxVersion) {
      return make_error(ErrorCode::schema_too_new, "box.version",
                        "cannot open a sealed box: a newer latchkey sealed it; update this one");
    }
    if (box.size() < kBoxHeaderSize + kTagSize) {
      return make_error(
          ErrorCode::corrupt, "box.truncated",
          "cannot open a sealed box: it is cut off; restore it from a copy, or log in again");
    }
    return {};
  }

  std::vector<SealingKey> keys_;
  std::shared_ptr<Random> random_;
};

// Under the lock only the map is touched; sealing and opening are the sealer's, which is
// thread-safe.
class MemoryVault final : public KeyVault {
 public:
  MemoryVault(std::shared_ptr<Random> random, std::shared_ptr<Clock> clock)
      : clock_(std::move(clock)) {
    const std::array keys{random_key(*random)};
    keys_ = make_sealer(keys, kVaultKeysPurpose, random);
    sessions_ = make_sealer(keys, kSessionsPurpose, random);
  }

  Result<void> put(std::string_view id, const SecretBytes& key) override {
    if (auto good = check_new_key(id, key); !good) return good;
    const std::scoped_lock lock(mutex_);
    const auto found = boxes_.find(id);
    if (found == boxes_.end()) {
      auto box = keys_->seal(key.expose(), id);
      if (!box) return std::move(box).error();
      boxes_.emplace(id, Kept{*std::move(box), clock_->now()});
      return {};
    }
    auto kept = keys_->open(found->second.box, id);
    if (!kept) return std::move(kept).error();
    if (*kept == key) return {};
    return key_exists(id);
  }

  Result<std::optional<SecretBytes>> get(std::string_view id) override {
    if (auto good = check_key_id(id); !good) return std::move(good).error();
    const std::scoped_lock lock(mutex_);
    const auto found = boxes_.find(id);
    if (found == boxes_.end()) return std::optional<SecretBytes>{};
    auto key = keys_->open(found->second.box, id);
    if (!key) return std::move(key).error();
    return std::optional(*std::move(key));
  }

  Result<void> remove(std::string_view id) override {
    if (auto good = check_key_id(id); !good) return good;
    const std::scoped_lock lock(mutex_);
    if (const auto found = boxes_.find(id); found != boxes_.end()) boxes_.erase(found);
    return {};
  }

  Result<std::vector<VaultKeyInfo>> list() override {
    const std::scoped_lock lock(mutex_);
    std::vector<VaultKeyInfo> keys;
    for (const auto& [id, kept] : boxes_) keys.push_back({.id = id, .stored_at = kept.stored_at});
    return keys;
  }

  std::shared_ptr<Sealer> sealer() override { return sessions_; }

 private:
  struct Kept {
    Bytes box;
    TimePoint stored_at;
  };
  std::shared_ptr<Clock> clock_;
  std::shared_ptr<Sealer> keys_, sessions_;
  std::mutex mutex_;
  std::map<std::string, Kept, std::less<>> boxes_;
};

}  // namespace

Sealer::~Sealer() {}
KeyVault::~KeyVault() {}

std::shared_ptr<Sealer> store_sessions_unsealed() {
  return std::make_shared<UnsealedSealer>();
}

std::string sealed_with(std::span<const unsigned char> box) {
  if (box.size() < kBoxHeaderSize || box[0] != kBoxVersion) return {};
  return hex_encode(box.subspan(1, std::tuple_size_v<KeyId>));
}

std::shared_ptr<Sealer> make_sealer(std::span<const SecretBytes> data_keys,
                                    std::string_view purpose, std::shared_ptr<Random> random) {
  std::vector<SealingKey> keys;
  keys.reserve(data_keys.size());
  for (const SecretBytes& data_key : data_keys) {
    keys.push_back({.id = key_id_of(data_key), .key = derive_subkey(data_key, purpose)});
  }
  return std::make_shared<BoxSealer>(std::move(keys), std::move(random));
}

std::shared_ptr<KeyVault> memory_vault(std::shared_ptr<Clock> clock) {
  if (!clock) clock = std::make_shared<SystemClock>();
  return std::make_shared<MemoryVault>(std::make_shared<SystemRandom>(), std::move(clock));
}

Error key_exists(std::string_view id) {
  return make_error(ErrorCode::conflict, "vault.exists",
                    "cannot keep the key " + std::string(id) +
                        ": the vault holds another key under this id; remove that one first");
}

Result<void> check_key_id(std::string_view id) {
  const bool good = std::all_of(id.begin(), id.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_';
  });
  if (good && !id.empty() && id.size() <= kMaxKeyIdSize) return {};
  return make_error(ErrorCode::invalid_argument, "vault.id",
                    "cannot use a key id: it must be 1 to 128 characters of base64url");
}

Result<void> check_new_key(std::string_view id, const SecretBytes& key) {
  if (auto good = check_key_id(id); !good) return good;
  if (!key.empty() && key.size() <= kMaxVaultKeySize) return {};
  return make_error(ErrorCode::invalid_argument, "vault.key_size",
                    "cannot keep the key " + std::string(id) + ": it must have 1 to 16384 bytes");
}

}  // namespace latchkey
