// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <array>
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
module latchkey.dpop.key_format;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.secret;
import latchkey.dpop.jwk;

namespace latchkey {
namespace {

using View = std::span<const unsigned char>;

constexpr std::array<unsigned char, 7> kEcPublicKey{0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01};
constexpr std::array<unsigned char, 8> kP256{0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07};
constexpr std::size_t kMaxFile = 16 * 1024;

enum Tag : unsigned char {
  integer = 0x02,
  bit_string = 0x03,
  octet_string = 0x04,
  object_id = 0x06,
  sequence = 0x30,
  context_0 = 0xa0,
  context_1 = 0xa1,
  implicit_1 = 0x81,
};

bool equal(View a, View b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end());
}

// Takes elements off the front of DER. Lengths must be the shortest form.
class Der {
 public:
  explicit Der(View rest) : rest_(rest) {}

  [[nodiscard]] bool at_end() const { return rest_.empty(); }
  [[nodiscard]] bool at(Tag tag) const { return !rest_.empty() && rest_[0] == tag; }

  std::optional<View> take(Tag tag) {
    if (!at(tag) || rest_.size() < 2) return std::nullopt;
    std::size_t size = rest_[1], header = 2;
    if (size > 0x80) {
      const std::size_t count = size - 0x80;
      if (count > 2 || rest_.size() < 2 + count) return std::nullopt;
      size = 0;
      for (std::size_t i = 0; i < count; ++i) size = size << 8 | rest_[2 + i];
      if (size < 0x80 || (count == 2 && size < 0x100)) return std::nullopt;
      header += count;
    } else if (size == 0x80) {
      return std::nullopt;
    }
    if (rest_.size() - header < size) return std::nullopt;
    const View content = rest_.subspan(header, size);
    rest_ = rest_.subspan(header + size);
    return content;
  }

