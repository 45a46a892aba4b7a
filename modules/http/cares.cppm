// SPDX-License-Identifier: MIT
module;
#include <memory>
#include <string>
#include <utility>
#include <vector>
export module latchkey.http.cares;
import latchkey.core.error;
import latchkey.http.dns;

// DNS over c-ares, because the system's own functions can be neither bounded nor stopped.

export namespace latchkey {

struct CaresOptions {
  /// "ADDRESS" or "ADDRESS:PORT", an IPv6 address in brackets. Empty: those of the system
  /// (/etc/resolv.conf, read anew for each lookup).
  std::vector<std::string> servers{};
};

/// DnsResolver over c-ares. A channel of its own for each lookup, which runs on the caller's
/// thread: nothing is shared, and nothing is left behind. Over UDP, and TCP for answers that were
/// cut. Its own one second and two tries for each server, whatever resolv.conf or the environment
/// (RES_OPTIONS, LOCALDOMAIN) say. Thread-safe.
class CaresResolver final : public DnsResolver {
 public:
  /// Errors: invalid_argument, "dns.servers"; io, "dns.library".
  [[nodiscard]] static Result<std::unique_ptr<CaresResolver>> open(CaresOptions options = {});

  [[nodiscard]] Result<std::vector<std::string>> txt(const std::string& name,
                                                     const DnsOptions& options) override;

 private:
  explicit CaresResolver(std::string servers) : servers_(std::move(servers)) {}
  std::string servers_;  // separated by commas; empty: the system's
};

}  // namespace latchkey
