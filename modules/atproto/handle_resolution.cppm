// SPDX-License-Identifier: MIT
module;
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
export module latchkey.atproto.handle_resolution;
import latchkey.core.error;
import latchkey.core.url;
import latchkey.http;
import latchkey.http.dns;

// From a handle to the DID that it points to (C2.2, C2.3, C2.10). Whether the DID's document claims
// the handle is for the caller to ask. Internal to atproto; the hub does not export it.

export namespace latchkey {

/// What one way of asking says: the DID, nothing if there is none, or why it could not be asked.
using HandleAnswer = Result<std::optional<std::string>>;

/// What the TXT records at _atproto.HANDLE say. Those that do not begin with "did=" do not count.
/// Errors: identity_mismatch, "handle.ambiguous" if two of them differ; invalid_response,
/// "handle.not_a_did".
[[nodiscard]] HandleAnswer did_of_records(std::string_view handle,
                                          const std::vector<std::string>& records);

/// What https://HANDLE/.well-known/atproto-did says: the first line, trimmed; nothing for a 404.
/// The content type is not looked at. Errors: invalid_response, "handle.status" or
/// "handle.not_a_did".
[[nodiscard]] HandleAnswer process_handle_file(std::string_view handle,
                                               const HttpResponse& response);

/// Asks a server that the developer configured, by com.atproto.identity.resolveHandle. `server`: an
/// origin. Errors: invalid_response, "handle.status", "handle.content_type", "handle.not_a_did" or
/// what JsonObject says ("handle.…"); transport errors.
[[nodiscard]] HandleAnswer ask_handle_server(HttpTransport& transport, const Url& server,
                                             const std::string& handle,
                                             const std::stop_token& stop);

/// Asks DNS and the handle's own host, both at once. Thread-safe.
class HandleResolver {
 public:
  /// `dns` may be null: then https is the only way.
  HandleResolver(std::shared_ptr<HttpTransport> strangers, std::shared_ptr<DnsResolver> dns)
      : transport_(std::move(strangers)), dns_(std::move(dns)) {}

  /// `handle`: as parse_handle gives it. The first definite answer counts, and stops the other
  /// lookup: a DID from either, or two different DIDs in DNS (C2.3). When both have come by then,
  /// it is the one of DNS, as the specification recommends. A name that is too long for DNS with
  /// "_atproto." before it is asked for by https alone (C2.10). Nothing: both say that there is
  /// none. Errors: identity_mismatch, "handle.ambiguous"; without a definite answer those of
  /// did_of_records, process_handle_file, DnsResolver and the transport, where the message says
  /// what became of either; cancelled.
  [[nodiscard]] HandleAnswer resolve(const std::string& handle, std::stop_token stop = {});

 private:
  [[nodiscard]] HandleAnswer ask_dns(const std::string& handle, std::stop_token stop);
  [[nodiscard]] HandleAnswer ask_host(const std::string& handle, std::stop_token stop);
  [[nodiscard]] HandleAnswer ask_both(const std::string& handle, const std::stop_token& stop);

  std::shared_ptr<HttpTransport> transport_;
  std::shared_ptr<DnsResolver> dns_;
};

}  // namespace latchkey
