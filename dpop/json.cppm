// SPDX-License-Identifier: MIT
module;
#include <optional>
#include <string>
#include <string_view>
#include <vector>
export module latchkey.dpop.json;
import latchkey.core.secret;

// The little JSON that DPoP reads: the members of one object (a JWK, an error answer). Internal to
// dpop; the hub does not export it.

export namespace latchkey {

/// A member of a JSON object. `text` is empty unless the value is a string.
struct JsonMember {
  std::string name;
  std::optional<SecretString> text;
};

/// The members of a JSON object, in order. Values that are not strings are checked and dropped.
class JsonMembers {
 public:
  /// nullopt unless `text` is one valid JSON object in which, at every level, no member name occurs
  /// twice.
  [[nodiscard]] static std::optional<JsonMembers> parse(std::string_view text);
  /// nullptr if there is no such member.
  [[nodiscard]] const JsonMember* find(std::string_view name) const noexcept;
  /// The value of a member that is there and is a string.
  [[nodiscard]] std::optional<std::string_view> text(std::string_view name) const noexcept;

 private:
  std::vector<JsonMember> members_;
};

}  // namespace latchkey
