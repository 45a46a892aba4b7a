// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <cstddef>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>
export module latchkey.http.dns;
import latchkey.core.error;

// The contract between protocol and DNS, for the one kind of record that logging in needs: TXT.
// latchkey.http.cares implements it. Addresses are not looked up here; that is the transports'
// business.

export namespace latchkey {

struct DnsOptions {
  std::chrono::milliseconds timeout{3'000};  ///< the whole lookup, all servers and tries together
  std::size_t max_records = 64;
  std::size_t max_size = 16 * 1024;  ///< bytes of all records together
  std::stop_token stop{};
};

/// Looks names up. Thread-safe.
class DnsResolver {
 public:
  DnsResolver() = default;
  DnsResolver(const DnsResolver&) = delete;
  DnsResolver& operator=(const DnsResolver&) = delete;
  virtual ~DnsResolver();

  /// The texts of the TXT records of `name`, in the order of the answer; the pieces of one record
  /// are joined (RFC 7208 §3.3). `name` is looked up as it is: absolute, without search domains.
  /// No such name, and a name without TXT records, are an empty list. Errors: invalid_argument,
  /// "dns.name"; unreachable, "dns.failed" (each server could not be reached, or would not answer:
  /// SERVFAIL, REFUSED); timeout, "dns.timeout"; cancelled, "dns.cancelled"; invalid_response,
  /// "dns.malformed"; response_too_large, "dns.too_large".
  [[nodiscard]] virtual Result<std::vector<std::string>> txt(const std::string& name,
                                                             const DnsOptions& options) = 0;
};

/// True if DNS can be asked for it: at most 253 characters, labels of 1 to 63 letters, digits,
/// hyphens and underscores, no dot at either end.
[[nodiscard]] bool is_dns_name(std::string_view name) noexcept;

}  // namespace latchkey
