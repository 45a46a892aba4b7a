// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
module latchkey.atproto.client_identity;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.url;
import latchkey.loopback.receiver;
import latchkey.oauth.client_auth;
import latchkey.oauth.client_document;
import latchkey.oauth.client_keys;
import latchkey.oauth.client_lint;
import latchkey.oauth.client_metadata;
import latchkey.oauth.private_key_jwt;
import latchkey.session;

namespace latchkey {
namespace {

Error refused(std::string_view detail, const std::string& client_id, std::string_view cause) {
  return make_error(
      ErrorCode::invalid_metadata, detail,
      "cannot be the client " + printable(client_id, 200) + ": " + std::string(cause));
}

ClientIdentity description_of(const ClientDocument& document, ClientAuthMethod method) {
  return {.client_id = document.client_id,
          .redirect_uris = document.redirect_uris,
          .scope = document.scope,
          .auth_method = method};
}

// What the document says, if no rule is broken; warnings are for `latchkey client-metadata lint`.
Result<ClientIdentity> describe(const ClientDocument& document, ClientAuthMethod method) {
  for (const ClientFinding& finding : lint_client_document(build_client_document(document))) {
    if (finding.severity != ClientFinding::Severity::error) continue;
    return refused("client.document", document.client_id,
                   "its metadata document breaks a rule: " + finding.message + " (" + finding.id +
                       "); latchkey client-metadata lint lists all of them");
  }
  return description_of(document, method);
}

// Servers check signatures with what is published: a kid alone says nothing of the key.
Result<void> check_published(const ClientDocument& document, const ClientKeys& keys) {
  // Keys behind a jwks_uri are another document's business.
  const auto published = published_keys(document);
  if (!published) return {};
  ClientDocument own;
  publish_keys(own, keys);
  const auto needed = published_keys(own).value();
  for (const PublishedKey& key : needed) {
    if (std::find(published->begin(), published->end(), key) != published->end()) continue;
    return refused("client.key_not_published", document.client_id,
                   "its document's jwks lacks the key " + printable(key.kid, 64) +
                       ", or has another under that kid; publish it before it is used");
  }
  return {};
}

Result<ClientIdentity> describe_confidential(const ClientDocument& document,
                                             const ClientKeys* keys) {
  if (keys == nullptr) {
    return make_error(ErrorCode::invalid_argument, "client.no_keys",
                      "cannot make a confidential client: it has no keys; give it ClientKeys");
  }
  if (document.token_endpoint_auth_method != "private_key_jwt") {
    return refused("client.not_confidential", document.client_id,
                   "its document does not say private_key_jwt; use hosted_client, or change it");
  }
  if (auto published = check_published(document, *keys); !published) {
    return std::move(published).error();
  }
  return describe(document, ClientAuthMethod::private_key_jwt);
}

}  // namespace

AtprotoClientIdentity::AtprotoClientIdentity()
    : AtprotoClientIdentity(make_error(
          ErrorCode::invalid_argument, "client.missing",
          "cannot make a client: it is not said which one; set AtprotoClientOptions::client")) {}

AtprotoClientIdentity::AtprotoClientIdentity(Result<ClientIdentity> description,
                                             std::shared_ptr<ClientKeys> keys)
    : description_(std::move(description)), keys_(std::move(keys)) {}

std::shared_ptr<ClientAuthenticator> AtprotoClientIdentity::authenticator(
    AssertionContext context) const {
  if (!keys_) return public_client(description_->client_id);
  return private_key_jwt(description_->client_id, keys_, std::move(context));
}

AtprotoClientIdentity loopback_client(std::string_view scope, std::string_view redirect_path) {
  return AtprotoClientIdentity(loopback_client_identity(scope, redirect_path));
}

AtprotoClientIdentity loopback_client_of(std::string_view client_id) {
  return AtprotoClientIdentity(parse_loopback_client_id(client_id));
}

AtprotoClientIdentity hosted_client(const ClientDocument& document) {
  if (document.token_endpoint_auth_method != "none") {
    return AtprotoClientIdentity(
        refused("client.not_public", document.client_id,
                "its document's token_endpoint_auth_method is not none; use confidential_client"));
  }
  return AtprotoClientIdentity(describe(document, ClientAuthMethod::none));
}

AtprotoClientIdentity confidential_client(const ClientDocument& document,
                                          std::shared_ptr<ClientKeys> keys) {
  auto description = describe_confidential(document, keys.get());
  return AtprotoClientIdentity(std::move(description), std::move(keys));
}

AtprotoClientIdentity remembered_client(const ClientDocument& document,
                                        std::shared_ptr<ClientKeys> keys) {
  const auto method = keys ? ClientAuthMethod::private_key_jwt : ClientAuthMethod::none;
  return AtprotoClientIdentity(description_of(document, method), std::move(keys));
}

std::optional<ReceiverOptions> receiver_of(const ClientIdentity& client) {
  std::optional<ReceiverOptions> found;
  for (const std::string& redirect : client.redirect_uris) {
    const auto url = Url::parse(redirect);
    if (!url || url->scheme() != "http" || url->has_query()) continue;
    const bool ipv4 = url->host() == "127.0.0.1";
    if (!ipv4 && (found || url->host() != "[::1]")) continue;
    found.emplace();
    found->path = url->path();
    found->port = url->has_explicit_port() ? url->port() : std::uint16_t{0};
    found->host = ipv4 ? LoopbackHost::ipv4 : LoopbackHost::ipv6;
    if (ipv4) return found;
  }
  return found;
}

}  // namespace latchkey
