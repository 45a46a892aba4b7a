// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <array>
#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
module latchkey.sandbox.clients;
import latchkey.core.error;
import latchkey.core.json;
import latchkey.core.url;
import latchkey.oauth.client_metadata;
import latchkey.oauth.scope;
import latchkey.sandbox.jose;
import latchkey.session;

namespace latchkey::sandbox {
namespace {

constexpr std::string_view kOpenidScope = "openid profile email offline_access";
constexpr std::size_t kMaxSecret = 512;

Error refused(std::string_view member, std::string_view cause) {
  return make_error(
      ErrorCode::invalid_metadata, "client." + std::string(member),
      "cannot register the client: " + std::string(cause) + "; correct its metadata document");
}

bool has(const std::vector<std::string>& texts, std::string_view text) {
  return std::find(texts.begin(), texts.end(), text) != texts.end();
}

// A document, and the rules that need more than one member of it.
struct Document {
  JsonObject json;
  Client client;
  bool native = false;

  [[nodiscard]] Result<std::string> text(std::string_view name, std::string_view otherwise) const {
    const auto value = json.string(name);
    if (!value) return value.error();
    return value->value_or(std::string(otherwise));
  }
  [[nodiscard]] Result<bool> flag(std::string_view name) const {
    const auto value = json.boolean(name);
    if (!value) return value.error();
    return value->value_or(false);
  }
  [[nodiscard]] Result<std::vector<std::string>> list(std::string_view name,
                                                      std::vector<std::string> otherwise) const {
    auto value = json.strings(name);
    if (!value) return std::move(value).error();
    return (*std::move(value)).value_or(std::move(otherwise));
  }
};

using Rule = Result<void> (*)(Document&);

Result<void> read_scope(Document& doc) {
  auto scope = doc.text("scope", kOpenidScope);
  if (!scope) return std::move(scope).error();
  const auto tokens = ScopeSet::parse(*scope);
  if (!tokens) return refused("scope", "its scope is malformed");
  doc.client.atproto = tokens->contains("atproto");
  if (doc.client.atproto && tokens->contains("openid")) {
    return refused("scope", "it declares both atproto and openid, and ATProto has no id tokens");
  }
  doc.client.identity.scope = *std::move(scope);
  return {};
}

// C1.1.
bool is_atproto_client_id(std::string_view text) {
  const auto url = Url::parse(text);
  return url && url->text() == text && url->scheme() == "https" && !url->has_explicit_port() &&
         !url->has_fragment() && url->path() != "/" && !url->path().ends_with('/') &&
         !is_ip_literal(url->host()) && url->host().find('.') != std::string::npos;
}

Result<void> read_client_id(Document& doc) {
  auto client_id = doc.json.required_string("client_id");
  if (!client_id) return std::move(client_id).error();
  if (parse_loopback_client_id(*client_id)) {
    return refused("client_id", "its client_id is a loopback client's, which needs no document");
  }
  if (doc.client.atproto && !is_atproto_client_id(*client_id)) {
    return refused("client_id",
                   "its client_id is not an https URL with a path and without a port (C1.1)");
  }
  doc.client.identity.client_id = *std::move(client_id);
  return {};
}

Result<void> read_grants(Document& doc) {
  auto grants = doc.list("grant_types", {"authorization_code"});
  if (!grants) return std::move(grants).error();
  auto responses = doc.list("response_types", {"code"});
  if (!responses) return std::move(responses).error();
  const bool code = has(*grants, "authorization_code");
  if (!code && (doc.client.atproto || !has(*grants, kDeviceGrant))) {
    return refused("grant_types", "its grant_types lack authorization_code");
  }
  if (code && !has(*responses, "code")) {
    return refused("response_types", "its response_types lack code");
  }
  doc.client.grant_types = *std::move(grants);
  return {};
}

Result<void> read_application_type(Document& doc) {
  const auto type = doc.text("application_type", "web");
  if (!type) return type.error();
  if (*type != "web" && *type != "native") {
    return refused("application_type", "its application_type is neither web nor native");
  }
  doc.native = *type == "native";
  return {};
}

// com.example.app:/callback for https://app.example.com/… (RFC 8252 §7.1).
bool is_private_use(std::string_view redirect, std::string_view client_id) {
  const auto url = Url::parse(client_id);
  if (!url) return false;
  std::string scheme;
  for (std::string_view rest = url->host(); !rest.empty();) {
    const auto dot = rest.rfind('.');
    if (!scheme.empty()) scheme += '.';
    scheme += rest.substr(dot == std::string_view::npos ? 0 : dot + 1);
    rest = dot == std::string_view::npos ? std::string_view{} : rest.substr(0, dot);
  }
  return redirect.starts_with(scheme + ":/") && !redirect.starts_with(scheme + "://") &&
         redirect.find('#') == std::string_view::npos;
}

// C1.10.
bool is_atproto_redirect(std::string_view redirect, const Document& doc) {
  const std::string& client_id = doc.client.identity.client_id;
  if (doc.native && is_private_use(redirect, client_id)) return true;
  const auto url = Url::parse(redirect);
  if (!url || url->has_fragment()) return false;
  if (url->scheme() == "https") {
    const auto own = Url::parse(client_id);
    return !doc.native || (own && own->origin() == url->origin());
  }
  return doc.native && url->scheme() == "http" &&
         (url->host() == "127.0.0.1" || url->host() == "[::1]");
}

// RFC 6749 §3.1.2: absolute, without a fragment.
bool is_redirect(std::string_view redirect) {
  const auto colon = redirect.find(":/");
  return colon != std::string_view::npos && colon > 0 &&
         redirect.find_first_of("# \r\n") == std::string_view::npos;
}

Result<void> read_redirects(Document& doc) {
  auto redirects = doc.list("redirect_uris", {});
  if (!redirects) return std::move(redirects).error();
  if (redirects->empty() && doc.client.allows_grant("authorization_code")) {
    return refused("redirect_uris", "it has no redirect_uris");
  }
  for (const auto& redirect : *redirects) {
    if (doc.client.atproto ? is_atproto_redirect(redirect, doc) : is_redirect(redirect)) continue;
    return refused("redirect_uris", "one of its redirect_uris is not allowed for its kind");
  }
  doc.client.identity.redirect_uris = *std::move(redirects);
  return {};
}

Result<void> read_method(Document& doc) {
  constexpr std::array kMethods{
      std::pair{std::string_view("none"), ClientAuthMethod::none},
      std::pair{std::string_view("private_key_jwt"), ClientAuthMethod::private_key_jwt},
      std::pair{std::string_view("client_secret_basic"), ClientAuthMethod::client_secret_basic},
      std::pair{std::string_view("client_secret_post"), ClientAuthMethod::client_secret_post}};
  const auto name = doc.text("token_endpoint_auth_method", "client_secret_basic");
  if (!name) return name.error();
  const auto* const found = std::find_if(kMethods.begin(), kMethods.end(),
                                         [&](const auto& one) { return one.first == *name; });
  constexpr std::string_view kMember = "token_endpoint_auth_method";
  if (found == kMethods.end()) return refused(kMember, "there is no such " + std::string(kMember));
  const auto method = found->second;
  if (doc.client.atproto && method != ClientAuthMethod::none &&
      method != ClientAuthMethod::private_key_jwt) {
    return refused(kMember, "an ATProto client's method is none or private_key_jwt (C1.8)");
  }
  // RFC 8252 §8.4.
  if (doc.client.atproto && doc.native && method != ClientAuthMethod::none) {
    return refused(kMember, "a native client can't keep a key or secret of all its copies");
  }
  doc.client.identity.auth_method = method;
  return {};
}

Result<void> read_secret(Document& doc, std::optional<std::string> secret) {
  if (!secret && doc.json.contains("client_secret")) {
    auto own = doc.text("client_secret", {});
    if (!own) return std::move(own).error();
    secret = *std::move(own);
  }
  const auto method = doc.client.identity.auth_method;
  const bool wanted = method == ClientAuthMethod::client_secret_basic ||
                      method == ClientAuthMethod::client_secret_post;
  if (wanted != secret.has_value() ||
      (wanted && (secret->empty() || secret->size() > kMaxSecret))) {
    return refused("client_secret", wanted ? "it needs a client_secret of 1 to 512 characters"
                                           : "its method needs no client_secret");
  }
  doc.client.secret = std::move(secret).value_or("");
  return {};
}

Result<void> add_key(Client& client, const JsonObject& jwk) {
  auto key = VerifyingKey::parse(jwk);
  if (!key) return refused("jwks", key.error().message);
  for (const auto& other : client.keys) {
    if (other.kid() == key->kid()) return refused("jwks", "two keys of its jwks have one kid");
  }
  client.keys.push_back(*std::move(key));
  return {};
}

Result<void> read_keys(Document& doc) {
  Client& client = doc.client;
  if (client.identity.auth_method != ClientAuthMethod::private_key_jwt) {
    if (!doc.json.contains("token_endpoint_auth_signing_alg")) return {};
    return refused("token_endpoint_auth_signing_alg", "its method signs nothing");
  }
  auto alg = doc.text("token_endpoint_auth_signing_alg", "");
  if (!alg) return std::move(alg).error();
  client.assertion_alg = parse_alg(*alg);
  if (!client.assertion_alg && (client.atproto || !alg->empty())) {
    return refused("token_endpoint_auth_signing_alg",
                   "its token_endpoint_auth_signing_alg is neither ES256 nor RS256");
  }
  if (doc.json.contains("jwks_uri")) {
    return refused("jwks", "it has a jwks_uri, and the sandbox fetches nothing; use jwks");
  }
  const auto jwks = doc.json.object("jwks");
  if (!jwks || !*jwks) return refused("jwks", "it needs a jwks");
  const auto keys = (*jwks)->objects("keys");
  if (!keys || !*keys || (*keys)->empty()) return refused("jwks", "its jwks has no keys");
  for (const auto& key : **keys) {
    if (auto added = add_key(client, key); !added) return added;
  }
  return {};
}

Result<void> read_binding(Document& doc) {
  const auto bound = doc.flag("dpop_bound_access_tokens");
  if (!bound) return bound.error();
  const auto pushed = doc.flag("require_pushed_authorization_requests");
  if (!pushed) return pushed.error();
  if (doc.client.atproto && !*bound) {
    return refused("dpop_bound_access_tokens",
                   "an ATProto client's dpop_bound_access_tokens must be true (C1.6)");
  }
  doc.client.dpop_bound = *bound;
  doc.client.pushed_only = *pushed || doc.client.atproto;
  return {};
}

Result<void> read_id_token_alg(Document& doc) {
  const auto name = doc.text("id_token_signed_response_alg", "RS256");
  if (!name) return name.error();
  const auto alg = parse_alg(*name);
  if (!alg) {
    return refused("id_token_signed_response_alg",
                   "its id_token_signed_response_alg is neither RS256 nor ES256");
  }
  doc.client.id_token_alg = *alg;
  return {};
}

}  // namespace

bool Client::allows_grant(std::string_view grant_type) const {
  return has(grant_types, grant_type);
}

Result<Client> parse_client(const RegisteredClient& registered) {
  auto json = JsonObject::parse(registered.metadata, ErrorCode::invalid_metadata, "client");
  if (!json) return std::move(json).error();
  Document doc{.json = *std::move(json), .client = {}};
  for (const Rule rule :
       {read_scope, read_client_id, read_grants, read_application_type, read_redirects, read_method,
        read_keys, read_binding, read_id_token_alg}) {
    if (auto good = rule(doc); !good) return std::move(good).error();
  }
  if (auto good = read_secret(doc, registered.client_secret); !good) return std::move(good).error();
  return std::move(doc.client);
}

Result<void> Clients::add(const RegisteredClient& registered) {
  auto client = parse_client(registered);
  if (!client) return std::move(client).error();
  const std::string client_id = client->identity.client_id;
  registered_.insert_or_assign(client_id, std::make_shared<const Client>(*std::move(client)));
  return {};
}

std::shared_ptr<const Client> Clients::find(std::string_view client_id) const {
  if (const auto found = registered_.find(client_id); found != registered_.end()) {
    return found->second;
  }
  auto loopback = parse_loopback_client_id(client_id);
  if (!loopback) return nullptr;
  return std::make_shared<const Client>(Client{.identity = *std::move(loopback)});
}

}  // namespace latchkey::sandbox
