// SPDX-License-Identifier: MIT
module;
#include <string>
#include <string_view>
#include <vector>
export module latchkey.oauth.scope;
import latchkey.core.error;

// Scope strings (RFC 6749 §3.3): space-separated tokens of printable ASCII, a set in the order of
// first mention.

export namespace latchkey {

class ScopeSet {
 public:
  /// Error: invalid_argument, "scope.malformed".
  [[nodiscard]] static Result<ScopeSet> parse(std::string_view text);
  [[nodiscard]] bool contains(std::string_view token) const noexcept;
  /// True if every token of `other` is in this one, compared as text.
  [[nodiscard]] bool covers(const ScopeSet& other) const noexcept;
  [[nodiscard]] const std::vector<std::string>& tokens() const noexcept { return tokens_; }
  [[nodiscard]] std::string text() const;

 private:
  std::vector<std::string> tokens_;
};

}  // namespace latchkey
