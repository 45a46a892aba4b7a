// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
module latchkey.oidc.id_token_claims;
import latchkey.core.crypto;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.json;
import latchkey.core.json_reader;
import latchkey.core.secret;
import latchkey.core.time;
import latchkey.core.url;
import latchkey.oidc.id_token;
import latchkey.oidc.jws_algorithm;

namespace latchkey {
namespace {

constexpr std::chrono::hours kMaxAge{24};
constexpr std::int64_t kEndOf9999 = 253'402'300'799;
constexpr std::size_t kMaxSubject = 255;
constexpr std::size_t kMaxDisplayed = 256;
constexpr std::size_t kMaxAddress = 320;
constexpr std::size_t kMaxPicture = 2048;

Error refused(std::string_view fact, const std::string& why) {
  return make_error(ErrorCode::token_invalid, "id_token." + std::string(fact),
                    "cannot trust the id token: " + why + "; log in again");
}

bool is_printable_ascii(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c >= 0x20 && c < 0x7f; });
}

std::optional<TimePoint> read_time(JsonReader& read, std::string_view name) {
  const auto seconds = read.keep(read.object().integer(name));
  if (!seconds || !*seconds) return std::nullopt;
  if (**seconds < 0 || **seconds > kEndOf9999) {
    read.fail(refused("time", std::string(name) + " is no time of this era"));
    return std::nullopt;
  }
  return TimePoint(std::chrono::seconds(**seconds));
}

TimePoint read_required_time(JsonReader& read, std::string_view name) {
  if (!read.object().contains(name)) read.fail(read.object().missing(name));
  return read_time(read, name).value_or(TimePoint{});
}

// One text or a list of them.
std::vector<std::string> read_audience(JsonReader& read) {
  std::vector<std::string> audience;
  if (read.object().kind("aud") == JsonKind::array) {
    read.list("aud", audience);
  } else {
    read.required("aud", audience.emplace_back());
  }
  return audience;
}

// Claims that are only shown: of another type they are as good as absent.
std::string shown(const JsonObject& claims, std::string_view name) {
  const auto text = claims.string(name);
  return text ? text->value_or("") : std::string();
}

std::optional<Email> read_email(const JsonObject& claims) {
  auto address = shown(claims, "email");
  if (address.empty() || address.size() > kMaxAddress || printable(address) != address) {
    return std::nullopt;
  }
  const auto verified = claims.boolean("email_verified");
  return Email{std::move(address), verified && *verified == true};
}

std::string read_picture(const JsonObject& claims) {
  auto text = shown(claims, "picture");
  const auto url = Url::parse(text);
  if (!url || url->scheme() != "https" || text.size() > kMaxPicture) return {};
  return text;
}

std::string compact(const JsonObject& claims) {
  std::string out = "{";
  for (const auto& name : claims.names()) {
    if (out.size() > 1) out += ',';
    out += json_quote(name) + ':' + *claims.json_text(name);
  }
  return out + '}';
}

Result<void> check_times(const IdTokenClaims& claims, TimePoint now) {
  if (claims.is_expired(now)) return refused("expired", "it has expired; check this clock");
  if (claims.not_before && *claims.not_before > now + kIdTokenLeeway) {
    return refused("not_yet_valid", "it is not valid yet; check this clock");
  }
  if (claims.issued_at > now + kIdTokenLeeway) {
    return refused("issued_in_future", "it was issued in the future; check this clock");
  }
  if (claims.issued_at < now - kMaxAge) {
    return refused("issued_too_long_ago", "it was issued more than a day ago");
  }
  if (claims.expires_at <= claims.issued_at) {
    return refused("lifetime", "it expires before it was issued");
  }
  return {};
}

Result<void> check_audience(const IdTokenClaims& claims, const std::string& client_id) {
  const auto& audience = claims.audience;
  if (std::find(audience.begin(), audience.end(), client_id) == audience.end()) {
    return refused("audience", "it is for another client than " + printable(client_id, 200));
  }
  if (audience.size() > 1 && claims.authorized_party.empty()) {
    return refused("azp_missing", "it is for several, and does not say to whom it was issued");
  }
  if (!claims.authorized_party.empty() && claims.authorized_party != client_id) {
    return refused("azp", "it was issued to another client than " + printable(client_id, 200));
  }
  return {};
}