 private:
  View rest_;
};

enum class Kind { pkcs8, sec1 };

std::string_view name_of(Kind kind) {
  return kind == Kind::pkcs8 ? "PKCS#8" : "SEC1";
}

Error malformed(Kind kind) {
  return make_error(ErrorCode::invalid_key, kind == Kind::pkcs8 ? "key.not_pkcs8" : "key.not_sec1",
                    "cannot read a private key: it is not one " + std::string(name_of(kind)) +
                        " key in DER or PEM and nothing else; check which format the file has");
}

Error encrypted() {
  return make_error(ErrorCode::invalid_key, "key.encrypted",
                    "cannot read a private key: it is encrypted with a pass phrase; decrypt it "
                    "first, for example with openssl pkcs8");
}

Error wrong_type() {
  return make_error(ErrorCode::invalid_key, "key.wrong_type",
                    "cannot use a private key: it is not an elliptic curve key; use one on P-256");
}

Error wrong_curve() {
  return make_error(ErrorCode::invalid_key, "key.wrong_curve",
                    "cannot use a private key: its curve is not named P-256; use one that is");
}

// ECPrivateKey ::= SEQUENCE { 1, OCTET STRING, [0] curve OPTIONAL, [1] BIT STRING OPTIONAL }. In
// PKCS#8 the curve may be left to the outer structure.
Result<P256KeyFile> parse_ec_private_key(View der, Kind kind) {
  Der outer(der);
  const auto body = outer.take(sequence);
  if (!body || !outer.at_end()) return malformed(kind);
  Der in(*body);
  const auto version = in.take(integer);
  const auto d = version ? in.take(octet_string) : std::nullopt;
  constexpr std::array<unsigned char, 1> kVersion{1};
  if (!d || !equal(*version, kVersion)) return malformed(kind);
  if (in.at(context_0)) {
    const auto parameters = in.take(context_0);
    if (!parameters) return malformed(kind);
    Der curve(*parameters);
    const auto id = curve.take(object_id);
    if (!id || !equal(*id, kP256)) return wrong_curve();
    if (!curve.at_end()) return malformed(kind);
  } else if (kind == Kind::sec1) {
    return wrong_curve();
  }
  // After the curve: a key of another curve has another length, and its curve is what is wrong.
  if (d->size() != 32) return malformed(kind);
  P256KeyFile key{.d = SecretBytes(*d), .point = {}};
  if (in.at(context_1)) {
    const auto tagged = in.take(context_1);
    Der inner(tagged.value_or(View{}));
    const auto bits = inner.take(bit_string);
    if (!bits || bits->size() < 2 || (*bits)[0] != 0 || !inner.at_end()) return malformed(kind);
    key.point.assign(bits->begin() + 1, bits->end());
  }
  if (!in.at_end()) return malformed(kind);
  return key;
}

// SEQUENCE { SEQUENCE { algorithm… }, OCTET STRING }: what an encrypted PKCS#8 key begins with
// instead of a version.
bool is_encrypted_der(View body) {
  Der in(body);
  return in.take(sequence).has_value() && in.take(octet_string).has_value() && in.at_end();
}

Result<P256KeyFile> parse_pkcs8_der(View der) {
  Der outer(der);
  const auto body = outer.take(sequence);
  if (!body || !outer.at_end()) return malformed(Kind::pkcs8);
  if (is_encrypted_der(*body)) return encrypted();
  Der in(*body);
  const auto version = in.take(integer);
  const auto algorithm = version ? in.take(sequence) : std::nullopt;
  const auto key = algorithm ? in.take(octet_string) : std::nullopt;
  if (!key || version->size() != 1 || (*version)[0] > 1) return malformed(Kind::pkcs8);
  Der ids(*algorithm);
  const auto type = ids.take(object_id);
  if (!type) return malformed(Kind::pkcs8);
  if (!equal(*type, kEcPublicKey)) return wrong_type();
  const auto curve = ids.take(object_id);
  if (!curve || !equal(*curve, kP256)) return wrong_curve();
  // Attributes and, in version 2, a second copy of the public key may follow.
  if (in.at(context_0) && !in.take(context_0)) return malformed(Kind::pkcs8);
  std::optional<View> second;
  if ((*version)[0] == 1 && in.at(implicit_1)) {
    second = in.take(implicit_1);
    if (!second || second->size() < 2 || (*second)[0] != 0) return malformed(Kind::pkcs8);
  }
  if (!ids.at_end() || !in.at_end()) return malformed(Kind::pkcs8);
  auto parsed = parse_ec_private_key(*key, Kind::pkcs8);
  if (!parsed || !second) return parsed;
  const View copy = second->subspan(1);
  if (parsed->point.empty()) parsed->point.assign(copy.begin(), copy.end());
  if (!equal(parsed->point, copy)) return malformed(Kind::pkcs8);
  return parsed;
}

bool is_blank(char c) {
  return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

std::string_view skip_blank(std::string_view text) {
  while (!text.empty() && is_blank(text.front())) text.remove_prefix(1);
  return text;
}

// The base64 between two PEM lines; nullopt if it is not base64 with its padding.
std::optional<SecretBytes> decode_pem_body(std::string_view body) {
  SecretBytes text(body.size());
  std::size_t size = 0, padding = 0;
  for (const char c : body) {
    if (is_blank(c)) continue;
    if (c == '=') {
      ++padding;
      continue;
    }
    if (padding != 0 || c == '-' || c == '_') return std::nullopt;
    text.mutable_span()[size++] = static_cast<unsigned char>(c == '+' ? '-' : c == '/' ? '_' : c);
  }
  if (padding > 2 || (size + padding) % 4 != 0) return std::nullopt;
  text.truncate(size);
  auto bytes = base64url_decode_secret(as_text(text.expose()));
  if (!bytes) return std::nullopt;
  return std::move(*bytes);
}

// The DER in a file that is one PEM block of the kind's label.
Result<SecretBytes> decode_pem(std::string_view text, Kind kind) {
  constexpr std::string_view kBegin = "-----BEGIN ", kEnd = "-----END ", kDashes = "-----";
  const std::string_view wanted = kind == Kind::pkcs8 ? "PRIVATE KEY" : "EC PRIVATE KEY";
  for (text = skip_blank(text); text.starts_with(kBegin); text = skip_blank(text)) {
    text.remove_prefix(kBegin.size());
    const auto label = text.substr(0, text.find(kDashes));
    if (label.size() == text.size()) return malformed(kind);
    text.remove_prefix(label.size() + kDashes.size());
    const std::string end = std::string(kEnd) + std::string(label) + std::string(kDashes);
    const auto body = text.substr(0, text.find(end));
    if (body.size() == text.size()) return malformed(kind);
    text.remove_prefix(body.size() + end.size());
    if (kind == Kind::sec1 && label == "EC PARAMETERS") continue;
    if (label == "ENCRYPTED PRIVATE KEY") return encrypted();
    if (label != wanted) return malformed(kind);
    if (body.find("Proc-Type:") != std::string_view::npos) return encrypted();
    auto der = decode_pem_body(body);
    if (!der || !skip_blank(text).empty()) return malformed(kind);
    return std::move(*der);
  }
  return malformed(kind);
}

Result<P256KeyFile> parse_file(View file, Kind kind) {
  const auto parse_der = [kind](View der) {
    return kind == Kind::pkcs8 ? parse_pkcs8_der(der) : parse_ec_private_key(der, kind);
  };
  if (file.size() > kMaxFile) return malformed(kind);
  if (!file.empty() && file[0] == sequence) return parse_der(file);
  const auto der = decode_pem(as_text(file), kind);
  if (!der) return der.error();
  return parse_der(der->expose());
}

// Constants, d and the point in the order of the format.
SecretBytes assemble(View head, const SecretBytes& d, View middle, const P256Coordinates& point) {
  SecretBytes out(head.size() + 32 + middle.size() + 64);
  auto to = out.mutable_span().begin();
  for (const View part : {head, d.expose(), middle, View(point.x), View(point.y)}) {
    to = std::copy(part.begin(), part.end(), to);
  }
  return out;
}

SecretString pem(std::string_view label, const SecretBytes& der) {
  constexpr std::size_t kLine = 64;
  const auto body = base64url_encode_secret(der.expose());
  SecretBuilder out(body.size() + 128);
  out.append("-----BEGIN ").append(label).append("-----\n");
  std::size_t column = 0;
  for (const char c : body.expose()) {
    out.append(c == '-' ? '+' : c == '_' ? '/' : c);
    if (++column % kLine == 0) out.append('\n');
  }
  for (; column % 4 != 0; ++column) out.append('=');
  if (column % kLine != 0) out.append('\n');
  return std::move(out.append("-----END ").append(label).append("-----\n")).finish();
}

}  // namespace

Result<P256KeyFile> parse_pkcs8(std::span<const unsigned char> file) {
  return parse_file(file, Kind::pkcs8);
}

Result<P256KeyFile> parse_sec1(std::span<const unsigned char> file) {
  return parse_file(file, Kind::sec1);
}

SecretString pkcs8_pem(const SecretBytes& d, const P256Coordinates& point) {
  constexpr std::array<unsigned char, 36> kHead{
      sequence, 0x81,     0x87,          // of 135 bytes
      integer,  1,        0,             // version
      sequence, 19,       object_id, 7,  // id-ecPublicKey
      0x2a,     0x86,     0x48,      0xce,    0x3d, 0x02, 0x01,         object_id, 8,  // P-256
      0x2a,     0x86,     0x48,      0xce,    0x3d, 0x03, 0x01,         0x07,      octet_string,
      0x6d,     sequence, 0x6b,      integer, 1,    1,    octet_string, 32};
  constexpr std::array<unsigned char, 6> kMiddle{context_1, 0x44, bit_string, 0x42, 0, 4};
  return pem("PRIVATE KEY", assemble(kHead, d, kMiddle, point));
}

SecretString sec1_pem(const SecretBytes& d, const P256Coordinates& point) {
  constexpr std::array<unsigned char, 7> kHead{sequence, 0x77, integer, 1, 1, octet_string, 32};
  constexpr std::array<unsigned char, 18> kMiddle{context_0, 10,   object_id,  8,    0x2a, 0x86,
                                                  0x48,      0xce, 0x3d,       0x03, 0x01, 0x07,
                                                  context_1, 0x44, bit_string, 0x42, 0,    4};
  return pem("EC PRIVATE KEY", assemble(kHead, d, kMiddle, point));
}

}  // namespace latchkey
