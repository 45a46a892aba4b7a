// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <array>
#include <string>
#include <string_view>
#include <vector>
module latchkey.oauth.client_id_rules;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.url;
import latchkey.oauth.client_finding;
import latchkey.oauth.client_metadata;

namespace latchkey {
namespace {

constexpr std::string_view kRule = "C1.1";

// Also one that a parser drops because it is the scheme's own.
bool writes_port(std::string_view url) {
  const auto begin = url.find("://") + 3;
  const auto authority = url.substr(begin, url.find_first_of("/?#", begin) - begin);
  return authority.find(':', authority.rfind(']') + 1) != std::string_view::npos;
}

bool has_dot_segment(std::string_view path) {
  for (const std::string_view dots : {"/.", "/.."}) {
    if (path.ends_with(dots) || path.find(std::string(dots) + '/') != std::string_view::npos) {
      return true;
    }
  }
  return false;
}

struct Fault {
  bool there;
  std::string_view name;
  std::string_view message;
};

std::vector<ClientFinding> url_faults(const Url& url, std::string_view text) {
  const bool ip = is_ip_literal(url.host());
  const std::array faults{
      Fault{url.scheme() != "https", "not_https", "client_id must begin with https://"},
      Fault{writes_port(text), "port", "client_id must not name a port, not even 443"},
      Fault{url.has_fragment(), "fragment", "client_id must not have a fragment; remove it"},
      Fault{url.path() == "/", "no_path",
            "client_id must have a path, such as /oauth-client-metadata.json"},
      Fault{url.path() != "/" && url.path().ends_with('/'), "trailing_slash",
            "the path of client_id must not end in a slash"},
      Fault{ip, "ip_host", "the host of client_id must be a name, not an address"},
      Fault{!ip && is_local_name(url.host()), "local_host",
            "the host of client_id must be one that every server can reach: no single label, and "
            "not below .localhost, .local, .test, .invalid or .example"},
      Fault{has_dot_segment(url.path()) || (!writes_port(text) && url.text() != text),
            "not_canonical",
            "client_id must be written as servers compare it: scheme and host in lower case, a "
            "path without dot segments"}};
  std::vector<ClientFinding> out;
  for (const Fault& fault : faults) {
    if (fault.there) out.push_back(client_finding(kRule, fault.name, std::string(fault.message)));
  }
  if (url.has_query()) {
    out.push_back(client_finding(kRule, "query",
                                 "client_id should not have a query; use a plain path",
                                 ClientFinding::Severity::warning));
  }
  return out;
}

}  // namespace

std::vector<ClientFinding> check_client_id(std::string_view client_id) {
  if (client_id.empty()) {
    return {client_finding(kRule, "missing",
                           "client_id is missing; it must be the URL of this very document")};
  }
  if (parse_loopback_client_id(client_id)) {
    return {client_finding("C1.2", "no_document",
                           "client_id is a loopback client's, which has no document: servers make "
                           "one of the client_id itself")};
  }
  const auto url = Url::parse(client_id);
  if (url) return url_faults(*url, client_id);
  if (url.error().detail == "url.userinfo") {
    return {client_finding(kRule, "credentials",
                           "client_id must not have a user name or password in it")};
  }
  return {client_finding(kRule, "not_url",
                         "client_id is not a URL: " + printable(url.error().message, 300))};
}

bool is_local_name(std::string_view host) noexcept {
  const auto dot = host.rfind('.');
  if (dot == std::string_view::npos) return true;
  constexpr std::array<std::string_view, 5> kLocal{"localhost", "local", "test", "invalid",
                                                   "example"};
  return std::find(kLocal.begin(), kLocal.end(), host.substr(dot + 1)) != kLocal.end();
}

}  // namespace latchkey