Result<void> check_origin(const IdTokenClaims& claims, const IdTokenExpectations& expectations) {
  if (claims.issuer != expectations.issuer) {
    return refused("issuer", "it is from " + printable(claims.issuer, 200) + " and not from " +
                                 printable(expectations.issuer, 200));
  }
  if (!expectations.nonce.empty() && claims.nonce.empty()) {
    return refused("nonce_missing", "it lacks the nonce of this login");
  }
  if (!expectations.nonce.empty() && !constant_time_equal(claims.nonce, expectations.nonce)) {
    return refused("nonce", "it is of another login");
  }
  if (!expectations.subject.empty() && claims.subject != expectations.subject) {
    return refused("subject", "it is about another account than the session");
  }
  return {};
}

Result<void> check_access_token(const IdTokenClaims& claims, const SecretString* access_token,
                                JwsAlgorithm algorithm) {
  if (access_token == nullptr || claims.access_token_hash.empty()) return {};
  if (constant_time_equal(claims.access_token_hash, half_hash(algorithm, access_token->expose()))) {
    return {};
  }
  return refused("at_hash", "it belongs to another access token");
}

// Core §3.1.3.7, points 12 and 13.
Result<void> check_authentication(const IdTokenClaims& claims,
                                  const std::optional<std::chrono::seconds>& max_age,
                                  TimePoint now) {
  if (!max_age) return {};
  if (!claims.authenticated_at) {
    return refused("auth_time_missing", "it does not say when the person signed in");
  }
  if (*claims.authenticated_at > now + kIdTokenLeeway) {
    return refused("auth_time_in_future", "the person signed in in the future; check this clock");
  }
  if (now > *claims.authenticated_at + *max_age + kIdTokenLeeway) {
    return refused("auth_too_long_ago", "the person signed in longer ago than is allowed");
  }
  return {};
}

}  // namespace

Result<IdTokenClaims> parse_id_token_claims(std::string_view payload) {
  const auto json = JsonObject::parse(payload, ErrorCode::token_invalid, "id_token");
  if (!json) return json.error();
  IdTokenClaims out;
  JsonReader read(*json);
  read.required("iss", out.issuer);
  read.required("sub", out.subject);
  out.audience = read_audience(read);
  out.expires_at = read_required_time(read, "exp");
  out.issued_at = read_required_time(read, "iat");
  out.not_before = read_time(read, "nbf");
  out.authenticated_at = read_time(read, "auth_time");
  read.text("azp", out.authorized_party);
  read.text("nonce", out.nonce);
  read.text("at_hash", out.access_token_hash);
  if (read.error()) return *read.error();
  if (out.subject.size() > kMaxSubject || !is_printable_ascii(out.subject)) {
    return refused("subject_malformed", "its subject is not 1 to 255 ASCII characters");
  }
  out.name = printable(shown(*json, "name"), kMaxDisplayed);
  out.preferred_username = printable(shown(*json, "preferred_username"), kMaxDisplayed);
  out.email = read_email(*json);
  out.picture = read_picture(*json);
  out.json = compact(*json);
  return out;
}

Result<void> check_id_token_claims(const IdTokenClaims& claims,
                                   const IdTokenExpectations& expectations, JwsAlgorithm algorithm,
                                   TimePoint now) {
  if (expectations.issuer.empty() || expectations.client_id.empty()) {
    return make_error(ErrorCode::invalid_argument, "id_token.expectations",
                      "cannot check an id token without its issuer and client: "
                      "name both in the expectations");
  }
  if (auto times = check_times(claims, now); !times) return times;
  if (auto audience = check_audience(claims, expectations.client_id); !audience) return audience;
  if (auto origin = check_origin(claims, expectations); !origin) return origin;
  if (auto bound = check_access_token(claims, expectations.access_token, algorithm); !bound) {
    return bound;
  }
  return check_authentication(claims, expectations.max_age, now);
}

}  // namespace latchkey
