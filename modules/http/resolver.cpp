// SPDX-License-Identifier: MIT
module;
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>
module latchkey.http.resolver;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.url;
import latchkey.http.policy;

namespace latchkey {
namespace {

constexpr std::size_t kMostAddresses = 8;

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
  return make_error(
      ErrorCode::unreachable, "http.name",
      "cannot find the address of " + printable(url.host(), 200) + ": it has none; check the name");
}

}  // namespace latchkey
