// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
module latchkey.session.unverified;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.json;
import latchkey.core.secret;
import latchkey.core.time;

namespace latchkey {
namespace {

constexpr std::string_view kStep = "unverified";
constexpr double kEndOfTime = 253'402'300'799;  // the end of the year 9999

Error unreadable(std::string_view fact, const std::string& why) {
  return make_error(ErrorCode::invalid_argument, std::string(kStep) + "." + std::string(fact),
                    "cannot read the token: " + why + "; it may be good all the same");
}

// The part between the two dots.
std::optional<std::string_view> claims_part(std::string_view token) {
  const auto first = token.find('.');
  if (first == std::string_view::npos) return std::nullopt;
  const auto second = token.find('.', first + 1);
  const bool three =
      second != std::string_view::npos && token.find('.', second + 1) == std::string_view::npos;
  if (!three) return std::nullopt;
  return token.substr(first + 1, second - first - 1);
}

Result<void> read_text(const JsonObject& claims, std::string_view name, std::string& into) {
  auto text = claims.string(name);
  if (!text) return std::move(text).error();
  into = std::move(*text).value_or("");
  return {};
}

// A NumericDate: seconds since 1970, which may have a fraction (RFC 7519 §2).
Result<void> read_time(const JsonObject& claims, std::string_view name,
                       std::optional<TimePoint>& into) {
  const auto seconds = claims.number(name);
  if (!seconds) return seconds.error();
  if (!*seconds) return {};
  if (!(**seconds >= 0 && **seconds <= kEndOfTime)) {
    return unreadable("bad_time", "its " + std::string(name) + " is no time");
  }
  into = TimePoint{std::chrono::milliseconds{static_cast<Duration::rep>(**seconds * 1000)}};
  return {};
}

}  // namespace

Result<UnverifiedClaims> peek_claims(const SecretString& token) {
  const auto part = claims_part(token.expose());
  if (!part) return unreadable("not_a_jwt", "it is no JWT, which has three parts");
  const auto text = base64url_decode_secret(*part);
  if (!text) return unreadable("encoding", "its claims are not base64url");
  const auto json = JsonObject::parse(as_text(text->expose()), ErrorCode::invalid_argument, kStep);
  if (!json) return json.error();
  UnverifiedClaims claims;
  for (const auto& [name, into] : {std::pair<std::string_view, std::string*>{"iss", &claims.issuer},
                                   {"sub", &claims.subject},
                                   {"scope", &claims.scope}}) {
    if (auto read = read_text(*json, name, *into); !read) return std::move(read).error();
  }
  if (auto read = read_time(*json, "iat", claims.issued_at); !read) return std::move(read).error();
  if (auto read = read_time(*json, "exp", claims.expires_at); !read) return std::move(read).error();
  return claims;
}

}  // namespace latchkey
