// SPDX-License-Identifier: MIT
module;
#include <memory>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
module latchkey.atproto.identity;
import latchkey.atproto.did_document;
import latchkey.atproto.handle_resolution;
import latchkey.atproto.identifier;
import latchkey.atproto.identity_cache;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.secret;
import latchkey.core.time;
import latchkey.core.url;
import latchkey.http;
import latchkey.http.policy;

namespace latchkey {
namespace {

constexpr std::string_view kWeb = "did:web:";

Error mismatch(std::string_view detail, std::string message) {
  return make_error(ErrorCode::identity_mismatch, detail, std::move(message));
}

// An origin out of the options, where a slash at the end is a habit and not a path.
Result<Url> configured_origin(std::string_view text, HttpRule rule) {
  if (text.ends_with('/')) text.remove_suffix(1);
  return parse_origin(text, rule);
}

Error wrong_status(const Url& url, int status) {
  auto error = make_error(ErrorCode::invalid_response, "did_document.status",
                          "cannot use the answer of " + url.origin() + url.path() +
                              ": its HTTP status is " + std::to_string(status) + " and not 200");
  error.http_status = status;
  return error;
}

// https, and http only for did:web:localhost where the rule lets it.
Result<Url> web_url(std::string_view did, HttpRule rule) {
  const auto host = percent_decode(did.substr(kWeb.size()));
  if (!host) return host.error();
  const bool local = rule == HttpRule::allow_http_for_loopback &&
                     is_loopback_host(std::string_view(*host).substr(0, host->find(':')));
  return Url::parse((local ? "http://" : "https://") + *host + "/.well-known/did.json");
}

Result<Url> directory_url(const std::string& did, const IdentityOptions& options) {
  const auto plc = configured_origin(options.plc_url, options.http_rule);
  if (!plc) return plc.error();
  return plc->with_target('/' + did);
}

Error did_not_found(std::string_view did, int status) {
  auto error = make_error(
      ErrorCode::identity_not_found, "did.not_found",
      "cannot resolve " + std::string(did) +
          (status == 410 ? ": it has been deactivated" : ": there is no such DID; check it"));
  error.http_status = status;
  return error;
}

Result<DidDocument> process_document(const HttpResponse& response, const Url& url,
                                     const std::string& did, HttpRule rule) {
  const int status = response.status;
  if (status == 404 || status == 410) return did_not_found(did, status);
  if (status != 200) return wrong_status(url, status);
  if (!has_json_content(response)) {
    return make_error(ErrorCode::invalid_response, "did_document.content_type",
                      "cannot use the DID document of " + did + ": its content type is not JSON");
  }
  auto document = parse_did_document(response.body.expose(), did, rule);
  if (document && document->pds.empty()) {
    return mismatch("identity.no_pds",
                    "cannot find the PDS of " + did + ": its DID document names none");
  }
  return document;
}

/// The name that answers are kept by.
Result<std::string> parse_name(std::string_view handle_or_did) {
  return handle_or_did.starts_with("did:") ? parse_did(handle_or_did) : parse_handle(handle_or_did);
}

}  // namespace

IdentityResolver::IdentityResolver(IdentityTransports transports, IdentityOptions options)
    : transports_(std::move(transports)),
      options_(std::move(options)),
      handles_(transports_.strangers, options_.dns),
      cache_(options_.clock ? options_.clock : std::make_shared<SystemClock>(), options_.cache) {}

Result<std::string> IdentityResolver::resolve_handle(std::string_view handle,
                                                     std::stop_token stop) {
  const auto name = parse_handle(handle);
  if (!name) return name;
  const auto ask_server = [&]() -> HandleAnswer {
    const auto server = configured_origin(options_.resolve_handles_at, options_.http_rule);
    if (!server) return server.error();
    return ask_handle_server(*transports_.configured, *server, *name, stop);
  };
  auto answer = options_.resolve_handles_at.empty() ? handles_.resolve(*name, stop) : ask_server();
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
  const bool web = checked->starts_with(kWeb);
  const auto url = web ? web_url(*checked, options_.http_rule) : directory_url(*checked, options_);
  if (!url) return url.error();
  auto& transport = web ? *transports_.strangers : *transports_.configured;
  const auto response = transport.send(json_get(*url), metadata_limits(std::move(stop)));
  if (!response) return response.error();
  return process_document(*response, *url, *checked, options_.http_rule);
}

Result<Identity> IdentityResolver::ask_by_did(const std::string& did, const std::stop_token& stop) {
  auto document = resolve_did(did, stop);
  if (!document) return std::move(document).error();
  Identity identity{std::move(document->did), std::string(kInvalidHandle),
                    std::move(document->pds)};
  if (document->handle.empty()) return identity;
  const auto back = resolve_handle(document->handle, stop);
  if (back && *back == identity.did) identity.handle = std::move(document->handle);
  // Being stopped says nothing about the handle.
  if (!back && back.error().code == ErrorCode::cancelled) return back.error();
  return identity;
}

// `name`: as parse_name gives it.
Result<Identity> IdentityResolver::ask(const std::string& name, const std::stop_token& stop) {
  if (name.starts_with("did:")) return ask_by_did(name, stop);
  const auto did = resolve_handle(name, stop);
  if (!did) return did.error();
  auto document = resolve_did(*did, stop);
  if (!document) return std::move(document).error();
  if (document->handle != name) {
    return mismatch("handle.not_claimed",
                    "cannot use the handle " + name + ": it points to " + *did +
                        ", whose DID document does not claim it; use the DID, or set the handle "
                        "anew");
  }
  return Identity{std::move(document->did), name, std::move(document->pds)};
}

Result<Identity> IdentityResolver::resolve(std::string_view handle_or_did, std::stop_token stop) {
  const auto name = parse_name(handle_or_did);
  if (!name) return name.error();
  auto identity = ask(*name, stop);
  cache_.put(*name, identity);
  return identity;
}

Result<Identity> IdentityResolver::look_up(std::string_view handle_or_did, std::stop_token stop) {
  const auto name = parse_name(handle_or_did);
  if (!name) return name.error();
  return cache_.get(
      *name, [&](const std::stop_token& token) { return ask(*name, token); }, std::move(stop));
}

}  // namespace latchkey
