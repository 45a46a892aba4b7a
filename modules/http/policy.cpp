// SPDX-License-Identifier: MIT
module;
#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
module latchkey.http.policy;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.secret;
import latchkey.core.trim;
import latchkey.core.url;
import latchkey.http;

namespace latchkey {
namespace {

using std::chrono::seconds;

struct Prefix {
  std::array<unsigned char, 16> bytes;
  unsigned bits;
};

// The IANA IPv4 special-purpose registry, and multicast.
constexpr Prefix kNotPublic4[] = {
    {{0}, 8},              // this network
    {{10}, 8},             // private
    {{100, 64}, 10},       // shared with the provider (CGNAT)
    {{127}, 8},            // loopback
    {{169, 254}, 16},      // link-local, and the metadata services of clouds
    {{172, 16}, 12},       // private
    {{192, 0, 0}, 24},     // protocol assignments
    {{192, 0, 2}, 24},     // documentation
    {{192, 88, 99}, 24},   // 6to4 relays
    {{192, 168}, 16},      // private
    {{198, 18}, 15},       // benchmarks
    {{198, 51, 100}, 24},  // documentation
    {{203, 0, 113}, 24},   // documentation
    {{224}, 4},            // multicast
    {{240}, 4},            // reserved, broadcast
};

// Within 2000::/3, the only block that is assigned for global unicast, these are not.
constexpr Prefix kGlobalUnicast6 = {{0x20}, 3};
constexpr Prefix kNotPublic6[] = {
    {{0x20, 0x01}, 23},              // protocol assignments: Teredo, ORCHID, benchmarks
    {{0x20, 0x01, 0x0d, 0xb8}, 32},  // documentation
    {{0x20, 0x02}, 16},              // 6to4
    {{0x3f, 0xff}, 20},              // documentation
};

// The well-known prefix of NAT64 (RFC 6052 §2.1): the last four bytes are an IPv4 address.
constexpr Prefix kNat64 = {{0x00, 0x64, 0xff, 0x9b}, 96};

bool lies_in(std::span<const unsigned char> address, const Prefix& prefix) {
  const unsigned whole = prefix.bits / 8;
  if (!std::equal(address.begin(), address.begin() + whole, prefix.bytes.begin())) return false;
  const unsigned rest = prefix.bits % 8;
  return rest == 0 || ((address[whole] ^ prefix.bytes[whole]) >> (8 - rest)) == 0;
}

template <class Prefixes>
bool lies_in_any(std::span<const unsigned char> address, const Prefixes& prefixes) {
  return std::any_of(std::begin(prefixes), std::end(prefixes),
                     [&](const Prefix& prefix) { return lies_in(address, prefix); });
}

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

bool is_token(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
  });
}

constexpr std::string_view kReservedHeaders[] = {"authorization",
                                                 "connection",
                                                 "content-length",
                                                 "expect",
                                                 "host",
                                                 "keep-alive",
                                                 "proxy-connection",
                                                 "te",
                                                 "proxy-authorization",
                                                 "trailer",
                                                 "transfer-encoding",
                                                 "upgrade"};

std::string_view scheme_name(Authorization::Scheme scheme) {
  switch (scheme) {
    case Authorization::Scheme::dpop:
      return "DPoP ";
    case Authorization::Scheme::basic:
      return "Basic ";
    case Authorization::Scheme::bearer:
      break;
  }
  return "Bearer ";
}

Error bad_proxy(std::string_view why) {
  return make_error(ErrorCode::invalid_url, "proxy.malformed",
                    "cannot use the proxy address: " + std::string(why) +
                        "; write http://[user:password@]host:port");
}

std::vector<std::string> split_exceptions(std::string_view text) {
  std::vector<std::string> out;
  while (!text.empty()) {
    const auto comma = text.find(',');
    auto item = trimmed(text.substr(0, comma), kBlanks);
    if (!item.empty() && item.front() == '.') item.remove_prefix(1);
    if (!item.empty()) out.push_back(lower(item));
    text.remove_prefix(comma == std::string_view::npos ? text.size() : comma + 1);
  }
  return out;
}

// "example.com" stands for itself and for a.example.com, not for badexample.com.
bool covers(std::string_view exception, std::string_view host) {
  if (exception == "*" || exception == host) return true;
  return host.size() > exception.size() && host.ends_with(exception) &&
         host[host.size() - exception.size() - 1] == '.' && !is_ip_literal(host);
}

constexpr std::uint16_t kHttpsPort = 443;
constexpr std::uint16_t kFirstFreePort = 1024;

