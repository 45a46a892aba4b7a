// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
module latchkey.atproto.identity;
import latchkey.atproto.identifier;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.json;
import latchkey.core.secret;
import latchkey.core.url;
import latchkey.http;

namespace latchkey {
namespace {

constexpr std::string_view kUnresolvedHandle = "handle.invalid";
constexpr std::string_view kStep = "did_document";

Error mismatch(std::string_view detail, std::string message) {
  return make_error(ErrorCode::identity_mismatch, detail, std::move(message));
}

SendOptions document_options(const std::stop_token& stop) {
  return {.timeout = std::chrono::seconds{10}, .max_body = std::size_t{512} * 1024, .stop = stop};
}

SendOptions handle_options(const std::stop_token& stop) {
  return {.timeout = std::chrono::seconds{3},
          .connect_timeout = std::chrono::seconds{3},
          .max_body = std::size_t{2} * 1024,
          .stop = stop};
}

// An origin out of the options, where a slash at the end is a habit and not a path.
Result<Url> configured_origin(std::string_view text, HttpRule rule) {
  if (text.ends_with('/')) text.remove_suffix(1);
  return parse_origin(text, rule);
}

Error wrong_status(std::string_view detail, const Url& url, int status) {
  auto error = make_error(ErrorCode::invalid_response, detail,
                          "cannot use the answer of " + url.origin() + url.path() +
                              ": its HTTP status is " + std::to_string(status) + " and not 200");
  error.http_status = status;
  return error;
}

// ---- handles

/// What one way of resolving a handle says: the DID, nothing if there is none, or why it could not
/// be asked.
using HandleAnswer = Result<std::optional<std::string>>;

Error not_a_did(const Url& url) {
  return make_error(ErrorCode::invalid_response, "handle.not_a_did",
                    "cannot use the answer of " + url.origin() + url.path() +
                        ": it is not a DID; serve the account's DID there as plain text");
}

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view spaces = " \t\r\n";
  const auto first = text.find_first_not_of(spaces);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(spaces) - first + 1);
}

HandleAnswer ask_well_known(HttpTransport& transport, const std::string& handle,
                            const std::stop_token& stop) {
  const auto url = Url::parse("https://" + handle + "/.well-known/atproto-did");
  if (!url) return url.error();
  const auto response =
      transport.send(HttpRequest{.method = "GET", .url = *url}, handle_options(stop));
  if (!response) return response.error();
  if (response->status == 404) return std::nullopt;
  if (response->status != 200) return wrong_status("handle.status", *url, response->status);
  const auto body = response->body.expose();
  auto did = parse_did(trimmed(body.substr(0, body.find('\n'))));
  if (!did) return not_a_did(*url);
  return std::optional(std::move(*did));
}

// HandleNotFound is what the lexicon says; the reference server says InvalidRequest, of a handle
// whose syntax was checked here.
bool says_unknown(const HttpResponse& response) {
  if (response.status == 404) return true;
  if (response.status != 400) return false;
  const auto body =
      JsonObject::parse(response.body.expose(), ErrorCode::invalid_response, "handle");
  if (!body) return false;
  const auto error = body->string("error");
  const auto message = body->string("message");
  if (!error || !*error) return false;
  return **error == "HandleNotFound" ||
         (**error == "InvalidRequest" && message && *message == "Unable to resolve handle");
}

HandleAnswer ask_server(HttpTransport& transport, const IdentityOptions& options,
                        const std::string& handle, const std::stop_token& stop) {
  const auto server = configured_origin(options.resolve_handles_at, options.http_rule);
  if (!server) return server.error();
  const auto url = server->with_target("/xrpc/com.atproto.identity.resolveHandle?handle=" + handle);
  if (!url) return url.error();
  const auto response = transport.send(json_get(*url), handle_options(stop));
  if (!response) return response.error();
  if (says_unknown(*response)) return std::nullopt;
  if (response->status != 200) return wrong_status("handle.status", *url, response->status);
  if (!has_json_content(*response)) {
    return make_error(ErrorCode::invalid_response, "handle.content_type",
                      "cannot use the answer of " + url->origin() + url->path() +
                          ": its content type is not JSON; check the address of the server that "
                          "resolves handles");
  }
  const auto body =
      JsonObject::parse(response->body.expose(), ErrorCode::invalid_response, "handle");
  if (!body) return body.error();
  const auto text = body->required_string("did");
  if (!text) return text.error();
  auto did = parse_did(*text);
  if (!did) return not_a_did(*url);
  return std::optional(std::move(*did));
}

// ---- DID documents

