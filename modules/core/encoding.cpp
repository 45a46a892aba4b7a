// SPDX-License-Identifier: MIT
module;
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
module latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.secret;

namespace latchkey {
namespace {

constexpr std::string_view kUrlAlphabet =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
constexpr std::string_view kHex = "0123456789ABCDEF";
constexpr std::size_t kMaxFormFields = 64;

constexpr std::array<std::int8_t, 256> make_url_values() {
  std::array<std::int8_t, 256> values{};
  for (auto& value : values) value = -1;
  for (std::size_t i = 0; i < kUrlAlphabet.size(); ++i) {
    values[static_cast<unsigned char>(kUrlAlphabet[i])] = static_cast<std::int8_t>(i);
  }
  return values;
}
constexpr auto kUrlValues = make_url_values();

// Two characters at a time: encoding is on the path of every DPoP proof.
constexpr std::array<std::array<char, 2>, 4096> make_url_pairs() {
  std::array<std::array<char, 2>, 4096> pairs{};
  for (std::size_t i = 0; i < pairs.size(); ++i) {
    pairs[i] = {kUrlAlphabet[i >> 6], kUrlAlphabet[i & 63]};
  }
  return pairs;
}
constexpr auto kUrlPairs = make_url_pairs();

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

bool is_unreserved(char c) {
  return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
         c == '.' || c == '_' || c == '~';
}

template <class Append>
void percent_encode_to(std::string_view text, bool plus_for_space, Append&& append) {
  for (const char c : text) {
    if (is_unreserved(c)) {
      append(c);
    } else if (c == ' ' && plus_for_space) {
      append('+');
    } else {
      const auto byte = static_cast<unsigned char>(c);
      append('%');
      append(kHex[byte >> 4]);
      append(kHex[byte & 15]);
    }
  }
}

// False for a "%" that is not followed by two hex digits.
bool percent_decode_to(std::string_view text, bool plus_for_space, std::string& out) {
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%') {
      if (i + 2 >= text.size()) return false;
      const int high = hex_value(text[i + 1]), low = hex_value(text[i + 2]);
      if (high < 0 || low < 0) return false;
      out += static_cast<char>(high * 16 + low);
      i += 2;
    } else {
      out += plus_for_space && text[i] == '+' ? ' ' : text[i];
    }
  }
  return true;
}

bool has_control(std::string_view text) {
  for (const char c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) return true;
  }
  return false;
}

// Decodes into `out`, which has room for text.size() * 3 / 4 bytes.
bool base64url_decode_to(std::string_view text, unsigned char* out) {
  if (text.size() % 4 == 1) return false;
  std::uint32_t bits = 0;
  int count = 0;
  for (const char c : text) {
    const int value = kUrlValues[static_cast<unsigned char>(c)];
    if (value < 0) return false;
    bits = bits << 6 | static_cast<std::uint32_t>(value);
    if ((count += 6) >= 8) {
      count -= 8;
      *out++ = static_cast<unsigned char>(bits >> count);
      bits &= (1u << count) - 1;
    }
  }
  return bits == 0;
}

Error malformed_base64url() {
  return make_error(
      ErrorCode::invalid_argument, "base64url.malformed",
      "cannot decode base64url text: it has padding, foreign characters or an impossible length");
}

// The length of the UTF-8 sequence at `pos`, or 0 if it is not well formed.
std::size_t utf8_length(std::string_view text, std::size_t pos) {
  const auto at = [&](std::size_t i) {
    return i < text.size() ? static_cast<unsigned char>(text[i]) : 0u;
  };
  const auto follows = [&](std::size_t i) { return (at(i) & 0xC0) == 0x80; };
  const unsigned lead = at(pos);
  if (lead < 0x80) return 1;
  if (lead >= 0xC2 && lead <= 0xDF) return follows(pos + 1) ? 2 : 0;
  if (lead >= 0xE0 && lead <= 0xEF) {
    if (!follows(pos + 1) || !follows(pos + 2)) return 0;
    if (lead == 0xE0 && at(pos + 1) < 0xA0) return 0;
    if (lead == 0xED && at(pos + 1) > 0x9F) return 0;
    return 3;
  }
  if (lead >= 0xF0 && lead <= 0xF4) {
    if (!follows(pos + 1) || !follows(pos + 2) || !follows(pos + 3)) return 0;
    if (lead == 0xF0 && at(pos + 1) < 0x90) return 0;
    if (lead == 0xF4 && at(pos + 1) > 0x8F) return 0;
    return 4;
  }
  return 0;
}

}  // namespace

