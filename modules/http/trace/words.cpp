// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <array>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
module latchkey.http.trace.words;
import latchkey.core.crypto;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.json;
import latchkey.core.url;

namespace latchkey {
namespace {

constexpr TraceWord kUnlisted = "unlisted";
constexpr std::string_view kHidden = "*";
constexpr std::size_t kLongestLabel = 24;
constexpr std::size_t kLongestName = 48;
constexpr std::size_t kMostDigitsInName = 2;
constexpr std::size_t kLongestDetail = 64;
constexpr std::size_t kLongestWordOfDetail = 32;
constexpr std::size_t kMostSegments = 8;
constexpr std::size_t kKeyLetters = 8;

constexpr auto kMethods = std::to_array<TraceWord>(
    {"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "CONNECT", "TRACE"});

constexpr auto kErrors = std::to_array<TraceWord>(
    {// OAuth: RFC 6749, 6750, 7009, 7591, 8628, 8707, 9101, 9396, 9449, 9470
     "invalid_request", "invalid_client", "invalid_grant", "unauthorized_client",
     "unsupported_grant_type", "invalid_scope", "access_denied", "unsupported_response_type",
     "server_error", "temporarily_unavailable", "invalid_token", "insufficient_scope",
     "unsupported_token_type", "invalid_redirect_uri", "invalid_client_metadata",
     "authorization_pending", "slow_down", "expired_token", "invalid_target", "invalid_request_uri",
     "invalid_request_object", "invalid_authorization_details", "use_dpop_nonce",
     "invalid_dpop_proof", "insufficient_user_authentication",
     // OpenID Connect Core §3.1.2.6
     "interaction_required", "login_required", "account_selection_required", "consent_required",
     "request_not_supported", "request_uri_not_supported", "registration_not_supported",
     // XRPC
     "InvalidRequest", "ExpiredToken", "InvalidToken", "BadJwt", "BadJwtSignature", "AuthMissing",
     "AuthenticationRequired", "AuthFactorTokenRequired", "AccountTakedown", "AccountDeactivated",
     "AccountNotFound", "RecordNotFound", "RepoNotFound", "RepoDeactivated", "RepoTakendown",
     "RepoSuspended", "InvalidSwap", "RateLimitExceeded", "ScopeMissingError", "BadQueryString",
     "MethodNotImplemented", "XRPCNotSupported", "InternalServerError", "UpstreamFailure",
     "UpstreamTimeout", "PayloadTooLarge", "BlobTooLarge", "BlobNotFound", "InvalidMimeType",
     "HandleNotFound", "UnableToResolveHandle", "Forbidden", "NotFound", "InvalidRecord",
     "NotEnoughResources"});

constexpr auto kSegments = std::to_array<TraceWord>({".well-known",
                                                     "oauth-authorization-server",
                                                     "oauth-protected-resource",
                                                     "openid-configuration",
                                                     "atproto-did",
                                                     "did.json",
                                                     "oauth-client-metadata.json",
                                                     "client-metadata.json",
                                                     "oauth",
                                                     "oauth2",
                                                     "oidc",
                                                     "openid",
                                                     "openid-connect",
                                                     "connect",
                                                     "protocol",
                                                     "realms",
                                                     "auth",
                                                     "authorize",
                                                     "authorization",
                                                     "login",
                                                     "logout",
                                                     "token",
                                                     "access_token",
                                                     "par",
                                                     "pushed-authorization-request",
                                                     "revoke",
                                                     "revocation",
                                                     "introspect",
                                                     "device",
                                                     "device_authorization",
                                                     "device-authorization",
                                                     "code",
                                                     "devicecode",
                                                     "jwks",
                                                     "jwks.json",
                                                     "certs",
                                                     "keys",
                                                     "userinfo",
                                                     "api",
                                                     "common",
                                                     "organizations",
                                                     "consumers",
                                                     "v1",
                                                     "v2",
                                                     "v3",
                                                     "xrpc"});

bool is_lower(char c) {
  return c >= 'a' && c <= 'z';
}
bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
bool is_letter(char c) {
  return is_lower(c) || (c >= 'A' && c <= 'Z');
}

// The parts of `text` between `mark`s, each given to `use`.
template <class Use>
void for_each_part(std::string_view text, char mark, Use&& use) {
  for (;;) {
    const auto end = text.find(mark);
    use(text.substr(0, end));
    if (end == std::string_view::npos) return;
    text.remove_prefix(end + 1);
  }
}

bool is_authority_label(std::string_view label) {
  return !label.empty() && label.size() <= kLongestLabel && is_lower(label.front()) &&
         std::all_of(label.begin(), label.end(),
                     [](char c) { return is_lower(c) || is_digit(c) || c == '-'; });
}

// Tokens are letters and digits too, but names of methods have hardly a digit.
bool is_method_name(std::string_view name) {
  if (name.empty() || name.size() > kLongestName || !is_letter(name.front())) return false;
  const auto digits = static_cast<std::size_t>(std::count_if(name.begin(), name.end(), is_digit));
  return digits <= kMostDigitsInName &&
         std::all_of(name.begin(), name.end(), [](char c) { return is_letter(c) || is_digit(c); });
}

bool is_plain_nsid(std::string_view text) {
  const auto dot = text.rfind('.');
  if (dot == std::string_view::npos || !is_method_name(text.substr(dot + 1))) return false;
  std::size_t labels = 0;
  bool plain = true;
  for_each_part(text.substr(0, dot), '.', [&](std::string_view label) {
    ++labels;
    plain = plain && is_authority_label(label);
  });
  return plain && labels >= 2 && labels <= kMostSegments;
}

std::string_view shown_segment(std::string_view segment, bool after_xrpc) {
  const auto word = TraceWord::listed(segment, kSegments);
  if (word != kUnlisted) return word.text();
  return after_xrpc && is_plain_nsid(segment) ? segment : kHidden;
}

std::string shown_host(const std::string& host) {
  if (is_ip_literal(host)) return host;
  std::string out;
  for_each_part(host, '.', [&](std::string_view label) {
    if (!out.empty()) out += '.';
    out += label.size() > kLongestLabel ? kHidden : label;
  });
  return out;
}

bool is_dotted_detail(std::string_view text) {
  if (text.empty() || text.size() > kLongestDetail) return false;
  bool plain = true;
  for_each_part(text, '.', [&](std::string_view word) {
    plain = plain && !word.empty() && word.size() <= kLongestWordOfDetail &&
            std::all_of(word.begin(), word.end(), [](char c) { return is_lower(c) || c == '_'; });
  });
  return plain;
}

// The `jwk` of a proof's header.
Result<JsonObject> key_of(std::string_view proof) {
  constexpr ErrorCode kCode = ErrorCode::invalid_key;
  const auto header = base64url_decode(proof.substr(0, proof.find('.')));
  if (!header) return header.error();
  const auto parsed = JsonObject::parse(as_text(*header), kCode, "trace");
  if (!parsed) return parsed.error();
  auto jwk = parsed->object("jwk");
  if (!jwk) return std::move(jwk).error();
  return *jwk ? Result<JsonObject>(**std::move(jwk)) : parsed->missing("jwk");
}

}  // namespace

TraceWord TraceWord::listed(std::string_view text, std::span<const TraceWord> known) {
  if (text.empty()) return {};
  const auto found = std::find_if(known.begin(), known.end(),
                                  [&](const TraceWord& word) { return word.text() == text; });
  return found == known.end() ? kUnlisted : *found;
}

TraceWord traced_method(std::string_view method) {
  return TraceWord::listed(method, kMethods);
}

TraceWord traced_error(std::string_view error) {
  return TraceWord::listed(error, kErrors);
}

TraceOrigin::TraceOrigin(const Url& url) : text_(url.scheme() + "://" + shown_host(url.host())) {
  // The authority without a default port tells whether there is one to show.
  text_ += url.authority().substr(url.host().size());
}

TracePath::TracePath(const Url& url) {
  std::size_t count = 0;
  bool after_xrpc = false;
  for_each_part(std::string_view(url.path()).substr(1), '/', [&](std::string_view segment) {
    if (++count > kMostSegments) return;
    text_ += '/';
    text_ += shown_segment(segment, after_xrpc && count == 2);
    after_xrpc = segment == "xrpc";
  });
  if (count > kMostSegments) text_ += "/*";
}

TraceDetail::TraceDetail(std::string_view detail)
    : text_(is_dotted_detail(detail) ? detail
            : detail.empty()         ? ""
                                     : kUnlisted.text()) {}

TraceKey::TraceKey(std::string_view proof) {
  const auto jwk = key_of(proof);
  if (!jwk) return;
  const auto x = jwk->required_string("x"), y = jwk->required_string("y");
  if (!x || !y) return;
  const std::string canonical =
      R"({"crv":"P-256","kty":"EC","x":)" + json_quote(*x) + R"(,"y":)" + json_quote(*y) + "}";
  text_ = sha256_base64url(canonical).substr(0, kKeyLetters);
}

}  // namespace latchkey
