// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <optional>
#include <string>
#include <string_view>
#include <vector>
module latchkey.oauth.client_redirect_rules;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.url;
import latchkey.oauth.client_finding;
import latchkey.oauth.client_id_rules;

namespace latchkey {
namespace {

using Verdict = std::optional<ClientFinding>;

Verdict refused(std::string_view name, std::string_view redirect, std::string_view cause) {
  return client_finding("C1.10", name,
                        "the redirect " + printable(redirect, 200) + " " + std::string(cause));
}

// com.example.app for app.example.com (RFC 8252 §7.1).
std::string reversed(std::string_view host) {
  std::string out;
  while (!host.empty()) {
    const auto dot = host.rfind('.');
    if (!out.empty()) out += '.';
    out += host.substr(dot == std::string_view::npos ? 0 : dot + 1);
    host = dot == std::string_view::npos ? std::string_view{} : host.substr(0, dot);
  }
  return out;
}

Verdict check_https(const Url& url, std::string_view text, const RedirectOwner& owner) {
  if (!url.has_explicit_port() && text.starts_with("https://" + url.host() + ":")) {
    return refused("default_port", text, "names the default port; leave :443 out");
  }
  if (is_ip_literal(url.host()) ? is_loopback_host(url.host()) : is_local_name(url.host())) {
    return refused("local_host", text,
                   "is at a host of one machine or network alone; use a public name");
  }
  const auto own = Url::parse(owner.client_id);
  if (owner.is_native && own && own->origin() != url.origin()) {
    return refused("other_origin", text,
                   "of a native client must be at the origin of its client_id, " + own->origin());
  }
  return std::nullopt;
}

Verdict check_http(const Url& url, std::string_view text, const RedirectOwner& owner) {
  if (url.host() == "localhost") {
    return refused("localhost", text,
                   "must name 127.0.0.1 or [::1] instead (RFC 8252 section 8.3)");
  }
  if (url.host() != "127.0.0.1" && url.host() != "[::1]") {
    return refused("not_https", text, "must be https");
  }
  if (!owner.is_native) {
    return refused("loopback_not_native", text,
                   "is at the user's own machine, which is for application_type native only");
  }
  return std::nullopt;
}

Verdict check_private_use(std::string_view text, const RedirectOwner& owner) {
  const std::string_view scheme = text.substr(0, text.find(':'));
  if (!owner.is_native) {
    return refused("private_use_web", text,
                   "has a scheme of its own, which is for application_type native only");
  }
  const auto own = Url::parse(owner.client_id);
  const std::string wanted = own ? reversed(own->host()) : std::string{};
  if (scheme != wanted) {
    return refused("private_use_scheme", text,
                   "must have the client_id's host in reverse as its scheme: " + wanted + ":/…");
  }
  const auto rest = text.substr(scheme.size() + 1);
  if (!rest.starts_with('/') || rest.starts_with("//") || rest.size() < 2) {
    return refused("private_use_slash", text,
                   "must have one slash and a path after its scheme (RFC 8252 section 7.1)");
  }
  return std::nullopt;
}

bool is_scheme(std::string_view text) {
  const auto letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); };
  return !text.empty() && letter(text.front()) &&
         std::all_of(text.begin(), text.end(), [&](char c) {
           return letter(c) || (c >= '0' && c <= '9') || c == '+' || c == '-' || c == '.';
         });
}

bool is_plain(char c) {
  return c > ' ' && c < '\x7f';
}

}  // namespace

std::optional<ClientFinding> check_redirect(std::string_view redirect_uri,
                                            const RedirectOwner& owner) {
  const auto colon = redirect_uri.find(':');
  if (colon == std::string_view::npos || !is_scheme(redirect_uri.substr(0, colon)) ||
      !std::all_of(redirect_uri.begin(), redirect_uri.end(), is_plain)) {
    return refused("malformed", redirect_uri, "is not an absolute URI");
  }
  if (redirect_uri.find('#') != std::string_view::npos) {
    return refused("fragment", redirect_uri, "has a fragment (RFC 6749 section 3.1.2); remove it");
  }
  const bool https = redirect_uri.starts_with("https:");
  if (!https && !redirect_uri.starts_with("http:")) return check_private_use(redirect_uri, owner);
  const auto url = Url::parse(redirect_uri);
  if (url)
    return https ? check_https(*url, redirect_uri, owner) : check_http(*url, redirect_uri, owner);
  if (url.error().detail == "url.userinfo") {
    return refused("credentials", redirect_uri.substr(0, colon), "has a user name or password");
  }
  return refused("malformed", redirect_uri, "is not a URL");
}

}  // namespace latchkey
