// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <condition_variable>
#include <cstddef>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <utility>
module latchkey.atproto.identity_cache;
import latchkey.core.error;
import latchkey.core.time;

namespace latchkey {

std::optional<Result<Identity>> IdentityCache::find(const std::string& name) {
  const auto entry = entries_.find(name);
  if (entry == entries_.end()) return std::nullopt;
  if (clock_->steady_now() < entry->second.until) return entry->second.answer;
  entries_.erase(entry);
  return std::nullopt;
}

// Nothing: an answer that says more about the network than about the account.
std::optional<Duration> IdentityCache::lifetime_of(const Result<Identity>& answer) const {
  if (answer) {
    return answer->handle == kInvalidHandle ? options_.negative_lifetime : options_.lifetime;
  }
  const auto code = answer.error().code;
  if (code != ErrorCode::identity_not_found && code != ErrorCode::identity_mismatch) {
    return std::nullopt;
  }
  return options_.negative_lifetime;
}

void IdentityCache::keep(const std::string& name, const Result<Identity>& answer) {
  const auto lifetime = lifetime_of(answer);
  if (!lifetime || options_.max_entries == 0) return;
  entries_.erase(name);
  if (entries_.size() >= options_.max_entries) {
    entries_.erase(std::min_element(
        entries_.begin(), entries_.end(),
        [](const auto& one, const auto& other) { return one.second.until < other.second.until; }));
  }
  entries_.emplace(name, Entry{answer, clock_->steady_now() + *lifetime});
}

void IdentityCache::put(const std::string& name, const Result<Identity>& answer) {
  const std::scoped_lock lock(mutex_);
  keep(name, answer);
}

std::size_t IdentityCache::size() const {
  const std::scoped_lock lock(mutex_);
  return entries_.size();
}

// Ends a flight, also when the lookup throws: else all others would wait for ever.
class IdentityCache::Landing {
 public:
  Landing(IdentityCache& cache, const std::string& name, std::shared_ptr<Flight> flight)
      : cache_(cache), name_(name), flight_(std::move(flight)) {}
  Landing(const Landing&) = delete;
  Landing& operator=(const Landing&) = delete;
  ~Landing() {
    const std::scoped_lock lock(cache_.mutex_);
    cache_.flights_.erase(name_);
    flight_->landed = true;
    cache_.changed_.notify_all();
  }
  void with(const Result<Identity>& answer) {
    // That one caller has given up says nothing to the others.
    if (!answer && answer.error().code == ErrorCode::cancelled) return;
    const std::scoped_lock lock(cache_.mutex_);
    flight_->answer = answer;
    cache_.keep(name_, answer);
  }

 private:
  IdentityCache& cache_;
  const std::string& name_;
  std::shared_ptr<Flight> flight_;
};

Result<Identity> IdentityCache::get(const std::string& name, const Look& look,
                                    std::stop_token stop) {
  std::unique_lock lock(mutex_);
  for (;;) {
    if (auto known = find(name)) return *std::move(known);
    const auto other = flights_.find(name);
    if (other == flights_.end()) break;
    const auto flight = other->second;
    if (!changed_.wait(lock, stop, [&] { return flight->landed; })) {
      return make_error(
          ErrorCode::cancelled, "identity.cancelled",
          "cannot look up " + name + ": the lookup was cancelled; start it again if it is wanted");
    }
    if (flight->answer) return *flight->answer;
  }
  Landing landing(*this, name, flights_.emplace(name, std::make_shared<Flight>()).first->second);
  lock.unlock();
  auto answer = look(std::move(stop));
  landing.with(answer);
  return answer;
}

}  // namespace latchkey
