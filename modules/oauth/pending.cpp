// SPDX-License-Identifier: MIT
module;
#include <array>
#include <cassert>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
module latchkey.oauth.authorization;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.secret;
import latchkey.core.time;
import latchkey.session;

// The stored form of a pending login; docs/formats.md describes it byte by byte.

namespace latchkey {
namespace {

constexpr std::string_view kMagic = "LKPL";
constexpr unsigned char kVersion = 1;

// All texts but the verifier, in the order in which they are written.
constexpr std::array kTexts = {
    &PendingLogin::state,           &PendingLogin::issuer,
    &PendingLogin::token_endpoint,  &PendingLogin::revocation_endpoint,
    &PendingLogin::par_endpoint,    &PendingLogin::client_id,
    &PendingLogin::client_auth_kid, &PendingLogin::redirect_uri,
    &PendingLogin::scope,           &PendingLogin::expected_subject,
    &PendingLogin::handle,          &PendingLogin::resource_server,
    &PendingLogin::dpop_jkt,        &PendingLogin::app_state,
};

constexpr std::array kMethods = {ClientAuthMethod::none, ClientAuthMethod::client_secret_basic,
                                 ClientAuthMethod::client_secret_post,
                                 ClientAuthMethod::private_key_jwt};

class Writer {
 public:
  explicit Writer(std::span<unsigned char> out) : out_(out) {}

  void bytes(std::string_view text) {
    assert(text.size() <= out_.size());
    if (!text.empty()) std::memcpy(out_.data(), text.data(), text.size());
    out_ = out_.subspan(text.size());
  }
  void number(std::uint64_t value, std::size_t size) {
    for (std::size_t i = size; i > 0; --i) {
      const char byte = static_cast<char>(value >> (8 * (i - 1)));
      bytes({&byte, 1});
    }
  }
  void text(std::string_view text) {
    assert(text.size() <= std::numeric_limits<std::uint32_t>::max());
    number(text.size(), 4);
    bytes(text);
  }

 private:
  std::span<unsigned char> out_;
};

class Reader {
 public:
  explicit Reader(std::string_view in) : in_(in) {}

  std::optional<std::string_view> bytes(std::size_t size) {
    if (size > in_.size()) return std::nullopt;
    const auto out = in_.substr(0, size);
    in_.remove_prefix(size);
    return out;
  }
  std::optional<std::uint64_t> number(std::size_t size) {
    const auto text = bytes(size);
    if (!text) return std::nullopt;
    std::uint64_t value = 0;
    for (const char c : *text) value = value << 8 | static_cast<unsigned char>(c);
    return value;
  }
  std::optional<std::string_view> text() {
    const auto size = number(4);
    if (!size) return std::nullopt;
    return bytes(static_cast<std::size_t>(*size));
  }
  [[nodiscard]] bool at_end() const noexcept { return in_.empty(); }

 private:
  std::string_view in_;
};

std::optional<PendingLogin> read_fields(Reader& in) {
  PendingLogin pending;
  for (const auto member : kTexts) {
    const auto text = in.text();
    if (!text) return std::nullopt;
    pending.*member = *text;
  }
  const auto verifier = in.text();
  const auto method = in.number(1);
  const auto created = in.number(8);
  if (!verifier || !method || !created || !in.at_end() || *method >= kMethods.size()) {
    return std::nullopt;
  }
  pending.code_verifier = SecretString(*verifier);
  pending.client_auth_method = kMethods[static_cast<std::size_t>(*method)];
  pending.created_at = TimePoint(Duration(static_cast<std::int64_t>(*created)));
  return pending;
}

Error malformed() {
  return make_error(
      ErrorCode::corrupt, "pending.malformed",
      "cannot read a pending login: its stored form is damaged; start the login again");
}

}  // namespace

SecretBytes serialize_pending(const PendingLogin& pending) {
  std::size_t size = kMagic.size() + 1 + 4 + pending.code_verifier.size() + 1 + 8;
  for (const auto member : kTexts) size += 4 + (pending.*member).size();
  SecretBytes out(size);
  Writer write(out.mutable_span());
  write.bytes(kMagic);
  write.number(kVersion, 1);
  for (const auto member : kTexts) write.text(pending.*member);
  write.text(pending.code_verifier.expose());
  std::size_t method = 0;
  while (kMethods[method] != pending.client_auth_method) ++method;
  write.number(method, 1);
  write.number(static_cast<std::uint64_t>(pending.created_at.time_since_epoch().count()), 8);
  return out;
}

Result<PendingLogin> parse_pending(const SecretBytes& bytes) {
  Reader in(as_text(bytes.expose()));
  const auto magic = in.bytes(kMagic.size());
  const auto version = in.number(1);
  if (!magic || *magic != kMagic || !version || *version == 0) return malformed();
  if (*version > kVersion) {
    return make_error(
        ErrorCode::schema_too_new, "pending.version",
        "cannot read a pending login: a newer latchkey wrote it; start the login again");
  }
  auto pending = read_fields(in);
  if (!pending) return malformed();
  return std::move(*pending);
}

}  // namespace latchkey
