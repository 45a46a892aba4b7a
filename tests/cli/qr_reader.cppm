// SPDX-License-Identifier: MIT
module;
#include <string>
#include <string_view>
#include <vector>
export module latchkey.test.qr_reader;

// Reads a QR code as a phone would, written from ISO/IEC 18004 and not by the library that draws
// it: versions 1 to 5 with error correction L in one block of bytes, without a single wrong square.

export namespace latchkey::test {

/// Rows of squares; true: dark. With or without a border.
using Squares = std::vector<std::vector<bool>>;

/// What is blank is dark. The lines of `screen` that consist of blocks alone; colours are passed
/// over.
[[nodiscard]] Squares squares_of_half_blocks(std::string_view screen);
[[nodiscard]] Squares squares_of_ascii(std::string_view screen);

/// The text. Throws std::runtime_error if that is no such code.
[[nodiscard]] std::string read_qr_code(const Squares& squares);

}  // namespace latchkey::test
