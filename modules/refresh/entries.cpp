// SPDX-License-Identifier: MIT
module;
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
module latchkey.refresh.entries;
import latchkey.core.error;
import latchkey.refresh.classify;
import latchkey.session;
import latchkey.store;

namespace latchkey {

Result<std::shared_ptr<const OAuthSession>> Entry::look(OAuthTokenStore& store,
                                                        std::string_view subject, Look how,
                                                        std::uint64_t jitter_seed) {
  const std::uint64_t count = store.change_count(subject);
  if (how == Look::cached && cached && cached_count == count) return cached;
  cached.reset();
  auto stored = store.load(subject);
  if (!stored) return std::move(stored).error();
  if (!stored->has_value()) return cached;
  cached = std::make_shared<const OAuthSession>(std::move(**stored));
  // The count was read before the record: a save in between only makes the next look load again.
  cached_count = count;
  window = refresh_window(*cached, jitter_seed ^ cached->revision.value);
  return cached;
}

std::shared_ptr<Entry> Entries::get(std::string_view subject) {
  Shard& shard = shards_[std::hash<std::string_view>{}(subject) % kShards];
  const std::scoped_lock lock(shard.mutex);
  if (const auto found = shard.entries.find(subject); found != shard.entries.end())
    return found->second;
  if (shard.entries.size() >= kShardCapacity) drop_idle(shard);
  return shard.entries.emplace(std::string(subject), std::make_shared<Entry>()).first->second;
}

std::shared_ptr<Entry> Entries::find(std::string_view subject) const {
  const Shard& shard = shards_[std::hash<std::string_view>{}(subject) % kShards];
  const std::scoped_lock lock(shard.mutex);
  const auto found = shard.entries.find(subject);
  return found == shard.entries.end() ? nullptr : found->second;
}

// One that nobody uses: without a flight, an unsaved session or a failure to remember.
void Entries::drop_idle(Shard& shard) {
  for (auto it = shard.entries.begin(); it != shard.entries.end(); ++it) {
    if (it->second.use_count() != 1) continue;  // the shard's lock keeps it so
    {
      const std::scoped_lock lock(it->second->mutex);
      if (it->second->in_flight || it->second->unsaved || it->second->failures != 0) continue;
    }
    shard.entries.erase(it);
    return;
  }
}

}  // namespace latchkey
