// SPDX-License-Identifier: MIT
module;
#include <cstdint>
#include <string>
#include <string_view>
export module latchkey.core.url;
import latchkey.core.error;

// URLs as OAuth needs them (RFC 3986): absolute, with a host, strictly parsed and normalised once,
// so that comparing and hashing them afterwards is comparing text.

export namespace latchkey {

/// An absolute http(s) URL, or one of another scheme with an authority. A value; immutable after
/// parsing.
class Url {
 public:
  /// Refuses: no scheme or host, userinfo, control characters, spaces, backslashes, bad percent
  /// sequences, ports out of range, host names that a resolver could read as a number in disguise
  /// (decimal, octal, hexadecimal IPv4), empty labels, non-ASCII, more than 8192 characters. Scheme
  /// and host are lower-cased, a default port dropped, an empty path becomes "/". Error:
  /// invalid_url, "url.malformed" or "url.userinfo".
  [[nodiscard]] static Result<Url> parse(std::string_view text);

  [[nodiscard]] const std::string& scheme() const noexcept { return scheme_; }
  /// Lower case; IPv6 literals with their brackets.
  [[nodiscard]] const std::string& host() const noexcept { return host_; }
  /// The port to connect to: the explicit one, or the scheme's default (443, 80), or 0.
  [[nodiscard]] std::uint16_t port() const noexcept { return port_; }
  [[nodiscard]] bool has_explicit_port() const noexcept { return explicit_port_; }
  /// Begins with "/"; percent-encoded as given.
  [[nodiscard]] const std::string& path() const noexcept { return path_; }
  /// Without the "?"; empty when absent.
  [[nodiscard]] const std::string& query() const noexcept { return query_; }
  [[nodiscard]] const std::string& fragment() const noexcept { return fragment_; }
  [[nodiscard]] bool has_query() const noexcept { return has_query_; }
  [[nodiscard]] bool has_fragment() const noexcept { return has_fragment_; }

  /// scheme://host[:port], no default port.
  [[nodiscard]] std::string origin() const;
  /// host[:port], no default port.
  [[nodiscard]] std::string authority() const;
  /// path[?query], what an HTTP request line carries.
  [[nodiscard]] std::string target() const;
  /// RFC 9449 §4.2: the URL without query and fragment, normalised.
  [[nodiscard]] std::string htu() const;
  [[nodiscard]] std::string text() const;

  /// The same origin with another path and query. `target` must begin with "/". Error: invalid_url.
  [[nodiscard]] Result<Url> with_target(std::string_view target) const;

  [[nodiscard]] bool operator==(const Url&) const = default;

 private:
  Url() = default;
  std::string scheme_, host_, path_, query_, fragment_;
  std::uint16_t port_ = 0;
  bool explicit_port_ = false, has_query_ = false, has_fragment_ = false;
};

/// Whether plain http may be used towards this machine itself.
enum class HttpRule {
  https_only,
  allow_http_for_loopback,  ///< development: http to localhost, 127.0.0.0/8 and [::1]
};

/// True for "localhost", 127.0.0.0/8 literals and [::1].
[[nodiscard]] bool is_loopback_host(std::string_view host) noexcept;
/// True for IPv4 and bracketed IPv6 literals.
[[nodiscard]] bool is_ip_literal(std::string_view host) noexcept;

/// https, or http to a loopback host when the rule says so. Error: insecure_address,
/// "url.not_https".
[[nodiscard]] Result<void> check_scheme(const Url& url, HttpRule rule);

/// Parses text that must be an origin and nothing else (no path but "/", query, fragment), as
/// issuers of ATProto are. The text must already be in its canonical form without a trailing slash.
/// Error: invalid_url, "url.not_an_origin".
[[nodiscard]] Result<Url> parse_origin(std::string_view text, HttpRule rule);

}  // namespace latchkey
