// SPDX-License-Identifier: MIT
module;
#include <string_view>
#include <utility>
module latchkey.flows.secret_json;
import latchkey.core.encoding;
import latchkey.core.secret;

namespace latchkey {

SecretJson& SecretJson::add(std::string_view name, std::string_view value) {
  text_.append(empty_ ? "{\"" : ",\"").append(name).append("\":\"");
  empty_ = false;
  for (const char c : value) append_character(c);
  text_.append('"');
  return *this;
}

void SecretJson::append_character(char c) {
  if (c == '"' || c == '\\') {
    text_.append('\\').append(c);
  } else if (static_cast<unsigned char>(c) < 0x20) {
    text_.append("\\u00").append(hex_encode(as_bytes(std::string_view(&c, 1))));
  } else {
    text_.append(c);
  }
}

SecretString SecretJson::finish() && {
  text_.append(empty_ ? "{}" : "}");
  return std::move(text_).finish();
}

}  // namespace latchkey
