// SPDX-License-Identifier: MIT
module;
#include <netdb.h>
#include <sys/socket.h>

#include <algorithm>
#include <condition_variable>
#include <cstddef>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>
module latchkey.http.resolver;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.os.process;
import latchkey.http.policy;

namespace latchkey {
namespace {

constexpr std::size_t kMostLookups = 64;
constexpr std::ptrdiff_t kMostOfOneDomain = 32;

Error failure(ErrorCode code, std::string_view detail, const std::string& name,
              std::string_view cause, std::string_view remedy) {
  return make_error(code, detail,
                    "cannot find the address of " + printable(name, 200) + ": " +
                        printable(cause, 200) + "; " + std::string(remedy));
}

// A look-up under way: shared by its thread, which may outlive whoever waits, and those who wait.
class Lookup {
 public:
  void finish(LookedUp result) {
    const std::lock_guard lock(mutex_);
    result_ = std::move(result);
    done_ = true;
    changed_.notify_all();
  }
  Result<std::vector<IpAddress>> wait(const std::string& name, const LookupLimits& limits);

 private:
  std::mutex mutex_;
  std::condition_variable_any changed_;
  bool done_ = false;
  LookedUp result_;
};

Result<std::vector<IpAddress>> Lookup::wait(const std::string& name, const LookupLimits& limits) {
  std::unique_lock lock(mutex_);
  changed_.wait_until(lock, limits.stop, limits.deadline, [this] { return done_; });
  if (done_ && result_.failure.empty()) return result_.addresses;
  if (done_) {
    return failure(ErrorCode::unreachable, "http.name", name, result_.failure,
                   "check the name and the network");
  }
  if (limits.stop.stop_requested()) {
    return failure(ErrorCode::cancelled, "http.cancelled", name, "the request was cancelled",
                   "start it again if it is wanted");
  }
  return failure(ErrorCode::timeout, "http.connect_timeout", name, "no answer in time",
                 "check the network");
}

// Without the list of public suffixes: a public suffix of two labels counts as one domain, too.
std::string_view domain_of(std::string_view name) {
  const auto last = name.rfind('.');
  if (last == std::string_view::npos || last == 0) return name;
  const auto before = name.rfind('.', last - 1);
  return before == std::string_view::npos ? name : name.substr(before + 1);
}

// The look-ups under way, by name. Each thread owns it too.
class Lookups : public std::enable_shared_from_this<Lookups> {
 public:
  explicit Lookups(BlockingLookup lookup) : lookup_(std::move(lookup)) {}

  // The one that is under way, or a new one; null if there are too many.
  std::shared_ptr<Lookup> join(const std::string& name) {
    const std::lock_guard lock(mutex_);
    if (const auto found = under_way_.find(name); found != under_way_.end()) return found->second;
    if (!has_room_for(name)) return nullptr;
    const auto lookup = std::make_shared<Lookup>();
    try {
      start_thread_without_signals([self = shared_from_this(), name, lookup] {
        self->run(name, *lookup);
      }).detach();
    } catch (const std::system_error&) {
      return nullptr;
    }
    under_way_.emplace(name, lookup);
    return lookup;
  }

 private:
  void run(const std::string& name, Lookup& lookup) {
    auto result = lookup_(name);
    {
      const std::lock_guard lock(mutex_);
      under_way_.erase(name);
    }
    lookup.finish(std::move(result));
  }

  // With mutex_ held.
  [[nodiscard]] bool has_room_for(std::string_view name) const {
    const auto same = std::count_if(
        under_way_.begin(), under_way_.end(),
        [domain = domain_of(name)](const auto& one) { return domain_of(one.first) == domain; });
    return under_way_.size() < kMostLookups && same < kMostOfOneDomain;
  }

  const BlockingLookup lookup_;
  std::mutex mutex_;
  std::map<std::string, std::shared_ptr<Lookup>> under_way_;
};

class ThreadedResolver final : public NameResolver {
 public:
  explicit ThreadedResolver(BlockingLookup lookup)
      : lookups_(std::make_shared<Lookups>(std::move(lookup))) {}

  Result<std::vector<IpAddress>> addresses(const std::string& name,
                                           const LookupLimits& limits) override {
    if (const auto lookup = lookups_->join(name)) return lookup->wait(name, limits);
    return failure(ErrorCode::unreachable, "http.name_busy", name,
                   "too many look-ups are under way", "try again later");
  }

 private:
  const std::shared_ptr<Lookups> lookups_;
};

LookedUp ask_system(const std::string& name) {
  const addrinfo hints{.ai_flags = AI_ADDRCONFIG,
                       .ai_family = AF_UNSPEC,
                       .ai_socktype = SOCK_STREAM,
                       .ai_protocol = 0,
                       .ai_addrlen = 0,
                       .ai_addr = nullptr,
                       .ai_canonname = nullptr,
                       .ai_next = nullptr};
  addrinfo* list = nullptr;
  const int code = ::getaddrinfo(name.c_str(), nullptr, &hints, &list);
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> owned(list, ::freeaddrinfo);
  if (code != 0) return {.failure = ::gai_strerror(code)};
  LookedUp out;
  for (const auto* entry = list; entry != nullptr; entry = entry->ai_next) {
    if (const auto address = address_of_socket(entry->ai_addr, entry->ai_addrlen))
      out.addresses.push_back(*address);
  }
  return out;
}

}  // namespace

std::shared_ptr<NameResolver> threaded_resolver(BlockingLookup lookup) {
  return std::make_shared<ThreadedResolver>(std::move(lookup));
}

std::shared_ptr<NameResolver> system_resolver() {
  static const auto resolver = threaded_resolver(ask_system);
  return resolver;
}

}  // namespace latchkey