// Never delegated, or never to be looked up (RFC 6761, 6762, 7686, 8375; "internal" is reserved by
// ICANN). Some resolvers answer them with addresses of the machine or its network.
constexpr std::string_view kLocalDomains[] = {"localhost", "local", "internal", "home.arpa",
                                              "onion"};

bool is_local_name(std::string_view host) {
  return host.find('.') == std::string_view::npos ||
         std::any_of(std::begin(kLocalDomains), std::end(kLocalDomains),
                     [&](std::string_view domain) { return covers(domain, host); });
}

Error not_public(const std::string& what, const std::string& why) {
  return make_error(ErrorCode::insecure_address, "address.not_public",
                    "refused to connect to " + what + ": " + why +
                        "; servers that others name must be public: for a development server on "
                        "this machine, set allow_http_for_loopback");
}

bool is_loopback_address(const IpAddress& address) {
  return is_loopback_host(address.is_v4() ? address.text() : '[' + address.text() + ']');
}

}  // namespace

SendOptions token_limits(std::stop_token stop) {
  return {.timeout = seconds(30),
          .max_body = 64 * 1024,
          .connection = Connection::fresh,
          .stop = std::move(stop)};
}

SendOptions metadata_limits(std::stop_token stop) {
  return {.timeout = seconds(10),
          .max_body = 512 * 1024,
          .connection = Connection::fresh,
          .stop = std::move(stop)};
}

SendOptions handle_file_limits(std::stop_token stop) {
  return {.timeout = seconds(3),
          .connect_timeout = seconds(3),
          .max_body = 2 * 1024,
          .connection = Connection::fresh,
          .stop = std::move(stop)};
}

SendOptions resource_limits(std::stop_token stop) {
  return {.timeout = seconds(30),
          .max_body = 8 * 1024 * 1024,
          .connection = Connection::pooled,
          .stop = std::move(stop)};
}

IpAddress IpAddress::v4(const std::array<unsigned char, 4>& bytes) noexcept {
  IpAddress out;
  std::copy(bytes.begin(), bytes.end(), out.bytes_.begin());
  out.is_v4_ = true;
  return out;
}

IpAddress IpAddress::v6(const std::array<unsigned char, 16>& bytes) noexcept {
  IpAddress out;
  out.bytes_ = bytes;
  return out;
}

std::optional<IpAddress> IpAddress::parse(std::string_view text) {
  if (text.size() >= 2 && text.front() == '[' && text.back() == ']') {
    text = text.substr(1, text.size() - 2);
    if (text.find(':') == std::string_view::npos) return std::nullopt;
  }
  const std::string literal(text);
  if (literal.size() != std::string_view(literal.c_str()).size()) return std::nullopt;
  std::array<unsigned char, 4> four{};
  if (::inet_pton(AF_INET, literal.c_str(), four.data()) == 1) return v4(four);
  std::array<unsigned char, 16> sixteen{};
  if (::inet_pton(AF_INET6, literal.c_str(), sixteen.data()) == 1) return v6(sixteen);
  return std::nullopt;
}

std::string IpAddress::text() const {
  char out[INET6_ADDRSTRLEN] = {};
  ::inet_ntop(is_v4_ ? AF_INET : AF_INET6, bytes_.data(), out, sizeof out);
  return out;
}

bool is_public_address(const IpAddress& address) noexcept {
  const std::span<const unsigned char> bytes = address.bytes();
  if (address.is_v4()) return !lies_in_any(bytes.first(4), kNotPublic4);
  if (lies_in(bytes, kNat64)) return !lies_in_any(bytes.last(4), kNotPublic4);
  return lies_in(bytes, kGlobalUnicast6) && !lies_in_any(bytes, kNotPublic6);
}

Result<void> check_address(const IpAddress& address, AddressRule rule) {
  if (rule == AddressRule::any || is_public_address(address)) return {};
  return not_public(address.text(), "it is not an address of the public internet");
}

Result<void> check_target(const Url& url, AddressRule rule) {
  if (rule == AddressRule::any) return {};
  if (const auto literal = IpAddress::parse(url.host())) {
    if (auto allowed = check_address(*literal, rule); !allowed) return allowed;
  } else if (is_local_name(url.host())) {
    return not_public(printable(url.host(), 200),
                      "such a name is never one of the public internet");
  }
  if (url.port() == kHttpsPort || url.port() >= kFirstFreePort) return {};
  return make_error(ErrorCode::insecure_address, "address.port",
                    "refused to connect to " + printable(url.origin(), 200) +
                        ": its port belongs to another service; use 443, or one from 1024 on");
}

