// SPDX-License-Identifier: MIT
module;
#include <memory>
#include <string>
#include <vector>
export module latchkey.http.curl;
import latchkey.core.error;
import latchkey.core.url;
import latchkey.http;
import latchkey.http.policy;
import latchkey.http.resolver;

// The transport for addresses that strangers supply: handle files, DID documents, metadata that was
// discovered. Over libcurl, because it lets us look at the very address that a socket is about to
// be connected to, so that a name cannot be checked as one address and called as another.

export namespace latchkey {

/// Stands in for DNS: connections to `host`:`port` go to `to_host`:`to_port` instead, while name
/// checks and the Host header stay as they are. For development and tests; the address rule still
/// holds.
struct ConnectTo {
  std::string host;
  int port = 443;
  std::string to_host;
  int to_port = 0;
};

struct CurlOptions {
  AddressRule address_rule = AddressRule::public_only;
  HttpRule http_rule = HttpRule::https_only;
  std::string extra_ca_file{};  ///< PEM, trusted beside the system's store
  /// With a proxy it is the proxy that resolves names: the address rule then covers literals only.
  Proxy proxy{};
  std::vector<ConnectTo> connect_to{};
  /// Looks names up in place of libcurl; null: libcurl does it itself. Either way it is the address
  /// of the socket that is checked.
  std::shared_ptr<NameResolver> resolver{};
};

/// HttpTransport over libcurl. What was said before a name is looked up is check_target's. A new
/// connection for every request, whatever SendOptions::connection
/// says; TLS 1.2 or newer; no redirects, cookies, .netrc, decompression or environment.
/// Thread-safe.
class CurlTransport final : public HttpTransport {
 public:
  /// Error: io, "tls.ca_file".
  [[nodiscard]] static Result<std::unique_ptr<CurlTransport>> open(CurlOptions options);

  [[nodiscard]] Result<HttpResponse> send(const HttpRequest& request,
                                          const SendOptions& options) override;

 private:
  explicit CurlTransport(CurlOptions options);
  CurlOptions options_;
};

}  // namespace latchkey
