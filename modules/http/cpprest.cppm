// SPDX-License-Identifier: MIT
module;
#include <memory>
#include <string>
export module latchkey.http.cpprest;
import latchkey.core.error;
import latchkey.core.url;
import latchkey.http;
import latchkey.http.policy;
import latchkey.http.resolver;

// The transport for authorised traffic to endpoints that were checked before: token endpoints and
// resource servers. Over cpprestsdk, with what that library does on its own taken away: it follows
// no redirect and sends nothing twice.

export namespace latchkey {

struct CpprestOptions {
  /// public_only for endpoints that were discovered; any for what the developer configured.
  AddressRule address_rule = AddressRule::any;
  HttpRule http_rule = HttpRule::https_only;
  std::string extra_ca_file{};  ///< PEM, trusted beside the system's store
  /// Requests through a proxy use a new connection each. It is the proxy that resolves names: the
  /// address rule then covers what check_target says.
  Proxy proxy{};
  std::shared_ptr<NameResolver> resolver{};  ///< null: system_resolver()
};

/// HttpTransport over cpprestsdk. TLS 1.2 or newer, names checked by us. Thread-safe; destroy it
/// after its last send.
///
/// Names are looked up and addresses checked here, and the library is given the address: it never
/// sees a name that could lead elsewhere at its second look. Addresses are tried in turn, each for
/// its share (share_of) of what is left of the time to connect; one that accepts the connection has
/// all that is left, for its TLS handshake. A kept connection stays with its address.
///
/// A kept connection that the server closed while it was idle is found out before anything is sent,
/// and replaced. One that breaks after that is connection_lost, "http.dead_connection", maybe_sent:
/// the caller decides about a new attempt.
///
/// Limits: duplicate answer headers arrive as one, joined by ", ". Over plain http (to this machine
/// only) a header block or a single chunk is refused after it was read, bounded by the timeout
/// alone; under TLS a byte budget stops it.
class CpprestTransport final : public HttpTransport {
 public:
  /// Error: io, "tls.ca_file".
  [[nodiscard]] static Result<std::unique_ptr<CpprestTransport>> open(CpprestOptions options);
  ~CpprestTransport() override;

  [[nodiscard]] Result<HttpResponse> send(const HttpRequest& request,
                                          const SendOptions& options) override;

 private:
  struct Impl;
  explicit CpprestTransport(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace latchkey
