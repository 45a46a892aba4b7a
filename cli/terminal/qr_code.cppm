// SPDX-License-Identifier: MIT
module;
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>
export module latchkey.cli.terminal.qr_code;
import latchkey.cli.terminal;

// A QR code (ISO/IEC 18004) as text, for a phone that is held to the screen.

export namespace latchkey::cli {

/// The squares of a code, row by row.
struct QrCode {
  std::size_t width = 0;
  std::vector<bool> dark{};
  /// What lies outside is light.
  [[nodiscard]] bool is_dark(std::ptrdiff_t row, std::ptrdiff_t column) const noexcept;
};

/// With the least error correction: a screen has no scratches, and the code stays small. Empty if
/// the text is too long for any code, or empty.
[[nodiscard]] std::optional<QrCode> make_qr_code(std::string_view text);

/// The lines to show, with the light border that the standard asks for: half blocks in UTF-8, two
/// characters a square otherwise. Dark is left blank, for most terminals are dark; with colours it
/// is made so. Empty if the terminal is too small, or none.
[[nodiscard]] std::vector<std::string> qr_lines(const QrCode& code, const Terminal& terminal);

}  // namespace latchkey::cli
