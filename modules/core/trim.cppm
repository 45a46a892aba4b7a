// SPDX-License-Identifier: MIT
module;
#include <string_view>
export module latchkey.core.trim;

// Text without what stands around it.

export namespace latchkey {

/// What a field's value may have around it (RFC 9110 §5.6.3).
inline constexpr std::string_view kBlanks = " \t";
/// What people's editors and terminals leave around a line, too.
inline constexpr std::string_view kBlanksAndLineEnds = " \t\r\n";

/// `text` without the characters of `around` at both ends.
[[nodiscard]] std::string_view trimmed(std::string_view text, std::string_view around) noexcept;

}  // namespace latchkey
