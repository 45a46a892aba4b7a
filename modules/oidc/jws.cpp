// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
module latchkey.oidc.jws;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.json;
import latchkey.core.secret;
import latchkey.oidc.jws_algorithm;

namespace latchkey {
namespace {

Error refused(std::string_view fact, const std::string& why) {
  return make_error(ErrorCode::token_invalid, "id_token." + std::string(fact),
                    "cannot use the id token: " + why + "; tell its issuer");
}

struct Parts {
  std::string_view header, payload, signature;
};

Result<Parts> split(std::string_view text) {
  const auto dots = std::count(text.begin(), text.end(), '.');
  if (dots == 4) return refused("encrypted", "it is encrypted, which was not asked for");
  if (dots != 2) return refused("malformed", "it has not three parts");
  const auto first = text.find('.'), last = text.rfind('.');
  return Parts{text.substr(0, first), text.substr(first + 1, last - first - 1),
               text.substr(last + 1)};
}

bool is_one_of(JwsAlgorithm algorithm, std::span<const JwsAlgorithm> allowed) {
  return std::find(allowed.begin(), allowed.end(), algorithm) != allowed.end();
}

Result<JwsAlgorithm> read_algorithm(const JsonObject& header,
                                    std::span<const JwsAlgorithm> allowed) {
  const auto name = header.string("alg");
  if (!name) return name.error();
  if (!*name) return refused("alg_missing", "its header names no algorithm");
  const auto algorithm = parse_jws_algorithm(**name);
  if (!algorithm) {
    return refused("alg_unsupported", "its algorithm \"" + printable(**name, 32) +
                                          "\" is not a public key signature that we know");
  }
  if (!is_one_of(*algorithm, allowed)) {
    return refused("alg_not_allowed", "its algorithm " + std::string(to_string(*algorithm)) +
                                          " is none of those that the provider announced");
  }
  return *algorithm;
}

// "JWT" is what id tokens say if they say anything; other kinds of JWT are for other purposes.
Result<void> check_type(const JsonObject& header) {
  const auto type = header.string("typ");
  if (!type) return type.error();
  if (!*type) return {};
  std::string lower = **type;
  std::transform(lower.begin(), lower.end(), lower.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  if (lower == "jwt" || lower == "application/jwt") return {};
  return refused("typ", "its type is \"" + printable(**type, 64) + "\", which is something else");
}

Result<std::optional<std::string>> read_kid(const JsonObject& header) {
  auto kid = header.string("kid");
  if (!kid || !*kid) return kid;
  const bool controls = std::any_of((*kid)->begin(), (*kid)->end(), [](char c) {
    return static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
  });
  if (controls || (*kid)->size() > kMaxKid) {
    return refused("kid_malformed", "the id of its key is too long or has control characters");
  }
  return kid;
}

Result<void> check_extensions(const JsonObject& header) {
  if (header.contains("crit")) {
    return refused("crit", "it demands an extension of JWS, and we know none");
  }
  if (header.contains("b64")) return refused("b64", "its payload is said not to be encoded");
  return {};
}

}  // namespace

Result<CompactJws> parse_compact_jws(std::string_view text, std::span<const JwsAlgorithm> allowed) {
  if (text.empty()) return refused("missing", "there is none");
  if (text.size() > kMaxIdToken) return refused("too_large", "it is larger than 32 KiB");
  const auto parts = split(text);
  if (!parts) return parts.error();
  const auto head = base64url_decode(parts->header);
  auto payload = base64url_decode_secret(parts->payload);
  auto signature = base64url_decode(parts->signature);
  if (!head || !payload || !signature) {
    return refused("malformed", "a part of it is not base64url without padding");
  }
  const auto header =
      JsonObject::parse(as_text(*head), ErrorCode::token_invalid, "id_token.header");
  if (!header) return header.error();
  if (auto known = check_extensions(*header); !known) return std::move(known).error();
  const auto algorithm = read_algorithm(*header, allowed);
  if (!algorithm) return algorithm.error();
  if (auto type = check_type(*header); !type) return std::move(type).error();
  auto kid = read_kid(*header);
  if (!kid) return std::move(kid).error();
  return CompactJws{.algorithm = *algorithm,
                    .kid = std::move(*kid),
                    .signed_text = text.substr(0, text.rfind('.')),
                    .payload = std::move(*payload),
                    .signature = std::move(*signature)};
}

}  // namespace latchkey
