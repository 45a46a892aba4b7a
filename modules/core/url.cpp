// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
module latchkey.core.url;
import latchkey.core.encoding;
import latchkey.core.error;

namespace latchkey {
namespace {

constexpr std::size_t kMaxUrl = 8192;

bool is_alpha(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}
bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
bool is_hex(char c) {
  return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

Error malformed(std::string_view text, std::string_view why) {
  // A URL may carry a code or a token in its query: only what stands before it is shown.
  return make_error(ErrorCode::invalid_url, "url.malformed",
                    "cannot use the URL " +
                        printable(text.substr(0, text.find_first_of("?#")), 200) + ": " +
                        std::string(why));
}

// pchar / "/" / "?" of RFC 3986, with percent sequences checked.
bool is_clean(std::string_view text, std::string_view extra) {
  constexpr std::string_view allowed = "-._~!$&'()*+,;=:@/";
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '%') {
      if (i + 2 >= text.size() || !is_hex(text[i + 1]) || !is_hex(text[i + 2])) return false;
      i += 2;
    } else if (!is_alpha(c) && !is_digit(c) && allowed.find(c) == std::string_view::npos &&
               extra.find(c) == std::string_view::npos) {
      return false;
    }
  }
  return true;
}

// Four decimal numbers 0..255 without leading zeros: the one spelling of IPv4 that everybody reads
// alike.
std::optional<std::array<int, 4>> ipv4(std::string_view host) {
  std::array<int, 4> parts{};
  for (std::size_t i = 0; i < 4; ++i) {
    const auto end = i < 3 ? host.find('.') : host.size();
    if (end == std::string_view::npos || end == 0 || end > 3) return std::nullopt;
    const auto text = host.substr(0, end);
    if (!std::all_of(text.begin(), text.end(), is_digit) || (text.size() > 1 && text[0] == '0'))
      return std::nullopt;
    std::from_chars(text.data(), text.data() + text.size(), parts[i]);
    if (parts[i] > 255) return std::nullopt;
    host.remove_prefix(std::min(host.size(), end + 1));
  }
  return host.empty() ? std::optional(parts) : std::nullopt;
}

// A host whose last label is a number (decimal, octal or 0x…) is an IPv4 address to some resolvers.
bool ends_in_number(std::string_view host) {
  const auto dot = host.rfind('.');
  const auto label = dot == std::string_view::npos ? host : host.substr(dot + 1);
  if (label.empty()) return false;
  if (std::all_of(label.begin(), label.end(), is_digit)) return true;
  return label.size() >= 2 && label[0] == '0' && label[1] == 'x' &&
         std::all_of(label.begin() + 2, label.end(), is_hex);
}

bool valid_name(std::string_view host) {
  if (host.empty() || host.size() > 253) return false;
  std::size_t label = 0;
  for (std::size_t i = 0; i <= host.size(); ++i) {
    if (i == host.size() || host[i] == '.') {
      if (label == 0 || label > 63) return false;
      label = 0;
    } else if (is_alpha(host[i]) || is_digit(host[i]) || host[i] == '-' || host[i] == '_') {
      ++label;
    } else {
      return false;
    }
  }
  return true;
}

// "[...]" with eight groups at most and one "::"; no zone, no embedded IPv4 (which is refused
// rather than guessed at).
bool valid_ipv6(std::string_view host) {
  if (host.size() < 4 || host.front() != '[' || host.back() != ']') return false;
  const auto text = host.substr(1, host.size() - 2);
  int groups = 0, digits = 0, gaps = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (is_hex(text[i])) {
      if (++digits > 4) return false;
      if (digits == 1) ++groups;
    } else if (text[i] == ':') {
      const bool gap = i + 1 < text.size() && text[i + 1] == ':';
      if (gap) {
        ++gaps;
        ++i;
        if (i + 1 < text.size() && text[i + 1] == ':') return false;
      } else if (i == 0 || i + 1 == text.size()) {
        return false;
      }
      digits = 0;
    } else {
      return false;
    }
  }
  return gaps <= 1 && (gaps == 1 ? groups <= 7 : groups == 8);
}

std::uint16_t default_port(std::string_view scheme) {
  if (scheme == "https") return 443;
  if (scheme == "http") return 80;
  return 0;
}

}  // namespace

