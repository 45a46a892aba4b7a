// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <cstddef>
#include <iterator>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
module latchkey.dpop.nonce;

namespace latchkey {
namespace {

constexpr std::size_t kMaxNonce = 512;

// Neither an origin nor a thumbprint has a line end.
std::string key_of(std::string_view origin, std::string_view jkt) {
  std::string key;
  key.reserve(origin.size() + 1 + jkt.size());
  return key.append(origin).append(1, '\n').append(jkt);
}

}  // namespace

bool is_dpop_nonce(std::string_view text) noexcept {
  bool good = !text.empty() && text.size() <= kMaxNonce;
  // On the path of every proof: without an early exit this becomes a few vector instructions.
  for (const char c : text) good &= (c > ' ') & (c <= '~') & (c != '"') & (c != '\\');
  return good;
}

NonceStorage::~NonceStorage() {}

NonceCache::NonceCache(std::shared_ptr<NonceStorage> storage, std::size_t capacity)
    : storage_(std::move(storage)), capacity_(std::max<std::size_t>(capacity, 1)) {}

// The entry of `key`, made if it is not there, as the last used one. Under the lock.
NonceCache::Entry& NonceCache::touch(const std::string& key) {
  if (const auto found = index_.find(key); found != index_.end()) {
    entries_.splice(entries_.begin(), entries_, found->second);
    return entries_.front();
  }
  if (entries_.size() == capacity_) {
    index_.erase(entries_.back().key);
    entries_.pop_back();
  }
  entries_.push_front(Entry{.key = key, .nonce = {}});
  index_.emplace(entries_.front().key, entries_.begin());
  return entries_.front();
}

std::optional<std::string> NonceCache::find(std::string_view origin, std::string_view jkt) {
  const std::string key = key_of(origin, jkt);
  {
    const std::scoped_lock lock(mutex_);
    const bool known = index_.find(key) != index_.end();
    const Entry& entry = touch(key);
    if (!entry.nonce.empty()) return entry.nonce;
    if (known || storage_ == nullptr) return std::nullopt;
  }
  auto loaded = storage_->load_nonce(origin, jkt);
  if (!loaded || !is_dpop_nonce(*loaded)) return std::nullopt;
  const std::scoped_lock lock(mutex_);
  Entry& entry = touch(key);
  // A nonce that was learnt meanwhile is newer.
  if (entry.nonce.empty()) entry.nonce = std::move(*loaded);
  return entry.nonce;
}

void NonceCache::learn(std::string_view origin, std::string_view jkt, std::string_view nonce) {
  if (!is_dpop_nonce(nonce)) return;
  {
    const std::scoped_lock lock(mutex_);
    Entry& entry = touch(key_of(origin, jkt));
    if (entry.nonce == nonce) return;
    entry.nonce = nonce;
  }
  if (storage_ != nullptr) storage_->save_nonce(origin, jkt, nonce);
}

}  // namespace latchkey
