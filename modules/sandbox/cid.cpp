// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
module latchkey.sandbox.cid;
import latchkey.core.crypto;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.sandbox.message;

namespace latchkey::sandbox {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::string_view kBase32 = "abcdefghijklmnopqrstuvwxyz234567";
constexpr unsigned kLinkTag = 42;
constexpr std::size_t kMaxDepth = 32;
constexpr unsigned char kDagCbor = 0x71, kRaw = 0x55;

std::string base32(std::span<const unsigned char> bytes) {
  std::string out;
  unsigned held = 0, bits = 0;
  for (const unsigned char byte : bytes) {
    held = (held << 8) | byte;
    for (bits += 8; bits >= 5; bits -= 5) out += kBase32[(held >> (bits - 5)) & 31];
    held &= (1u << bits) - 1;
  }
  if (bits > 0) out += kBase32[(held << (5 - bits)) & 31];
  return out;
}

std::optional<Bytes> base32_bytes(std::string_view text) {
  Bytes out;
  unsigned held = 0, bits = 0;
  for (const char c : text) {
    const auto digit = kBase32.find(c);
    if (digit == std::string_view::npos) return std::nullopt;
    held = (held << 5) | static_cast<unsigned>(digit);
    bits += 5;
    if (bits >= 8) {
      bits -= 8;
      out.push_back(static_cast<unsigned char>(held >> bits));
    }
    held &= (1u << bits) - 1;
  }
  return out;
}

// A link is a tagged byte string whose first byte is zero.
std::optional<Json> link_of(const Json& value) {
  if (!value.is_string()) return std::nullopt;
  const auto& text = value.get_ref<const std::string&>();
  if (!text.starts_with('b') || text.size() < 8) return std::nullopt;
  auto bytes = base32_bytes(std::string_view(text).substr(1));
  if (!bytes) return std::nullopt;
  bytes->insert(bytes->begin(), 0);
  return Json::binary(*std::move(bytes), kLinkTag);
}

// $bytes is base64, padded or not.
std::optional<Json> bytes_of(const Json& value) {
  if (!value.is_string()) return std::nullopt;
  std::string text = value.get<std::string>();
  while (text.ends_with('=')) text.pop_back();
  std::replace(text.begin(), text.end(), '+', '-');
  std::replace(text.begin(), text.end(), '/', '_');
  auto bytes = base64url_decode(text);
  if (!bytes) return std::nullopt;
  return Json::binary(*std::move(bytes));
}

// The value as DAG-CBOR wants it: keys by length and then by bytes, links and bytes in their own
// types, no fractions. Nothing if it has no such form.
std::optional<Json> canonical(const Json& value, std::size_t depth) {
  if (depth > kMaxDepth || value.is_number_float()) return std::nullopt;
  if (value.is_array()) {
    Json out = Json::array();
    for (const auto& one : value) {
      auto inner = canonical(one, depth + 1);
      if (!inner) return std::nullopt;
      out.push_back(*std::move(inner));
    }
    return out;
  }
  if (!value.is_object()) return value;
  if (value.size() == 1 && value.contains("$link")) return link_of(value["$link"]);
  if (value.size() == 1 && value.contains("$bytes")) return bytes_of(value["$bytes"]);
  std::vector<std::string> keys;
  for (const auto& [key, inner] : value.items()) keys.push_back(key);
  std::sort(keys.begin(), keys.end(), [](const std::string& a, const std::string& b) {
    return a.size() != b.size() ? a.size() < b.size() : a < b;
  });
  Json out = Json::object();
  for (const auto& key : keys) {
    auto inner = canonical(value[key], depth + 1);
    if (!inner) return std::nullopt;
    out[key] = *std::move(inner);
  }
  return out;
}

template <class Hash>
std::string cid_of(const Hash& hash, unsigned char codec) {
  // CID version 1, SHA-256, 32 bytes.
  Bytes cid{0x01, codec, 0x12, 0x20};
  cid.insert(cid.end(), hash.begin(), hash.end());
  return 'b' + base32(cid);
}

}  // namespace

Result<std::string> record_cid(std::string_view json) {
  try {
    const auto parsed = Json::parse(json, nullptr, false);
    if (!parsed.is_object()) {
      return refusal("InvalidRequest", "record.not_json", "the record is not a JSON object");
    }
    const auto value = canonical(parsed, 0);
    if (!value) {
      return refusal("InvalidRequest", "record.data_model",
                     "the record has a value that records can't have");
    }
    return cid_of(sha256(Json::to_cbor(*value)), kDagCbor);
  } catch (const std::exception&) {
    return refusal("InvalidRequest", "record.data_model", "the record can't be encoded");
  }
}

std::string blob_cid(std::string_view bytes) {
  return cid_of(sha256(bytes), kRaw);
}

}  // namespace latchkey::sandbox
