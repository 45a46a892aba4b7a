// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>
export module latchkey.http.resolver;
import latchkey.core.error;
import latchkey.core.url;
import latchkey.http.policy;

// From a name to addresses that may be called. A name is looked up once, what it led to is checked,
// and the connection goes to the very address that was checked: so a name that leads elsewhere a
// moment later (DNS rebinding) gains nothing. Used by the transports; a test stands in for DNS by
// implementing NameResolver.

export namespace latchkey {

/// When a look-up has to end.
struct LookupLimits {
  std::chrono::steady_clock::time_point deadline;
  std::stop_token stop{};
};

/// Finds the addresses of a host. Thread-safe.
class NameResolver {
 public:
  NameResolver() = default;
  NameResolver(const NameResolver&) = delete;
  NameResolver& operator=(const NameResolver&) = delete;
  virtual ~NameResolver();
  /// All addresses of `name` (never a literal), best first; empty if it has none. Errors:
  /// unreachable, "http.name" (does not resolve) or "http.name_busy"; timeout,
  /// "http.connect_timeout"; cancelled, "http.cancelled". Returns by the deadline.
  [[nodiscard]] virtual Result<std::vector<IpAddress>> addresses(const std::string& name,
                                                                 const LookupLimits& limits) = 0;
};

/// What a look-up that cannot be bounded came to.
struct LookedUp {
  std::vector<IpAddress> addresses{};
  std::string failure{};  ///< why there are none; empty if it went well
};
/// Returns when it likes. Called by many threads at once; must not throw.
using BlockingLookup = std::function<LookedUp(const std::string& name)>;

/// Bounds look-ups that cannot be bounded or stopped: each runs in a thread of its own, and goes on
/// there when whoever asked gives it up. Who asks for a name that is being looked up waits for the
/// same look-up. At most 64 are under way, and at most 32 for names that share their last two
/// labels, so that one stranger's silent servers leave room for others; beyond that a look-up fails
/// with "http.name_busy". `lookup` must stay usable until its last call returns.
[[nodiscard]] std::shared_ptr<NameResolver> threaded_resolver(BlockingLookup lookup);

/// The machine's own resolver (getaddrinfo: /etc/hosts, DNS, whatever else it is set up for), as
/// threaded_resolver() bounds it: one for the process.
[[nodiscard]] std::shared_ptr<NameResolver> system_resolver();

/// The address in a struct sockaddr of `size` bytes, without its zone; empty for other families.
[[nodiscard]] std::optional<IpAddress> address_of_socket(const void* address, std::size_t size);

/// The addresses that a connection for `url` may go to, in the order to try them: the literal
/// itself, or what the name leads to without what the rule forbids (check_target_address), IPv6 and
/// IPv4 in turns so that a broken one of them does not hold up the other, at most 8. Errors:
/// insecure_address, "address.not_public" or "address.not_loopback", when nothing is left; those of
/// the resolver.
[[nodiscard]] Result<std::vector<IpAddress>> addresses_to_call(NameResolver& resolver,
                                                               const Url& url, AddressRule rule,
                                                               const LookupLimits& limits);

}  // namespace latchkey