std::span<const unsigned char> as_bytes(std::string_view text) noexcept {
  return {reinterpret_cast<const unsigned char*>(text.data()), text.size()};
}

std::string_view as_text(std::span<const unsigned char> bytes) noexcept {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

void base64url_encode_to(std::span<const unsigned char> bytes, char* out) noexcept {
  const auto pair = [&](std::uint32_t twelve_bits) {
    std::memcpy(out, kUrlPairs[twelve_bits].data(), 2);
    out += 2;
  };
  std::size_t i = 0;
  for (; i + 3 <= bytes.size(); i += 3) {
    const std::uint32_t v =
        std::uint32_t{bytes[i]} << 16 | std::uint32_t{bytes[i + 1]} << 8 | bytes[i + 2];
    pair(v >> 12);
    pair(v & 0xfff);
  }
  if (bytes.size() - i == 1) {
    pair(std::uint32_t{bytes[i]} << 4);
  } else if (bytes.size() - i == 2) {
    pair(std::uint32_t{bytes[i]} << 4 | bytes[i + 1] >> 4);
    *out++ = kUrlAlphabet[(bytes[i + 1] & 15u) << 2];
  }
}

std::string base64url_encode(std::span<const unsigned char> bytes) {
  std::string out(base64url_size(bytes.size()), '\0');
  base64url_encode_to(bytes, out.data());
  return out;
}

SecretString base64url_encode_secret(std::span<const unsigned char> bytes) {
  SecretBytes out(base64url_size(bytes.size()));
  base64url_encode_to(bytes, reinterpret_cast<char*>(out.mutable_span().data()));
  return SecretString(std::move(out));
}

Result<Bytes> base64url_decode(std::string_view text) {
  Bytes out(text.size() * 3 / 4);
  if (!base64url_decode_to(text, out.data())) return malformed_base64url();
  return out;
}

Result<SecretBytes> base64url_decode_secret(std::string_view text) {
  SecretBytes out(text.size() * 3 / 4);
  if (!base64url_decode_to(text, out.mutable_span().data())) return malformed_base64url();
  return out;
}

std::string base64_encode(std::span<const unsigned char> bytes) {
  std::string out = base64url_encode(bytes);
  for (char& c : out) {
    if (c == '-') c = '+';
    if (c == '_') c = '/';
  }
  while (out.size() % 4 != 0) out += '=';
  return out;
}

std::string hex_encode(std::span<const unsigned char> bytes) {
  constexpr std::string_view digits = "0123456789abcdef";
  std::string out;
  out.reserve(bytes.size() * 2);
  for (const unsigned char byte : bytes) {
    out += digits[byte >> 4];
    out += digits[byte & 15];
  }
  return out;
}

Result<Bytes> hex_decode(std::string_view text) {
  const Error malformed =
      make_error(ErrorCode::invalid_argument, "hex.malformed",
                 "cannot decode hexadecimal text: it has foreign characters or an odd length");
  if (text.size() % 2 != 0) return malformed;
  Bytes out;
  out.reserve(text.size() / 2);
  for (std::size_t i = 0; i < text.size(); i += 2) {
    const int high = hex_value(text[i]), low = hex_value(text[i + 1]);
    if (high < 0 || low < 0) return malformed;
    out.push_back(static_cast<unsigned char>(high * 16 + low));
  }
  return out;
}

std::string percent_encode(std::string_view text) {
  std::string out;
  percent_encode_to(text, false, [&](char c) { out += c; });
  return out;
}

Result<std::string> percent_decode(std::string_view text) {
  std::string out;
  if (!percent_decode_to(text, false, out)) {
    return make_error(
        ErrorCode::invalid_argument, "percent.malformed",
        "cannot decode percent-encoded text: a % is not followed by two hexadecimal digits");
  }
  return out;
}

std::string form_encode(const FormFields& fields) {
  std::string out;
  const auto append = [&](char c) { out += c; };
  for (const auto& [name, value] : fields) {
    if (!out.empty()) out += '&';
    percent_encode_to(name, true, append);
    out += '=';
    percent_encode_to(value, true, append);
  }
  return out;
}

Result<FormFields> form_decode(std::string_view text) {
  const Error malformed = make_error(
      ErrorCode::invalid_argument, "form.malformed",
      "cannot decode form text: bad percent sequence, control character, or over 64 fields");
  FormFields fields;
  while (!text.empty()) {
    const auto end = text.find('&');
    const auto pair = text.substr(0, end);
    text = end == std::string_view::npos ? std::string_view{} : text.substr(end + 1);
    if (pair.empty()) continue;
    const auto equals = pair.find('=');
    std::string name, value;
    if (!percent_decode_to(pair.substr(0, equals), true, name)) return malformed;
    if (equals != std::string_view::npos &&
        !percent_decode_to(pair.substr(equals + 1), true, value))
      return malformed;
    if (has_control(name) || has_control(value) || fields.size() == kMaxFormFields)
      return malformed;
    fields.emplace_back(std::move(name), std::move(value));
  }
  return fields;
}

Result<const std::string*> form_value(const FormFields& fields, std::string_view name) {
  const std::string* found = nullptr;
  for (const auto& [key, value] : fields) {
    if (key != name) continue;
    if (found != nullptr) {
      return make_error(
          ErrorCode::invalid_argument, "form.duplicate",
          "cannot read form text: the field " + printable(name, 64) + " occurs twice");
    }
    found = &value;
  }
  return found;
}

SecretForm& SecretForm::add(std::string_view name, std::string_view value) {
  const auto append = [&](char c) { text_.append(c); };
  if (!empty_) text_.append('&');
  empty_ = false;
  percent_encode_to(name, true, append);
  text_.append('=');
  percent_encode_to(value, true, append);
  return *this;
}

SecretString SecretForm::finish() && {
  return std::move(text_).finish();
}

bool is_utf8(std::string_view text) noexcept {
  for (std::size_t pos = 0; pos < text.size();) {
    const std::size_t length = utf8_length(text, pos);
    if (length == 0) return false;
    pos += length;
  }
  return true;
}

std::string printable(std::string_view text, std::size_t max) {
  std::string out;
  std::size_t pos = 0, count = 0;
  for (; pos < text.size() && count < max; ++count) {
    const auto lead = static_cast<unsigned char>(text[pos]);
    const std::size_t length = utf8_length(text, pos);
    // C0, DEL, C1 (U+0080..9F) and the bidirectional controls can make a terminal or a reader see
    // something else.
    const bool c1 = length == 2 && lead == 0xC2 && static_cast<unsigned char>(text[pos + 1]) < 0xA0;
    const auto three = length == 3 ? text.substr(pos, 3) : std::string_view{};
    const bool bidi = (three >= "\xE2\x80\xAA" && three <= "\xE2\x80\xAE") ||
                      (three >= "\xE2\x81\xA6" && three <= "\xE2\x81\xA9");
    if (length == 0 || lead < 0x20 || lead == 0x7f || c1 || bidi) {
      out += '?';
      pos += length == 0 ? 1 : length;
    } else {
      out += text.substr(pos, length);
      pos += length;
    }
  }
  if (pos < text.size()) out += "...";
  return out;
}

}  // namespace latchkey
