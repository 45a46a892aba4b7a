// SPDX-License-Identifier: MIT
module;
#include <array>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>
export module latchkey.http.policy;
import latchkey.core.error;
import latchkey.core.secret;
import latchkey.core.url;
import latchkey.http;

// What both adapters hold to: the limits of each kind of request, which addresses may be called,
// which requests may be sent at all, and when a proxy is asked. No network here; the adapters apply
// it.

export namespace latchkey {

/// Token, PAR and revocation requests: 64 KiB, 30 s, a connection of their own.
[[nodiscard]] SendOptions token_limits(std::stop_token stop = {});
/// Server, resource and client metadata and DID documents: 512 KiB, 10 s.
[[nodiscard]] SendOptions metadata_limits(std::stop_token stop = {});
/// A handle's well-known file: 2 KiB, 3 s.
[[nodiscard]] SendOptions handle_file_limits(std::stop_token stop = {});
/// Requests to a resource server: 8 MiB, 30 s, on a kept connection when there is one.
[[nodiscard]] SendOptions resource_limits(std::stop_token stop = {});

/// Which addresses a connection may go to.
enum class AddressRule {
  public_only,  ///< for what strangers name: only addresses of the public internet
  any,          ///< for what the developer configured
};

/// An IPv4 or IPv6 address in network byte order.
class IpAddress {
 public:
  [[nodiscard]] static IpAddress v4(const std::array<unsigned char, 4>& bytes) noexcept;
  [[nodiscard]] static IpAddress v6(const std::array<unsigned char, 16>& bytes) noexcept;
  /// A literal, IPv6 with or without brackets; nullopt for anything else, zone ids included.
  [[nodiscard]] static std::optional<IpAddress> parse(std::string_view text);

  [[nodiscard]] bool is_v4() const noexcept { return is_v4_; }
  /// The first four count for IPv4.
  [[nodiscard]] const std::array<unsigned char, 16>& bytes() const noexcept { return bytes_; }
  [[nodiscard]] std::string text() const;

 private:
  std::array<unsigned char, 16> bytes_{};
  bool is_v4_ = false;
};

/// True if the address is assigned for use on the public internet (the IANA special-purpose
/// registries). Refused are private, shared, loopback, link-local, documentation, benchmark,
/// multicast and reserved ranges, and the IPv6 forms that carry an IPv4 address (mapped,
/// compatible, local NAT64, 6to4, Teredo), for what it carries may be any of these. Only those
/// under the well-known prefix of NAT64, 64:ff9b::/96, are judged by the IPv4 address in them: with
/// DNS64 these are the only way to it, and none of them may stand for a private one (RFC 6052
/// §3.1).
[[nodiscard]] bool is_public_address(const IpAddress& address) noexcept;

/// Error: insecure_address, "address.not_public".
[[nodiscard]] Result<void> check_address(const IpAddress& address, AddressRule rule);

/// What can be said of a target before its name is looked up. With public_only: a literal must be
/// public, the name must not be one that never is ("localhost", names without a dot, and those
/// under localhost, local, internal, home.arpa and onion), and the port 443 or at least 1024, for
/// below live services that a stranger could have us knock at. Errors: insecure_address,
/// "address.not_public" or "address.port".
[[nodiscard]] Result<void> check_target(const Url& url, AddressRule rule);

/// check_address; and for plain http, that the address is this machine's, for "localhost" is only a
/// name. Errors: insecure_address, "address.not_public" or "address.not_loopback".
[[nodiscard]] Result<void> check_target_address(const IpAddress& address, const Url& url,
                                                AddressRule rule);

/// Checks what an adapter is about to send: the scheme; the method is a token; no header that the
/// adapter writes itself (Host, framing, Connection, Authorization), for two of them would be two
/// requests to somebody. Error: insecure_address; invalid_argument, "http.method" or
/// "http.reserved_header".
[[nodiscard]] Result<void> check_request(const HttpRequest& request, HttpRule rule);

/// The value of the Authorization field. Error: invalid_argument, "http.credentials" if they would
/// break the header.
[[nodiscard]] Result<SecretString> authorization_value(const Authorization& authorization);

/// Error: io, "tls.ca_file" if the file does not hold PEM certificates. An empty name is no file,
/// and fine.
[[nodiscard]] Result<void> check_ca_file(const std::string& path);

/// An HTTP proxy that is asked to CONNECT, as HTTPS_PROXY and NO_PROXY describe it. The library
/// reads no environment: programs hand over what they read.
class Proxy {
 public:
  /// No proxy.
  Proxy() = default;
  /// `url`: [http://][user[:password]@]host[:port], port 8080 if absent; empty for none.
  /// `exceptions`: names separated by commas that are called directly, each with its subdomains;
  /// "*" for all. Loopback hosts never go through a proxy. Error: invalid_url, "proxy.malformed" or
  /// "proxy.scheme".
  [[nodiscard]] static Result<Proxy> parse(std::string_view url, std::string_view exceptions);

  [[nodiscard]] Proxy clone() const;
  [[nodiscard]] bool applies_to(const Url& url) const;
  /// http://host:port
  [[nodiscard]] const std::string& address() const noexcept { return address_; }
  [[nodiscard]] const std::string& user() const noexcept { return user_; }
  [[nodiscard]] const SecretString& password() const noexcept { return password_; }

 private:
  std::string address_, user_;
  SecretString password_;
  std::vector<std::string> exceptions_;
};

}  // namespace latchkey
