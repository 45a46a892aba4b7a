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

ReplayCache::Outcome ReplayCache::remember(std::string_view jkt, std::string_view jti,
                                           TimePoint until, TimePoint now) {
  // A thumbprint has no line end.
  std::string text;
  text.reserve(jkt.size() + 1 + jti.size());
  const Sha256 hash = sha256(text.append(jkt).append(1, '\n').append(jti));
  Key key{};
  std::copy_n(hash.begin(), key.size(), key.begin());

  const std::scoped_lock lock(mutex_);
  while (!by_end_.empty() && by_end_.begin()->first < now) {
    seen_.erase(by_end_.begin()->second);
    by_end_.erase(by_end_.begin());
  }
  if (seen_.count(key) != 0) return Outcome::replayed;
  if (seen_.size() >= capacity_) return Outcome::full;
  seen_.insert(key);
  by_end_.emplace(until, key);
  return Outcome::first_use;
}

std::size_t ReplayCache::size() const {
  const std::scoped_lock lock(mutex_);
  return seen_.size();
}

}  // namespace latchkey
