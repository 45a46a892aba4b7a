// SPDX-License-Identifier: MIT
module;
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
module latchkey.atproto.discovery;
import latchkey.atproto.identity;
import latchkey.atproto.identity_cache;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.trim;
import latchkey.core.url;
import latchkey.http;
import latchkey.http.policy;
import latchkey.oauth.server_metadata;

namespace latchkey {
namespace {

// What a person types may have a slash at the end; nothing else may follow the host.
Result<Url> typed_origin(std::string_view text, HttpRule rule) {
  auto url = Url::parse(text);
  if (!url) return url;
  if (auto allowed = check_scheme(*url, rule); !allowed) return std::move(allowed).error();
  if (url->path() != "/" || url->has_query() || url->has_fragment()) {
    return make_error(ErrorCode::invalid_url, "url.not_an_origin",
                      "cannot start from " + url->origin() +
                          " with a path or query behind it: a server is scheme and host alone");
  }
  return url;
}

/// The authorization server that a PDS names; nothing if the origin has no such document (404).
Result<std::optional<Url>> named_server(HttpTransport& transport, const Url& pds, HttpRule rule,
                                        const std::stop_token& stop) {
  const auto request = build_resource_metadata_request(pds);
  if (!request) return request.error();
  const auto response = transport.send(*request, metadata_limits(stop));
  if (!response) return response.error();
  if (response->status == 404) return std::nullopt;
  const auto metadata = process_resource_metadata_response(pds.origin(), *response);
  if (!metadata) return metadata.error();
  auto server = atproto_authorization_server(*metadata, rule);
  if (!server) return std::move(server).error();
  return std::optional(std::move(*server));
}

/// `pds`: the origin that named the issuer, or empty.
Result<ServerMetadata> checked_server(HttpTransport& transport, const Url& issuer,
                                      std::string_view pds, HttpRule rule,
                                      const std::stop_token& stop) {
  const auto request = build_server_metadata_request(issuer);
  if (!request) return request.error();
  const auto response = transport.send(*request, metadata_limits(stop));
  if (!response) return response.error();
  auto metadata = process_server_metadata_response(issuer.origin(), *response);
  if (!metadata) return metadata;
  if (auto fits = check_atproto_server(*metadata, pds, rule); !fits) {
    return std::move(fits).error();
  }
  return metadata;
}

/// Like named_server, for an origin that must be a PDS.
Result<Url> server_named_by(HttpTransport& transport, std::string_view pds, HttpRule rule,
                            const std::stop_token& stop) {
  const auto origin = parse_origin(pds, rule);
  if (!origin) return origin;
  auto named = named_server(transport, *origin, rule, stop);
  if (!named) return std::move(named).error();
  if (!*named) {
    auto error = make_error(ErrorCode::invalid_metadata, "metadata.status",
                            "cannot find the authorization server of " + origin->origin() +
                                ": it serves no protected resource metadata (HTTP 404)");
    error.http_status = 404;
    return error;
  }
  return std::move(**named);
}

}  // namespace

Result<LoginTarget> AtprotoDiscovery::find(std::string_view handle_did_or_url,
                                           std::stop_token stop) {
  const auto typed = trimmed(handle_did_or_url, kBlanksAndLineEnds);
  if (typed.starts_with("https://") || typed.starts_with("http://")) {
    const auto origin = typed_origin(typed, rule_);
    if (!origin) return origin.error();
    const auto named = named_server(*transport_, *origin, rule_, stop);
    if (!named) return named.error();
    std::string pds = *named ? origin->origin() : std::string();
    auto server = checked_server(*transport_, *named ? **named : *origin, pds, rule_, stop);
    if (!server) return std::move(server).error();
    return LoginTarget{
        .identity = {}, .pds = std::move(pds), .server = std::move(*server), .login_hint = {}};
  }
  auto identity = identities_->resolve(typed, stop);
  if (!identity) return std::move(identity).error();
  auto server = server_of(identity->pds, stop);
  if (!server) return std::move(server).error();
  // "@" and "at://" are how people write a handle, not part of it.
  const bool decorated = typed.starts_with('@') || typed.starts_with("at://");
  LoginTarget target{
      .identity = std::move(*identity), .pds = {}, .server = std::move(*server), .login_hint = {}};
  target.pds = target.identity.pds;
  target.login_hint = decorated ? target.identity.handle : std::string(typed);
  return target;
}

Result<ServerMetadata> AtprotoDiscovery::server_of(std::string_view pds, std::stop_token stop) {
  const auto issuer = server_named_by(*transport_, pds, rule_, stop);
  if (!issuer) return issuer.error();
  return checked_server(*transport_, *issuer, pds, rule_, stop);
}

Result<std::string> AtprotoDiscovery::confirm_authority(std::string_view did,
                                                        std::string_view issuer,
                                                        std::stop_token stop) {
  auto document = identities_->resolve_did(did, stop);
  if (!document) return std::move(document).error();
  const auto named = server_named_by(*transport_, document->pds, rule_, stop);
  if (!named) return named.error();
  if (named->origin() != issuer) {
    return make_error(ErrorCode::identity_mismatch, "issuer.not_authoritative",
                      "cannot accept " + printable(issuer, 200) + " for " + document->did +
                          ": the account's PDS names " + named->origin() +
                          "; log in again, starting from the account");
  }
  return std::move(document->pds);
}

std::string AtprotoDiscovery::display_handle(std::string_view did, std::stop_token stop) {
  const auto identity = identities_->resolve(did, std::move(stop));
  return identity ? identity->handle : std::string(kInvalidHandle);
}

}  // namespace latchkey
