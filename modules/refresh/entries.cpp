// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
module latchkey.refresh.entries;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.refresh.classify;
import latchkey.session;
import latchkey.store;

namespace latchkey {
namespace {

using SharedSession = std::shared_ptr<const OAuthSession>;

/// Lets others in while the store is asked, and tells them when that is over, however it ends.
class Loading {
 public:
  Loading(Entry& entry, std::unique_lock<std::mutex>& lock) : entry_(entry), lock_(lock) {
    entry_.loading = true;
    lock_.unlock();
  }
  Loading(const Loading&) = delete;
  Loading& operator=(const Loading&) = delete;
  ~Loading() {
    lock_.lock();
    entry_.loading = false;
    ++entry_.loads_done;
    entry_.changed.notify_all();
  }

 private:
  Entry& entry_;
  std::unique_lock<std::mutex>& lock_;
};

}  // namespace

Result<SharedSession> Entry::look(std::unique_lock<std::mutex>& lock, const LookOrder& order) {
  for (Look how = order.how;;) {
    const std::uint64_t count = order.store.change_count(order.subject);
    if (how == Look::cached && cached && cached_count == count) return cached;
    if (!loading) return load(lock, order, count);
    if (auto loaded = wait_for_load(lock, order); !loaded) return std::move(loaded).error();
    how = Look::cached;  // what has just been loaded is new enough
  }
}

Result<SharedSession> Entry::load(std::unique_lock<std::mutex>& lock, const LookOrder& order,
                                  std::uint64_t count) {
  cached.reset();
  load_error.reset();
  auto stored = [&] {
    const Loading loading_now(*this, lock);
    return order.store.load(order.subject);
  }();
  if (!stored) {
    load_error = stored.error();
    return std::move(stored).error();
  }
  if (!stored->has_value()) return SharedSession();
  cached = std::make_shared<const OAuthSession>(std::move(**stored));
  // The count was read before the record: a save in between only makes the next look load again.
  cached_count = count;
  window = refresh_window(*cached, order.jitter_seed ^ cached->revision.value);
  return cached;
}

// An error is everybody's: a store that fails slowly must not be asked by one after the other.
Result<void> Entry::wait_for_load(std::unique_lock<std::mutex>& lock, const LookOrder& order) {
  const std::uint64_t seen = loads_done;
  const bool ended =
      changed.wait_until(lock, order.stop, order.deadline, [&] { return loads_done != seen; });
  if (ended && !load_error) return {};
  if (ended) return *load_error;
  if (order.stop.stop_requested()) {
    return make_error(ErrorCode::cancelled, "refresh.cancelled",
                      "stopped waiting for the store to tell the session");
  }
  return make_error(ErrorCode::timeout, "session.timeout",
                    "cannot tell the session of " + printable(order.subject, 100) +
                        ": the store did not answer in time; try again");
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
