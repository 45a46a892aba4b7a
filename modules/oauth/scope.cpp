// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <string>
#include <string_view>
#include <vector>
module latchkey.oauth.scope;
import latchkey.core.encoding;
import latchkey.core.error;

namespace latchkey {
namespace {

// scope-token = 1*( %x21 / %x23-5B / %x5D-7E )
bool is_scope_token(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return c > 0x20 && c < 0x7f && c != '"' && c != '\\';
  });
}

}  // namespace

Result<ScopeSet> ScopeSet::parse(std::string_view text) {
  ScopeSet set;
  while (!text.empty()) {
    const auto end = text.find(' ');
    const auto token = text.substr(0, end);
    // A space must be followed by another token.
    const bool dangling = end != std::string_view::npos && end + 1 == text.size();
    if (!is_scope_token(token) || dangling) {
      return make_error(ErrorCode::invalid_argument, "scope.malformed",
                        "cannot read the scope \"" + printable(text, 100) +
                            "\": it must be words of printable ASCII with single spaces between");
    }
    if (!set.contains(token)) set.tokens_.emplace_back(token);
    text = end == std::string_view::npos ? std::string_view{} : text.substr(end + 1);
  }
  return set;
}

bool ScopeSet::contains(std::string_view token) const noexcept {
  return std::find(tokens_.begin(), tokens_.end(), token) != tokens_.end();
}

bool ScopeSet::covers(const ScopeSet& other) const noexcept {
  return std::all_of(other.tokens_.begin(), other.tokens_.end(),
                     [&](const std::string& token) { return contains(token); });
}

std::string ScopeSet::text() const {
  std::string out;
  for (const auto& token : tokens_) {
    if (!out.empty()) out += ' ';
    out += token;
  }
  return out;
}

}  // namespace latchkey
