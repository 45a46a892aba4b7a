// SPDX-License-Identifier: MIT
module;
#include <qrencode.h>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
module latchkey.cli.terminal.qr_code;
import latchkey.cli.terminal;

namespace latchkey::cli {
namespace {

constexpr std::ptrdiff_t kBorder = 4;  // ISO/IEC 18004 §5.3.8
constexpr std::string_view kBlackAndWhite = "\x1b[97;40m";
constexpr std::string_view kPlain = "\x1b[0m";

struct FreeCode {
  void operator()(QRcode* code) const noexcept { QRcode_free(code); }
};

std::string_view half_block(bool upper_light, bool lower_light) {
  if (upper_light) return lower_light ? "\u2588" : "\u2580";
  return lower_light ? "\u2584" : " ";
}

std::string utf8_line(const QrCode& code, std::ptrdiff_t row, std::ptrdiff_t end) {
  std::string line;
  for (std::ptrdiff_t column = -kBorder; column < end; ++column)
    line += half_block(!code.is_dark(row, column), row + 1 < end && !code.is_dark(row + 1, column));
  return line;
}

std::string ascii_line(const QrCode& code, std::ptrdiff_t row, std::ptrdiff_t end) {
  std::string line;
  for (std::ptrdiff_t column = -kBorder; column < end; ++column)
    line += code.is_dark(row, column) ? "  " : "##";
  return line;
}

}  // namespace

bool QrCode::is_dark(std::ptrdiff_t row, std::ptrdiff_t column) const noexcept {
  const auto size = static_cast<std::ptrdiff_t>(width);
  if (row < 0 || column < 0 || row >= size || column >= size) return false;
  return dark[static_cast<std::size_t>(row * size + column)];
}

std::optional<QrCode> make_qr_code(std::string_view text) {
  const std::unique_ptr<QRcode, FreeCode> made(
      QRcode_encodeData(static_cast<int>(text.size()),
                        reinterpret_cast<const unsigned char*>(text.data()), 0, QR_ECLEVEL_L));
  if (!made) return std::nullopt;
  QrCode code{.width = static_cast<std::size_t>(made->width)};
  // The lowest bit of each byte is the square; the others say what it is for.
  for (std::size_t i = 0; i < code.width * code.width; ++i)
    code.dark.push_back((made->data[i] & 1) != 0);
  return code;
}

std::vector<std::string> qr_lines(const QrCode& code, const Terminal& terminal) {
  const auto end = static_cast<std::ptrdiff_t>(code.width) + kBorder;
  const auto across = static_cast<std::size_t>(end + kBorder);
  const std::size_t columns = terminal.utf8 ? across : across * 2;
  const std::size_t rows = terminal.utf8 ? (across + 1) / 2 : across;
  if (terminal.columns < columns || terminal.rows < rows) return {};
  std::vector<std::string> lines;
  for (std::ptrdiff_t row = -kBorder; row < end; row += terminal.utf8 ? 2 : 1) {
    std::string line = terminal.utf8 ? utf8_line(code, row, end) : ascii_line(code, row, end);
    if (terminal.colours) line = std::string(kBlackAndWhite) + line + std::string(kPlain);
    lines.push_back(std::move(line));
  }
  return lines;
}

}  // namespace latchkey::cli
