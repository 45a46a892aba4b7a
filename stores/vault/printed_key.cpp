// SPDX-License-Identifier: MIT
module;
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
module latchkey.store.vault.printed_key;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.secret;
import latchkey.store.vault.header;

namespace latchkey {
namespace {

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kBlanks = " \t\r\n";
  const auto first = text.find_first_not_of(kBlanks);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlanks) - first + 1);
}

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// Without copies of the key that nobody zeroes.
Result<SecretBytes> from_hex(std::string_view digits, std::string_view program) {
  SecretBytes key(kMasterKeySize);
  const auto out = key.mutable_span();
  for (std::size_t i = 0; i < out.size(); ++i) {
    const int high = hex_value(digits[2 * i]), low = hex_value(digits[2 * i + 1]);
    if (high < 0 || low < 0) return not_a_key(program);
    out[i] = static_cast<unsigned char>(high << 4 | low);
  }
  return key;
}

Result<SecretBytes> from_base64(std::string_view text, std::string_view program) {
  if (text.ends_with('=')) text.remove_suffix(1);
  if (text.size() != base64url_size(kMasterKeySize)) return not_a_key(program);
  SecretBuilder url_alphabet(text.size());
  for (const char c : text) url_alphabet.append(c == '+' ? '-' : c == '/' ? '_' : c);
  auto key = base64url_decode_secret(std::move(url_alphabet).finish().expose());
  if (!key) return not_a_key(program);
  return key;
}

}  // namespace

Error not_a_key(std::string_view program) {
  return make_error(ErrorCode::invalid_key, "vault.command_output",
                    "cannot open the vault: what the command " + std::string(program) +
                        " prints is no key; it must print 32 bytes as base64 or as 64 hexadecimal "
                        "digits, and nothing else");
}

Result<SecretBytes> parse_printed_key(const SecretBytes& printed, std::string_view program) {
  const std::string_view text = trimmed(as_text(printed.expose()));
  return text.size() == 2 * kMasterKeySize ? from_hex(text, program) : from_base64(text, program);
}

}  // namespace latchkey
