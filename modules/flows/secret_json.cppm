// SPDX-License-Identifier: MIT
module;
#include <string_view>
export module latchkey.flows.secret_json;
import latchkey.core.secret;

// Internal to flows; the hub does not export it.

export namespace latchkey {

/// Builds a flat JSON object of texts that may be secrets, without copies left behind. Names and
/// values are UTF-8; names need no escaping.
class SecretJson {
 public:
  SecretJson& add(std::string_view name, std::string_view value);
  [[nodiscard]] SecretString finish() &&;

 private:
  void append_character(char c);
  SecretBuilder text_;
  bool empty_ = true;
};

}  // namespace latchkey
