// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
module latchkey.store.vault.data_keys;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.secret;
import latchkey.core.time;
import latchkey.store.vault;
import latchkey.store.vault.header;
import latchkey.store.vault.managed;
import latchkey.store.vault.opening;
import latchkey.store.vault.place;
import latchkey.store.vault.shelf;

namespace latchkey {
namespace {

constexpr std::string_view kRewrapped = "vault.rewrapped";

class LiveSealer final : public Sealer {
 public:
  LiveSealer(std::shared_ptr<DataKeys> keys, std::shared_ptr<Sealer> DataSealers::* which)
      : keys_(std::move(keys)), which_(which) {}

  Result<Bytes> seal(std::span<const unsigned char> plaintext, std::string_view context) override {
    const auto sealers = keys_->for_sealing();
    if (!sealers) return sealers.error();
    return ((**sealers).*which_)->seal(plaintext, context);
  }

  Result<SecretBytes> open(std::span<const unsigned char> box, std::string_view context) override {
    auto text = now()->open(box, context);
    if (text || text.error().detail != "box.unknown_key") return text;
    // The process that rotated may have died before it could announce it.
    if (auto read = keys_->reload(); !read) return std::move(read).error();
    return now()->open(box, context);
  }

  bool is_current(std::span<const unsigned char> box) override { return now()->is_current(box); }

 private:
  std::shared_ptr<Sealer> now() { return (*keys_->current()).*which_; }
  std::shared_ptr<DataKeys> keys_;
  std::shared_ptr<Sealer> DataSealers::* which_;
};

}  // namespace

DataKeys::DataKeys(std::shared_ptr<VaultShelf> shelf, UnlockedVault vault,
                   std::optional<std::uint64_t> seen)
    : shelf_(std::move(shelf)), seen_(seen), last_good_(shelf_->seams().clock->steady_now()) {
  use(vault.data_keys);
  master_keys_.push_back(std::move(vault.master_key));
}

void DataKeys::use(const std::vector<SecretBytes>& data_keys) {
  const auto& random = shelf_->seams().random;
  sealers_ = std::make_shared<const DataSealers>(
      DataSealers{.keys = make_sealer(data_keys, kVaultKeysPurpose, random),
                  .sessions = make_sealer(data_keys, kSessionsPurpose, random),
                  .rotation = make_sealer(data_keys, kRotationPurpose, random)});
}

// A shelf that does not know is not asked for more until it must be. Looking again at a header
// under another master key is of no use before it changes again.
bool DataKeys::needs_look(std::optional<std::uint64_t> changes,
                          std::chrono::steady_clock::time_point now) const {
  if (!changes) return now - last_good_ >= kSealingGrace;
  return changes != seen_ || (failure_ && failure_->detail != kRewrapped);
}

std::shared_ptr<const DataSealers> DataKeys::current() {
  const auto now = shelf_->seams().clock->steady_now();
  const auto changes = shelf_->header_changes();
  {
    const std::scoped_lock lock(mutex_);
    if (!needs_look(changes, now)) {
      if (changes && !failure_) last_good_ = now;
      return sealers_;
    }
  }
  static_cast<void>(reload());
  const std::scoped_lock lock(mutex_);
  return sealers_;
}

Result<std::shared_ptr<const DataSealers>> DataKeys::for_sealing() {
  auto sealers = current();
  const auto now = shelf_->seams().clock->steady_now();
  const std::scoped_lock lock(mutex_);
  if (failure_ && now - last_good_ >= kSealingGrace) return *failure_;
  return sealers;
}

Result<UnlockedVault> DataKeys::reload() {
  const std::scoped_lock lock(mutex_);
  const auto now = shelf_->seams().clock->steady_now();
  auto read = read_anew();
  if (read) {
    failure_.reset();
    last_good_ = now;
  } else {
    failure_ = read.error();
  }
  return read;
}

Result<UnlockedVault> DataKeys::read_anew() {
  const auto changes = shelf_->header_changes();  // one that comes while we read is seen next time
  auto bytes = shelf_->read_header();
  if (!bytes) return std::move(bytes).error();
  if (!*bytes) {
    return cannot_open(ErrorCode::corrupt, "vault.header_missing",
                       "its header is gone from " + shelf_->where() + "; restore it from a copy");
  }
  auto header = parse_header(**bytes);
  if (!header) return std::move(header).error();
  for (const SecretBytes& master_key : master_keys_) {
    auto data_keys = unlock_header(**bytes, master_key);
    if (!data_keys && data_keys.error().code == ErrorCode::wrong_key) continue;
    if (!data_keys) return std::move(data_keys).error();
    use(*data_keys);
    seen_ = changes;
    return UnlockedVault{.header = *std::move(header),
                         .master_key = master_key.clone(),
                         .data_keys = *std::move(data_keys),
                         .bytes = *std::move(bytes)};
  }
  seen_ = changes;
  return cannot_open(ErrorCode::locked, kRewrapped,
                     "its master key was changed since this program opened it; start the program "
                     "again");
}

void DataKeys::expect_master_key(const SecretBytes& master_key) {
  const std::scoped_lock lock(mutex_);
  master_keys_.insert(master_keys_.begin(), master_key.clone());
}

std::shared_ptr<Sealer> DataKeys::keys_sealer() {
  return std::make_shared<LiveSealer>(shared_from_this(), &DataSealers::keys);
}

std::shared_ptr<Sealer> DataKeys::sessions_sealer() {
  return std::make_shared<LiveSealer>(shared_from_this(), &DataSealers::sessions);
}

}  // namespace latchkey
