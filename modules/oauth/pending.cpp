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
constexpr unsigned char kVersion = 3;

// Instead of a number of seconds: none was asked for.
constexpr std::uint64_t kNoMaxAge = std::numeric_limits<std::uint64_t>::max();
constexpr std::uint64_t kLargestMaxAge = std::numeric_limits<std::int64_t>::max();

// All texts of version 1 but the verifier, in the order in which they are written.
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

// What version 2 added.
bool read_second_part(Reader& in, PendingLogin& pending) {
  const auto nonce = in.text();
  const auto count = in.number(4);
  if (!nonce || !count) return false;
  pending.nonce = *nonce;
  for (std::uint64_t i = 0; i < *count; ++i) {
    const auto resource = in.text();
    if (!resource) return false;
    pending.resources.emplace_back(*resource);
  }
  const auto max_age = in.number(8);
  const auto iss_required = in.number(1);
  if (!max_age || !iss_required || *iss_required > 1) return false;
  if (*max_age != kNoMaxAge) {
    if (*max_age > kLargestMaxAge) return false;
    pending.max_age = std::chrono::seconds(static_cast<std::chrono::seconds::rep>(*max_age));
  }
  pending.iss_required = *iss_required == 1;
  return true;
}

std::optional<PendingLogin> read_fields(Reader& in, std::uint64_t version) {
  PendingLogin pending;
  for (const auto member : kTexts) {
    const auto text = in.text();
    if (!text) return std::nullopt;
    pending.*member = *text;
  }
  const auto verifier = in.text();
  const auto method = in.number(1);
  const auto created = in.number(8);
  if (!verifier || !method || !created || *method >= kMethods.size()) {
    return std::nullopt;
  }
  pending.code_verifier = SecretString(*verifier);
  pending.client_auth_method = kMethods[static_cast<std::size_t>(*method)];
  pending.created_at = TimePoint(Duration(static_cast<std::int64_t>(*created)));
  // Version 1 is of ATProto logins, which had none of this and always needed iss.
  if (version > 1 && !read_second_part(in, pending)) return std::nullopt;
  // Versions 1 and 2 are of logins whose browser comes back to the program that opened it.
  if (version > 2) {
    const auto binding = in.text();
    if (!binding) return std::nullopt;
    pending.browser_binding_hash = *binding;
  }
  if (!in.at_end()) return std::nullopt;
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
  size += 4 + pending.nonce.size() + 4 + 8 + 1 + 4 + pending.browser_binding_hash.size();
  for (const std::string& resource : pending.resources) size += 4 + resource.size();
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
  write.text(pending.nonce);
  write.number(pending.resources.size(), 4);
  for (const std::string& resource : pending.resources) write.text(resource);
  write.number(pending.max_age ? static_cast<std::uint64_t>(pending.max_age->count()) : kNoMaxAge,
               8);
  write.number(pending.iss_required ? 1 : 0, 1);
  write.text(pending.browser_binding_hash);
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
  auto pending = read_fields(in, *version);
  if (!pending) return malformed();
  return std::move(*pending);
}

}  // namespace latchkey
