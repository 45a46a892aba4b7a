// SPDX-License-Identifier: MIT
module;
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstring>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>
module latchkey.http.resolver;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.os.process;
import latchkey.core.url;
import latchkey.http.policy;

namespace latchkey {
namespace {

constexpr int kMostLookups = 64;
constexpr std::size_t kMostAddresses = 8;

Error lookup_failure(ErrorCode code, std::string_view detail, const std::string& name,
                     std::string_view cause, std::string_view remedy) {
  return make_error(code, detail,
                    "cannot find the address of " + printable(name, 200) + ": " +
                        printable(cause, 200) + "; " + std::string(remedy));
}

// A look-up under way: shared with its thread, which may outlive whoever waits.
struct Lookup {
  explicit Lookup(std::string what) : name(std::move(what)) { ++under_way; }
  Lookup(const Lookup&) = delete;
  Lookup& operator=(const Lookup&) = delete;
  ~Lookup() { --under_way; }

  void run();

  static inline std::atomic<int> under_way{0};
  const std::string name;
  std::mutex mutex;
  std::condition_variable_any changed;
  bool done = false;             // under mutex
  int failure = 0;               // under mutex: what getaddrinfo returned
  std::vector<IpAddress> found;  // under mutex
};

void Lookup::run() {
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
  const std::lock_guard lock(mutex);
  failure = code;
  for (const auto* entry = list; code == 0 && entry != nullptr; entry = entry->ai_next) {
    if (const auto address = address_of_socket(entry->ai_addr, entry->ai_addrlen))
      found.push_back(*address);
  }
  done = true;
  changed.notify_all();
}

class SystemResolver final : public NameResolver {
 public:
  Result<std::vector<IpAddress>> addresses(const std::string& name,
                                           const LookupLimits& limits) override;
};

Result<std::vector<IpAddress>> SystemResolver::addresses(const std::string& name,
                                                         const LookupLimits& limits) {
  const auto busy = [&] {
    return lookup_failure(ErrorCode::unreachable, "http.name_busy", name,
                          "too many look-ups are under way", "try again later");
  };
  const auto lookup = std::make_shared<Lookup>(name);
  if (Lookup::under_way > kMostLookups) return busy();
  try {
    start_thread_without_signals([lookup] { lookup->run(); }).detach();
  } catch (const std::system_error&) {
    return busy();
  }
  std::unique_lock lock(lookup->mutex);
  lookup->changed.wait_until(lock, limits.stop, limits.deadline, [&] { return lookup->done; });
  if (lookup->done && lookup->failure == 0) return std::move(lookup->found);
  if (lookup->done) {
    return lookup_failure(ErrorCode::unreachable, "http.name", name,
                          ::gai_strerror(lookup->failure), "check the name and the network");
  }
  if (limits.stop.stop_requested()) {
    return lookup_failure(ErrorCode::cancelled, "http.cancelled", name, "the request was cancelled",
                          "start it again if it is wanted");
  }
  return lookup_failure(ErrorCode::timeout, "http.connect_timeout", name, "no answer in time",
                        "check the network");
}

// The first address of each family, then the second, and so on; the family that came first begins.
std::vector<IpAddress> in_turns(const std::vector<IpAddress>& addresses) {
  std::vector<IpAddress> sides[2], out;
  for (const auto& address : addresses)
    sides[address.is_v4() == addresses.front().is_v4() ? 0 : 1].push_back(address);
  for (std::size_t i = 0; i < addresses.size(); ++i) {
    for (const auto& side : sides) {
      if (i < side.size() && out.size() < kMostAddresses) out.push_back(side[i]);
    }
  }
  return out;
}

}  // namespace

NameResolver::~NameResolver() {}

std::optional<IpAddress> address_of_socket(const void* address, std::size_t size) {
  sockaddr_storage storage{};
  if (size > sizeof storage) return std::nullopt;
  std::memcpy(&storage, address, size);
  if (storage.ss_family == AF_INET && size >= sizeof(sockaddr_in)) {
    std::array<unsigned char, 4> bytes{};
    std::memcpy(bytes.data(), &reinterpret_cast<const sockaddr_in&>(storage).sin_addr,
                bytes.size());
    return IpAddress::v4(bytes);
  }
  if (storage.ss_family == AF_INET6 && size >= sizeof(sockaddr_in6)) {
    std::array<unsigned char, 16> bytes{};
    std::memcpy(bytes.data(), &reinterpret_cast<const sockaddr_in6&>(storage).sin6_addr,
                bytes.size());
    return IpAddress::v6(bytes);
  }
  return std::nullopt;
}

std::shared_ptr<NameResolver> system_resolver() {
  return std::make_shared<SystemResolver>();
}

Result<std::vector<IpAddress>> addresses_to_call(NameResolver& resolver, const Url& url,
                                                 AddressRule rule, const LookupLimits& limits) {
  auto found = [&]() -> Result<std::vector<IpAddress>> {
    if (const auto literal = IpAddress::parse(url.host())) return std::vector{*literal};
    return resolver.addresses(url.host(), limits);
  }();
  if (!found) return found;
  std::optional<Error> refused;
  std::vector<IpAddress> callable;
  for (const auto& address : *found) {
    if (auto allowed = check_target_address(address, url, rule)) {
      callable.push_back(address);
    } else if (!refused) {
      refused = std::move(allowed).error();
    }
  }
  if (!callable.empty()) return in_turns(callable);
  if (refused) return *std::move(refused);
  return lookup_failure(ErrorCode::unreachable, "http.name", url.host(), "it has none",
                        "check the name");
}

}  // namespace latchkey
