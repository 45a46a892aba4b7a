// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <cstddef>
#include <cstring>
#include <mutex>
#include <string>
#include <string_view>
module latchkey.dpop.replay;
import latchkey.core.crypto;
import latchkey.core.time;

namespace latchkey {

std::size_t ReplayCache::HashKey::operator()(const Key& key) const noexcept {
  std::size_t hash = 0;
  std::memcpy(&hash, key.data(), sizeof hash);
  return hash;
}

void ReplayCache::forget_until(TimePoint now) {
  while (!by_end_.empty() && by_end_.begin()->until < now) {
    const auto oldest = by_end_.begin();
    seen_.erase(oldest->key);
    if (const auto count = counts_.find(oldest->owner); --count->second == 0) counts_.erase(count);
    by_end_.erase(oldest);
  }
}

ReplayCache::Outcome ReplayCache::remember(std::string_view jkt, std::string_view jti,
                                           TimePoint until, TimePoint now) {
  // A thumbprint has no line end.
  std::string text;
  text.reserve(jkt.size() + 1 + jti.size());
  const Sha256 hash = sha256(text.append(jkt).append(1, '\n').append(jti));
  Remembered proof{.until = until};
  std::copy_n(hash.begin(), proof.key.size(), proof.key.begin());
  const Sha256 owner = sha256(jkt);
  std::memcpy(&proof.owner, owner.data(), sizeof proof.owner);

  const std::scoped_lock lock(mutex_);
  forget_until(now);
  if (seen_.count(proof.key) != 0) return Outcome::replayed;
  const auto count = counts_.find(proof.owner);
  if (count != counts_.end() && count->second >= per_key_) return Outcome::quota;
  if (seen_.size() >= capacity_) return Outcome::full;
  seen_.insert(proof.key);
  by_end_.insert(proof);
  ++counts_[proof.owner];
  return Outcome::first_use;
}

std::size_t ReplayCache::size() const {
  const std::scoped_lock lock(mutex_);
  return seen_.size();
}

}  // namespace latchkey
