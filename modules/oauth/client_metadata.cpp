// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
module latchkey.oauth.client_metadata;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.url;
import latchkey.oauth.scope;
import latchkey.session;

namespace latchkey {
namespace {

constexpr std::string_view kLoopbackOrigin = "http://localhost";

// The two literals of RFC 8252 §7.3; "localhost" may be resolved to something else.
bool is_loopback_literal(const Url& url) {
  return url.scheme() == "http" && (url.host() == "127.0.0.1" || url.host() == "[::1]");
}

Result<ScopeSet> atproto_scope(std::string_view text) {
  auto scope = ScopeSet::parse(text);
  if (!scope) return scope;
  if (scope->contains("openid")) {
    return make_error(ErrorCode::invalid_argument, "client.openid_scope",
                      "cannot ask for the scope openid: ATProto has no id tokens; leave it out");
  }
  if (!scope->contains("atproto")) {
    return make_error(ErrorCode::invalid_argument, "client.scope_without_atproto",
                      "cannot use the scope \"" + printable(text, 100) +
                          "\": an ATProto client must ask for atproto; add it");
  }
  return scope;
}

Error not_loopback(std::string_view client_id, const std::string& why) {
  return make_error(ErrorCode::invalid_argument, "client.not_loopback",
                    "cannot use " + printable(client_id, 200) + " as a loopback client_id: " + why);
}

// Empty if the redirect URI may stand in a loopback client_id, else what is wrong with it.
std::string redirect_fault(std::string_view text) {
  const auto url = Url::parse(text);
  if (!url) return "a redirect_uri is not a URL";
  if (!is_loopback_literal(*url)) return "a redirect_uri is not http on 127.0.0.1 or [::1]";
  if (url->has_fragment()) return "a redirect_uri has a fragment";
  return {};
}

}  // namespace

Result<ClientIdentity> loopback_client_identity(std::string_view scope,
                                                std::string_view redirect_path) {
  auto checked = atproto_scope(scope);
  if (!checked) return std::move(checked).error();
  ClientIdentity client;
  client.scope = checked->text();
  client.client_id = kLoopbackOrigin;
  char separator = '?';
  for (const std::string_view host : {"http://127.0.0.1", "http://[::1]"}) {
    const std::string redirect = std::string(host) + std::string(redirect_path);
    const auto url = Url::parse(redirect);
    if (!redirect_path.starts_with('/') || !url || url->text() != redirect || url->has_query() ||
        url->has_fragment()) {
      return make_error(
          ErrorCode::invalid_argument, "client.redirect_path",
          "cannot use \"" + printable(redirect_path, 100) +
              "\" as the path of the redirect: it must be a plain path that begins with /");
    }
    client.client_id += separator;
    client.client_id += "redirect_uri=" + percent_encode(redirect);
    client.redirect_uris.push_back(redirect);
    separator = '&';
  }
  client.client_id += "&scope=" + percent_encode(client.scope);
  return client;
}

Result<ClientIdentity> parse_loopback_client_id(std::string_view client_id) {
  if (!client_id.starts_with(kLoopbackOrigin)) {
    return not_loopback(client_id, "it does not begin with http://localhost");
  }
  auto rest = client_id.substr(kLoopbackOrigin.size());
  if (rest.starts_with('/')) rest.remove_prefix(1);
  if (!rest.empty() && rest.front() != '?') {
    return not_loopback(client_id, "it has a port, a path, a fragment or another host");
  }
  const auto url = Url::parse(client_id);
  if (!url || url->has_fragment())
    return not_loopback(client_id, "it is not a URL without a fragment");
  const auto fields = form_decode(url->query());
  if (!fields) return not_loopback(client_id, "its query is malformed");

  ClientIdentity client{.client_id = std::string(client_id), .redirect_uris = {}, .scope = {}};
  const std::string* scope = nullptr;
  for (const auto& [name, value] : *fields) {
    if (name == "scope") {
      if (scope != nullptr) return not_loopback(client_id, "it has more than one scope");
      scope = &value;
    } else if (name == "redirect_uri") {
      if (const auto fault = redirect_fault(value); !fault.empty())
        return not_loopback(client_id, fault);
      client.redirect_uris.push_back(value);
    } else {
      return not_loopback(client_id, "only redirect_uri and scope may stand in its query");
    }
  }
  const auto checked = atproto_scope(scope == nullptr ? std::string_view("atproto") : *scope);
  if (!checked) return not_loopback(client_id, checked.error().message);
  client.scope = checked->text();
  if (client.redirect_uris.empty()) client.redirect_uris = {"http://127.0.0.1/", "http://[::1]/"};
  return client;
}

bool allows_redirect(const ClientIdentity& client, std::string_view redirect_uri) {
  const auto wanted = Url::parse(redirect_uri);
  return std::any_of(
      client.redirect_uris.begin(), client.redirect_uris.end(), [&](const std::string& text) {
        if (text == redirect_uri) return true;
        const auto declared = Url::parse(text);
        return wanted && declared && is_loopback_literal(*declared) &&
               !declared->has_explicit_port() && !wanted->has_fragment() &&
               !declared->has_fragment() && wanted->scheme() == declared->scheme() &&
               wanted->host() == declared->host() && wanted->target() == declared->target();
      });
}

Result<void> check_atproto_scope(const ClientIdentity& client, std::string_view scope) {
  const auto wanted = atproto_scope(scope);
  if (!wanted) return wanted.error();
  const auto declared = ScopeSet::parse(client.scope);
  if (!declared) return declared.error();
  for (const auto& token : wanted->tokens()) {
    if (declared->contains(token)) continue;
    return make_error(ErrorCode::invalid_argument, "client.scope_not_declared",
                      "cannot ask for the scope " + printable(token, 100) +
                          ": the client does not declare it; add it to the client's scope");
  }
  return {};
}

}  // namespace latchkey