Result<void> check_target_address(const IpAddress& address, const Url& url, AddressRule rule) {
  if (url.scheme() != "http" || is_loopback_address(address)) return check_address(address, rule);
  return make_error(ErrorCode::insecure_address, "address.not_loopback",
                    "refused to connect to " + address.text() +
                        ": plain http is for this machine only; use https");
}

Result<void> check_request(const HttpRequest& request, HttpRule rule) {
  if (auto allowed = check_scheme(request.url, rule); !allowed) return allowed;
  if (!is_token(request.method)) {
    return make_error(ErrorCode::invalid_argument, "http.method",
                      "cannot send the request: " + printable(request.method, 32) +
                          " is not a method; use GET, POST and the like");
  }
  for (const auto& [name, value] : request.headers.fields()) {
    const auto found =
        std::find(std::begin(kReservedHeaders), std::end(kReservedHeaders), lower(name));
    if (found != std::end(kReservedHeaders)) {
      return make_error(ErrorCode::invalid_argument, "http.reserved_header",
                        "cannot send the header " + name +
                            ": the transport writes it itself; leave it out, and use "
                            "HttpRequest::authorization for "
                            "credentials");
    }
  }
  return {};
}

Result<SecretString> authorization_value(const Authorization& authorization) {
  const auto credentials = authorization.credentials.expose();
  const bool clean = std::all_of(credentials.begin(), credentials.end(),
                                 [](char c) { return c > 0x20 && c < 0x7f; });
  if (credentials.empty() || !clean) {
    return make_error(ErrorCode::invalid_argument, "http.credentials",
                      "cannot send the credentials: they are empty or have spaces or control "
                      "characters; check where "
                      "they come from");
  }
  SecretBuilder out(credentials.size() + 8);
  out.append(scheme_name(authorization.scheme)).append(credentials);
  return std::move(out).finish();
}

Result<void> check_ca_file(const std::string& path) {
  if (path.empty()) return {};
  const std::unique_ptr<X509_STORE, void (*)(X509_STORE*)> store(X509_STORE_new(), X509_STORE_free);
  const bool loaded = store && X509_STORE_load_file(store.get(), path.c_str()) == 1;
  ERR_clear_error();
  if (loaded) return {};
  return make_error(ErrorCode::io, "tls.ca_file",
                    "cannot use the certificate file " + path +
                        ": it is missing or holds no PEM certificate; check the path");
}

Result<Proxy> Proxy::parse(std::string_view url, std::string_view exceptions) {
  Proxy out;
  url = trimmed(url, kBlanks);
  if (url.empty()) return out;
  const auto scheme_end = url.find("://");
  if (scheme_end != std::string_view::npos) {
    if (lower(url.substr(0, scheme_end)) != "http") {
      return make_error(ErrorCode::invalid_url, "proxy.scheme",
                        "cannot use the proxy address: only http:// proxies are spoken to; write "
                        "http://host:port");
    }
    url.remove_prefix(scheme_end + 3);
  }
  auto authority = url.substr(0, url.find_first_of("/?#"));
  if (const auto at = authority.rfind('@'); at != std::string_view::npos) {
    const auto userinfo = authority.substr(0, at);
    const auto colon = userinfo.find(':');
    auto user = percent_decode(userinfo.substr(0, colon));
    auto password =
        percent_decode(colon == std::string_view::npos ? "" : userinfo.substr(colon + 1));
    if (!user || !password) return bad_proxy("its user or password does not decode");
    out.user_ = std::move(*user);
    out.password_ = SecretString(*password);
    authority.remove_prefix(at + 1);
  }
  const auto parsed = Url::parse("http://" + std::string(authority));
  if (!parsed) return bad_proxy("its host or port does not parse");
  const bool has_port = parsed->has_explicit_port() || authority.ends_with(":80");
  out.address_ =
      "http://" + parsed->host() + ":" + std::to_string(has_port ? parsed->port() : 8080);
  out.exceptions_ = split_exceptions(exceptions);
  return out;
}

Proxy Proxy::clone() const {
  Proxy out;
  out.address_ = address_;
  out.user_ = user_;
  out.password_ = password_.clone();
  out.exceptions_ = exceptions_;
  return out;
}

bool Proxy::applies_to(const Url& url) const {
  if (address_.empty() || url.scheme() != "https" || is_loopback_host(url.host())) return false;
  auto host = std::string_view(url.host());
  if (host.front() == '[') host = host.substr(1, host.size() - 2);
  return std::none_of(exceptions_.begin(), exceptions_.end(),
                      [&](const std::string& e) { return covers(e, host); });
}

}  // namespace latchkey
