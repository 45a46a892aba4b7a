// SPDX-License-Identifier: MIT
module;
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
export module latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.secret;

// The encodings of the web, with strict decoders: what another implementation could read
// differently is refused.

export namespace latchkey {

using Bytes = std::vector<unsigned char>;

[[nodiscard]] std::span<const unsigned char> as_bytes(std::string_view text) noexcept;
[[nodiscard]] std::string_view as_text(std::span<const unsigned char> bytes) noexcept;

/// base64url without padding (RFC 4648 §5, RFC 7515 §2).
[[nodiscard]] std::string base64url_encode(std::span<const unsigned char> bytes);
/// The length that base64url_encode gives for `size` bytes.
[[nodiscard]] constexpr std::size_t base64url_size(std::size_t size) noexcept {
  return (size * 4 + 2) / 3;
}
/// Writes base64url_size(bytes.size()) characters to `out`, for code that must not allocate or
/// leave copies.
void base64url_encode_to(std::span<const unsigned char> bytes, char* out) noexcept;
[[nodiscard]] SecretString base64url_encode_secret(std::span<const unsigned char> bytes);

/// Refuses padding, characters outside the alphabet, impossible lengths and non-zero trailing bits.
/// Error: invalid_argument, "base64url.malformed".
[[nodiscard]] Result<Bytes> base64url_decode(std::string_view text);
[[nodiscard]] Result<SecretBytes> base64url_decode_secret(std::string_view text);

/// Standard base64 with padding (RFC 4648 §4), for HTTP Basic and PEM.
[[nodiscard]] std::string base64_encode(std::span<const unsigned char> bytes);

/// Lower-case hexadecimal.
[[nodiscard]] std::string hex_encode(std::span<const unsigned char> bytes);
/// Error: invalid_argument, "hex.malformed".
[[nodiscard]] Result<Bytes> hex_decode(std::string_view text);

/// Percent-encodes all but the unreserved characters of RFC 3986 §2.3.
[[nodiscard]] std::string percent_encode(std::string_view text);
/// Error: invalid_argument, "percent.malformed" (a `%` without two hex digits).
[[nodiscard]] Result<std::string> percent_decode(std::string_view text);

/// Pairs in order; duplicates kept.
using FormFields = std::vector<std::pair<std::string, std::string>>;

/// application/x-www-form-urlencoded, space as "+".
[[nodiscard]] std::string form_encode(const FormFields& fields);
/// Strict: refuses bad percent sequences, control characters after decoding, and more than 64
/// fields. An empty text gives no fields. Error: invalid_argument, "form.malformed".
[[nodiscard]] Result<FormFields> form_decode(std::string_view text);
/// The value of `name`; empty optional if absent. Error: invalid_argument, "form.duplicate" if it
/// occurs twice.
[[nodiscard]] Result<const std::string*> form_value(const FormFields& fields,
                                                    std::string_view name);

/// Builds a form body that holds secrets, without copies left behind.
class SecretForm {
 public:
  SecretForm& add(std::string_view name, std::string_view value);
  [[nodiscard]] SecretString finish() &&;

 private:
  SecretBuilder text_;
  bool empty_ = true;
};

/// Well-formed UTF-8: no overlong forms, no surrogates, nothing above U+10FFFF.
[[nodiscard]] bool is_utf8(std::string_view text) noexcept;

/// Keeps printable text, cut to `max` characters; control characters and invalid UTF-8 become "?".
/// For text from peers that is shown to people.
[[nodiscard]] std::string printable(std::string_view text, std::size_t max = 512);

}  // namespace latchkey
