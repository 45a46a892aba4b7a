// SPDX-License-Identifier: MIT
module;
#include <string>
#include <string_view>
#include <utility>
module latchkey.atproto.did_document;
import latchkey.atproto.identifier;
import latchkey.core.error;
import latchkey.core.json;
import latchkey.core.url;

namespace latchkey {
namespace {

Result<std::string> first_handle(const JsonObject& document) {
  const auto aliases = document.strings("alsoKnownAs");
  if (!aliases) return aliases.error();
  if (!*aliases) return std::string();
  for (const auto& alias : **aliases) {
    if (!alias.starts_with("at://")) continue;
    if (auto handle = parse_handle(alias)) return handle;
  }
  return std::string();
}

bool is_text(const JsonObject& object, std::string_view name, std::string_view wanted) {
  const auto text = object.string(name);
  return text && *text && **text == wanted;
}

bool is_pds(const JsonObject& service, std::string_view did) {
  const std::string id = "#atproto_pds";
  return (is_text(service, "id", id) || is_text(service, "id", std::string(did) + id)) &&
         is_text(service, "type", "AtprotoPersonalDataServer");
}

Error bad_endpoint(std::string_view did, const std::string& why) {
  return make_error(
      ErrorCode::invalid_metadata, "did_document.pds_endpoint",
      "cannot use the PDS that the DID document of " + std::string(did) + " names: " + why);
}

// A default port, capitals and one slash at the end name the same origin: they are normalised.
Result<std::string> endpoint(const JsonObject& service, std::string_view did, HttpRule rule) {
  const auto text = service.required_string("serviceEndpoint");
  if (!text) return bad_endpoint(did, "its endpoint is not a text");
  const auto url = Url::parse(*text);
  if (!url) return bad_endpoint(did, url.error().message);
  if (const auto allowed = check_scheme(*url, rule); !allowed) {
    return bad_endpoint(did, allowed.error().message);
  }
  if (url->path() != "/" || url->has_query() || url->has_fragment()) {
    return bad_endpoint(did, "it must be scheme and host alone, like " + url->origin());
  }
  return url->origin();
}

Result<std::string> first_pds(const JsonObject& document, std::string_view did, HttpRule rule) {
  const auto services = document.objects("service");
  if (!services) return services.error();
  if (!*services) return std::string();
  for (const auto& service : **services) {
    if (is_pds(service, did)) return endpoint(service, did, rule);
  }
  return std::string();
}

}  // namespace

Result<DidDocument> parse_did_document(std::string_view json, std::string_view did, HttpRule rule) {
  const auto document = JsonObject::parse(json, ErrorCode::invalid_metadata, "did_document");
  if (!document) return document.error();
  const auto id = document->string("id");
  if (!id) return id.error();
  if (!*id || **id != did) {
    return make_error(ErrorCode::identity_mismatch, "did_document.id",
                      "cannot use the DID document of " + std::string(did) +
                          ": it is about another DID, or does not say which");
  }
  auto handle = first_handle(*document);
  if (!handle) return std::move(handle).error();
  auto pds = first_pds(*document, did, rule);
  if (!pds) return std::move(pds).error();
  return DidDocument{std::string(did), std::move(*handle), std::move(*pds)};
}

}  // namespace latchkey
