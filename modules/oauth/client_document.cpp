// SPDX-License-Identifier: MIT
module;
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
module latchkey.oauth.client_document;
import latchkey.core.error;
import latchkey.core.json;
import latchkey.core.json_reader;
import latchkey.dpop.jwk;
import latchkey.oauth.client_keys;

namespace latchkey {
namespace {

constexpr std::string_view kStep = "client_document";

class DocumentWriter {
 public:
  void text(std::string_view name, const std::string& value) {
    if (!value.empty()) member(name, json_quote(value));
  }
  void list(std::string_view name, const std::vector<std::string>& values) {
    std::string text;
    for (const std::string& value : values) text += (text.empty() ? "" : ", ") + json_quote(value);
    member(name, "[" + text + "]");
  }
  void json(std::string_view name, const std::string& value) {
    if (!value.empty()) member(name, value);
  }
  [[nodiscard]] std::string finish() && { return std::move(out_) + "\n}\n"; }

 private:
  void member(std::string_view name, const std::string& json) {
    out_ += (out_.size() == 1 ? "\n  " : ",\n  ") + json_quote(name) + ": " + json;
  }
  std::string out_ = "{";
};

}  // namespace

void publish_keys(ClientDocument& document, const ClientKeys& keys) {
  document.token_endpoint_auth_method = "private_key_jwt";
  document.token_endpoint_auth_signing_alg = "ES256";
  document.jwks = keys.public_jwk_set();
  document.jwks_uri.clear();
}

std::string build_client_document(const ClientDocument& document) {
  DocumentWriter out;
  out.text("client_id", document.client_id);
  out.text("client_name", document.client_name);
  out.text("client_uri", document.client_uri);
  out.text("logo_uri", document.logo_uri);
  out.text("tos_uri", document.tos_uri);
  out.text("policy_uri", document.policy_uri);
  out.text("application_type", document.application_type);
  out.list("grant_types", document.grant_types);
  out.list("response_types", document.response_types);
  out.text("scope", document.scope);
  out.list("redirect_uris", document.redirect_uris);
  out.json("dpop_bound_access_tokens", document.dpop_bound_access_tokens ? "true" : "false");
  out.text("token_endpoint_auth_method", document.token_endpoint_auth_method);
  out.text("token_endpoint_auth_signing_alg", document.token_endpoint_auth_signing_alg);
  out.json("jwks", document.jwks);
  out.text("jwks_uri", document.jwks_uri);
  return std::move(out).finish();
}

Result<ClientDocument> parse_client_document(std::string_view json) {
  auto object = JsonObject::parse(json, ErrorCode::invalid_metadata, kStep);
  if (!object) return std::move(object).error();
  JsonReader read(*object);
  ClientDocument out{.client_id = {},
                     .redirect_uris = {},
                     .scope = {},
                     .grant_types = {"authorization_code"},
                     .token_endpoint_auth_method = "client_secret_basic"};
  std::optional<bool> bound;
  read.required("client_id", out.client_id);
  read.text("client_name", out.client_name);
  read.text("client_uri", out.client_uri);
  read.text("logo_uri", out.logo_uri);
  read.text("tos_uri", out.tos_uri);
  read.text("policy_uri", out.policy_uri);
  read.text("application_type", out.application_type);
  read.list("grant_types", out.grant_types);
  read.list("response_types", out.response_types);
  read.text("scope", out.scope);
  read.list("redirect_uris", out.redirect_uris);
  read.flag("dpop_bound_access_tokens", bound);
  read.text("token_endpoint_auth_method", out.token_endpoint_auth_method);
  read.text("token_endpoint_auth_signing_alg", out.token_endpoint_auth_signing_alg);
  read.text("jwks_uri", out.jwks_uri);
  if (auto jwks = read.keep(object->object("jwks")); jwks && *jwks) {
    out.jwks = object->json_text("jwks").value_or("");
  }
  if (read.error()) return *read.error();
  out.dpop_bound_access_tokens = bound.value_or(false);
  return out;
}

namespace {

Result<std::string> thumbprint_of(const JsonObject& key) {
  std::string jwk;
  for (const std::string_view name : {"crv", "kty", "x", "y"}) {
    jwk +=
        (jwk.empty() ? "{" : ",") + json_quote(name) + ":" + key.json_text(name).value_or("null");
  }
  return jwk_thumbprint(jwk + "}");
}

}  // namespace

std::optional<std::vector<PublishedKey>> published_keys(const ClientDocument& document) {
  if (document.jwks.empty()) return std::nullopt;
  std::vector<PublishedKey> published;
  const auto set = JsonObject::parse(document.jwks, ErrorCode::invalid_metadata, kStep);
  const auto keys =
      set ? set->objects("keys") : Result<std::optional<std::vector<JsonObject>>>(set.error());
  if (!keys || !*keys) return published;
  for (const JsonObject& key : **keys) {
    const auto kid = key.string("kid");
    auto thumbprint = thumbprint_of(key);
    if (kid && *kid && thumbprint) published.push_back({**kid, *std::move(thumbprint)});
  }
  return published;
}

}  // namespace latchkey