Result<Url> Url::parse(std::string_view text) {
  if (text.size() > kMaxUrl) return malformed(text, "it is longer than 8192 characters");
  const auto colon = text.find("://");
  if (colon == std::string_view::npos || colon == 0)
    return malformed(text, "it has no scheme; write https://…");
  const auto scheme = text.substr(0, colon);
  if (!is_alpha(scheme[0]) || !std::all_of(scheme.begin(), scheme.end(), [](char c) {
        return is_alpha(c) || is_digit(c) || c == '+' || c == '-' || c == '.';
      })) {
    return malformed(text, "its scheme is not a scheme");
  }
  Url url;
  url.scheme_ = lower(scheme);
  auto rest = text.substr(colon + 3);

  const auto authority_end = rest.find_first_of("/?#");
  auto authority = rest.substr(0, authority_end);
  rest = authority_end == std::string_view::npos ? std::string_view{} : rest.substr(authority_end);
  if (authority.find('@') != std::string_view::npos) {
    return make_error(
        ErrorCode::invalid_url, "url.userinfo",
        "cannot use a URL with a user name or password in it; remove everything up to the @");
  }
  std::string_view port;
  const auto bracket = authority.rfind(']');
  const auto port_colon = authority.find(':', bracket == std::string_view::npos ? 0 : bracket);
  if (port_colon != std::string_view::npos) {
    port = authority.substr(port_colon + 1);
    authority = authority.substr(0, port_colon);
    if (port.empty()) return malformed(text, "its port is empty");
  }
  url.host_ = lower(authority);
  const bool bracketed = url.host_.starts_with('[');
  if (bracketed ? !valid_ipv6(url.host_) : !valid_name(url.host_))
    return malformed(text, "its host is not a host name");
  if (!bracketed && ends_in_number(url.host_) && !ipv4(url.host_)) {
    return malformed(text,
                     "its host is a number that different programs read as different addresses");
  }
  url.port_ = default_port(url.scheme_);
  if (!port.empty()) {
    unsigned value = 0;
    const auto [end, fault] = std::from_chars(port.data(), port.data() + port.size(), value);
    if (fault != std::errc{} || end != port.data() + port.size() || value == 0 || value > 65535 ||
        port.size() > 5) {
      return malformed(text, "its port is not between 1 and 65535");
    }
    url.explicit_port_ = value != url.port_;
    url.port_ = static_cast<std::uint16_t>(value);
  }

  if (const auto hash = rest.find('#'); hash != std::string_view::npos) {
    url.fragment_ = rest.substr(hash + 1);
    url.has_fragment_ = true;
    rest = rest.substr(0, hash);
  }
  if (const auto question = rest.find('?'); question != std::string_view::npos) {
    url.query_ = rest.substr(question + 1);
    url.has_query_ = true;
    rest = rest.substr(0, question);
  }
  url.path_ = rest.empty() ? "/" : rest;
  if (!is_clean(url.path_, "") || !is_clean(url.query_, "?[]") || !is_clean(url.fragment_, "?")) {
    return malformed(text, "it has characters that must be percent-encoded");
  }
  return url;
}

std::string Url::authority() const {
  return explicit_port_ ? host_ + ':' + std::to_string(port_) : host_;
}

std::string Url::origin() const {
  return scheme_ + "://" + authority();
}

std::string Url::target() const {
  return has_query_ ? path_ + '?' + query_ : path_;
}

std::string Url::htu() const {
  return origin() + path_;
}

std::string Url::text() const {
  std::string out = origin() + target();
  if (has_fragment_) out += '#' + fragment_;
  return out;
}

Result<Url> Url::with_target(std::string_view target) const {
  if (!target.starts_with('/')) return malformed(target, "a path must begin with /");
  return parse(origin() + std::string(target));
}

bool is_loopback_host(std::string_view host) noexcept {
  if (host == "localhost" || host == "[::1]") return true;
  const auto address = ipv4(host);
  return address && (*address)[0] == 127;
}

bool is_ip_literal(std::string_view host) noexcept {
  return host.starts_with('[') || ipv4(host).has_value();
}

Result<void> check_scheme(const Url& url, HttpRule rule) {
  if (url.scheme() == "https") return {};
  const bool loopback_http = url.scheme() == "http" && is_loopback_host(url.host());
  if (loopback_http && rule == HttpRule::allow_http_for_loopback) return {};
  return make_error(
      ErrorCode::insecure_address, "url.not_https",
      "cannot use " + printable(url.origin(), 200) + ": it is not https" +
          (loopback_http ? "; for a development server on this machine, allow http for loopback"
                         : ""));
}

Result<Url> parse_origin(std::string_view text, HttpRule rule) {
  auto url = Url::parse(text);
  if (!url) return url;
  if (auto allowed = check_scheme(*url, rule); !allowed) return std::move(allowed).error();
  if (url->origin() != text) {
    return make_error(ErrorCode::invalid_url, "url.not_an_origin",
                      "cannot use " + printable(text.substr(0, text.find_first_of("?#")), 200) +
                          ": it must be scheme and host alone, like " +
                          printable(url->origin(), 200));
  }
  return url;
}

}  // namespace latchkey