// https, and http only for did:web:localhost where the rule lets it.
Result<Url> web_url(std::string_view did, HttpRule rule) {
  constexpr std::string_view method = "did:web:";
  const auto host = percent_decode(did.substr(method.size()));
  if (!host) return host.error();
  const bool local = rule == HttpRule::allow_http_for_loopback &&
                     is_loopback_host(std::string_view(*host).substr(0, host->find(':')));
  return Url::parse((local ? "http://" : "https://") + *host + "/.well-known/did.json");
}

Result<Url> document_url(std::string_view did, const IdentityOptions& options) {
  if (did.starts_with("did:web:")) return web_url(did, options.http_rule);
  const auto plc = configured_origin(options.plc_url, options.http_rule);
  if (!plc) return plc.error();
  return plc->with_target('/' + std::string(did));
}

Error did_not_found(std::string_view did, int status) {
  auto error = make_error(
      ErrorCode::identity_not_found, "did.not_found",
      "cannot resolve " + std::string(did) +
          (status == 410 ? ": it has been deactivated" : ": there is no such DID; check it"));
  error.http_status = status;
  return error;
}

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
  const auto document = JsonObject::parse(json, ErrorCode::invalid_metadata, kStep);
  if (!document) return document.error();
  const auto id = document->string("id");
  if (!id) return id.error();
  if (!*id || **id != did) {
    return mismatch("did_document.id", "cannot use the DID document of " + std::string(did) +
                                           ": it is about another DID, or does not say which");
  }
  auto handle = first_handle(*document);
  if (!handle) return std::move(handle).error();
  auto pds = first_pds(*document, did, rule);
  if (!pds) return std::move(pds).error();
  return DidDocument{std::string(did), std::move(*handle), std::move(*pds)};
}

Result<std::string> IdentityResolver::resolve_handle(std::string_view handle,
                                                     std::stop_token stop) {
  const auto name = parse_handle(handle);
  if (!name) return name;
  auto answer = options_.resolve_handles_at.empty()
                    ? ask_well_known(*transport_, *name, stop)
                    : ask_server(*transport_, options_, *name, stop);
  if (!answer) return std::move(answer).error();
  if (!*answer) {
    return make_error(ErrorCode::identity_not_found, "handle.not_found",
                      "cannot resolve the handle " + *name +
                          ": nobody says which DID it belongs to; check its spelling");
  }
  return std::move(**answer);
}

Result<DidDocument> IdentityResolver::resolve_did(std::string_view did, std::stop_token stop) {
  const auto checked = parse_did(did);
  if (!checked) return checked.error();
  const auto url = document_url(*checked, options_);
  if (!url) return url.error();
  const auto response = transport_->send(json_get(*url), document_options(stop));
  if (!response) return response.error();
  const int status = response->status;
  if (status == 404 || status == 410) return did_not_found(*checked, status);
  if (status != 200) return wrong_status("did_document.status", *url, status);
  if (!has_json_content(*response)) {
    return make_error(ErrorCode::invalid_response, "did_document.content_type",
                      "cannot use the DID document of " + *checked +
                          ": its content type is not "
                          "JSON");
  }
  auto document = parse_did_document(response->body.expose(), *checked, options_.http_rule);
  if (document && document->pds.empty()) {
    return mismatch("identity.no_pds",
                    "cannot find the PDS of " + *checked + ": its DID document names none");
  }
  return document;
}

Result<Identity> IdentityResolver::resolve(std::string_view handle_or_did, std::stop_token stop) {
  if (handle_or_did.starts_with("did:")) {
    auto document = resolve_did(handle_or_did, stop);
    if (!document) return std::move(document).error();
    Identity identity{std::move(document->did), std::string(kUnresolvedHandle),
                      std::move(document->pds)};
    if (document->handle.empty()) return identity;
    const auto back = resolve_handle(document->handle, stop);
    if (back && *back == identity.did) identity.handle = std::move(document->handle);
    // Being stopped says nothing about the handle.
    if (!back && back.error().code == ErrorCode::cancelled) return back.error();
    return identity;
  }
  auto handle = parse_handle(handle_or_did);
  if (!handle) return std::move(handle).error();
  const auto did = resolve_handle(*handle, stop);
  if (!did) return did.error();
  auto document = resolve_did(*did, stop);
  if (!document) return std::move(document).error();
  if (document->handle != *handle) {
    return mismatch("handle.not_claimed",
                    "cannot use the handle " + *handle + ": it points to " + *did +
                        ", whose DID document does not claim it; use the DID, or set the handle "
                        "anew");
  }
  return Identity{std::move(document->did), std::move(*handle), std::move(document->pds)};
}

}  // namespace latchkey
