// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <array>
#include <cstddef>
#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
module latchkey.dpop.jwk;
import latchkey.core.crypto;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.json;
import latchkey.core.secret;

namespace latchkey {
namespace {

constexpr std::size_t kMaxP256Jwk = 8 * 1024;
constexpr std::size_t kMaxAnyJwk =
    32 * 1024;  // an RSA key of 16384 bits with all its private members fits

Error not_jwk(std::string_view cause) {
  return make_error(
      ErrorCode::invalid_key, "key.not_jwk",
      "cannot read a JSON Web Key: " + std::string(cause) + "; give the JWK object itself");
}

Error wrong_type(std::string_view cause) {
  return make_error(
      ErrorCode::invalid_key, "key.wrong_type",
      "cannot use a JSON Web Key: " + std::string(cause) + "; use an EC key on P-256 for ES256");
}

Result<JsonObject> parse_object(std::string_view jwk, std::size_t max) {
  if (jwk.size() > max) return not_jwk("it is too long");
  auto object = JsonObject::parse(jwk, ErrorCode::invalid_key, "key");
  if (!object) return not_jwk("it is not a JSON object, or a member occurs twice");
  return object;
}

// Nothing if the member is missing or not a string.
std::optional<SecretString> take_text(JsonObject& jwk, std::string_view name) {
  auto text = jwk.take_secret(name);
  if (!text) return std::nullopt;
  return std::move(*text);
}

bool is(const std::optional<SecretString>& text, std::string_view value) {
  return text && text->expose() == value;
}

Result<SecretBytes> parse_32_bytes(JsonObject& jwk, std::string_view name) {
  const auto text = take_text(jwk, name);
  auto bytes = base64url_decode_secret(text ? text->expose() : std::string_view{});
  if (!bytes || bytes->size() != 32) {
    return not_jwk("its member " + std::string(name) + " is not 32 bytes in base64url");
  }
  return bytes;
}

Result<std::array<unsigned char, 32>> parse_coordinate(JsonObject& jwk, std::string_view name) {
  const auto bytes = parse_32_bytes(jwk, name);
  if (!bytes) return bytes.error();
  std::array<unsigned char, 32> coordinate{};
  std::copy_n(bytes->expose().begin(), 32, coordinate.begin());
  return coordinate;
}

// The required members of each key type in the order of RFC 7638 §3.2.
std::initializer_list<std::string_view> required_members(std::string_view kty) {
  static constexpr std::initializer_list<std::string_view> kEc{"crv", "kty", "x", "y"};
  static constexpr std::initializer_list<std::string_view> kOkp{"crv", "kty", "x"};
  static constexpr std::initializer_list<std::string_view> kRsa{"e", "kty", "n"};
  static constexpr std::initializer_list<std::string_view> kOct{"k", "kty"};
  if (kty == "EC") return kEc;
  if (kty == "OKP") return kOkp;
  if (kty == "RSA") return kRsa;
  if (kty == "oct") return kOct;
  return {};
}

// All values in a thumbprint are base64url or, for kty and crv, made of its characters, so nothing
// needs an escape.
bool is_plain(std::string_view value, std::string_view name) {
  if (name != "kty" && name != "crv") return base64url_decode_secret(value).has_value();
  return std::all_of(value.begin(), value.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_';
  });
}

}  // namespace

Result<P256Jwk> parse_p256_jwk(std::string_view jwk) {
  auto object = parse_object(jwk, kMaxP256Jwk);
  if (!object) return object.error();
  const auto kty = take_text(*object, "kty"), crv = take_text(*object, "crv");
  if (!kty) return not_jwk("its member kty is missing or not text");
  if (!is(kty, "EC")) return wrong_type("its type is not EC");
  if (object->contains("alg") && !is(take_text(*object, "alg"), "ES256")) {
    return wrong_type("its member alg is not ES256");
  }
  if (!crv) return not_jwk("its member crv is missing or not text");
  if (!is(crv, "P-256")) {
    return make_error(ErrorCode::invalid_key, "key.wrong_curve",
                      "cannot use a JSON Web Key: its curve is not P-256; use a P-256 key");
  }
  const auto x = parse_coordinate(*object, "x");
  if (!x) return x.error();
  const auto y = parse_coordinate(*object, "y");
  if (!y) return y.error();
  P256Jwk parsed{.point = {.x = *x, .y = *y}, .d = std::nullopt};
  if (object->contains("d")) {
    auto d = parse_32_bytes(*object, "d");
    if (!d) return std::move(d).error();
    parsed.d = std::move(*d);
  }
  return parsed;
}

std::string public_jwk_text(const P256Coordinates& point) {
  return R"({"crv":"P-256","kty":"EC","x":")" + base64url_encode(point.x) + R"(","y":")" +
         base64url_encode(point.y) + R"("})";
}

std::string jwk_thumbprint(const P256Coordinates& point) {
  return sha256_base64url(public_jwk_text(point));
}

Result<std::string> jwk_thumbprint(std::string_view jwk) {
  auto object = parse_object(jwk, kMaxAnyJwk);
  if (!object) return object.error();
  const auto kty = object->string("kty");
  if (!kty || !*kty) return not_jwk("its member kty is missing or not text");
  const auto required = required_members(**kty);
  if (required.size() == 0) return wrong_type("its type is none of EC, OKP, RSA and oct");
  SecretBuilder canonical;  // of an oct key it holds the key itself
  for (const auto name : required) {
    const auto value = take_text(*object, name);
    if (!value || value->empty() || !is_plain(value->expose(), name)) {
      return not_jwk("its member " + std::string(name) + " is missing or malformed");
    }
    canonical.append(name == *required.begin() ? R"({")" : R"(",")").append(name);
    canonical.append(R"(":")").append(value->expose());
  }
  canonical.append(R"("})");
  const auto text = std::move(canonical).finish();
  return sha256_base64url(text.expose());
}

}  // namespace latchkey
