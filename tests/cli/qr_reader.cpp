// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <array>
#include <cstddef>
#include <regex>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
module latchkey.test.qr_reader;

namespace latchkey::test {
namespace {

using std::size_t;

constexpr size_t kFinder = 7;
// Bytes of data in versions 1 to 5 at level L (table 9).
constexpr std::array<size_t, 5> kDataBytes{19, 34, 55, 80, 108};

void expect(bool fact, const char* what) {
  if (!fact) throw std::runtime_error(std::string("no QR code that can be read: ") + what);
}

std::vector<std::string> lines_without_colours(std::string_view screen) {
  const std::string plain =
      std::regex_replace(std::string(screen), std::regex("\x1b\\[[0-9;]*m|\r"), "");
  std::vector<std::string> lines;
  std::istringstream stream(plain);
  for (std::string line; std::getline(stream, line);) lines.push_back(std::move(line));
  return lines;
}

// A row and the one below it; empty if something else stands in the line too.
std::pair<std::vector<bool>, std::vector<bool>> rows_of(std::string_view line) {
  std::vector<bool> upper, lower;
  while (!line.empty()) {
    const bool blank = line.front() == ' ';
    const std::string_view sign = line.substr(0, blank ? 1 : 3);
    const bool full = sign == "\u2588", above = sign == "\u2580", below = sign == "\u2584";
    if (!blank && !full && !above && !below) return {};
    upper.push_back(!(full || above));
    lower.push_back(!(full || below));
    line.remove_prefix(sign.size());
  }
  return {upper, lower};
}

// Cuts the border off: the finders fill three corners.
Squares without_border(const Squares& all) {
  size_t top = all.size(), bottom = 0, left = top, right = 0;
  for (size_t y = 0; y < all.size(); ++y) {
    for (size_t x = 0; x < all[y].size(); ++x) {
      if (!all[y][x]) continue;
      top = std::min(top, y);
      bottom = std::max(bottom, y);
      left = std::min(left, x);
      right = std::max(right, x);
    }
  }
  expect(top < bottom && left < right && bottom - top == right - left, "not a square");
  Squares inner;
  for (size_t y = top; y <= bottom; ++y) {
    expect(all[y].size() > right, "ragged");
    inner.emplace_back(all[y].begin() + static_cast<std::ptrdiff_t>(left),
                       all[y].begin() + static_cast<std::ptrdiff_t>(right) + 1);
  }
  return inner;
}

void check_finder(const Squares& code, size_t top, size_t left) {
  for (size_t y = 0; y < kFinder; ++y) {
    for (size_t x = 0; x < kFinder; ++x) {
      const size_t ring = std::min(std::min(x, y), kFinder - 1 - std::max(x, y));
      expect(code[top + y][left + x] == (ring != 1), "no finder");
    }
  }
}

// §7.9: the level and the mask.
unsigned mask_of(const Squares& code) {
  unsigned bits = 0;
  const auto add = [&](size_t y, size_t x) { bits = bits << 1 | (code[y][x] ? 1U : 0U); };
  for (const size_t x : std::array<size_t, 8>{0, 1, 2, 3, 4, 5, 7, 8}) add(8, x);
  for (const size_t y : std::array<size_t, 7>{7, 5, 4, 3, 2, 1, 0}) add(y, 8);
  bits ^= 0x5412;
  expect(bits >> 13 == 1, "not level L");
  return bits >> 10 & 7;
}

// Table 10.
bool is_masked(unsigned mask, size_t y, size_t x) {
  switch (mask) {
    case 0:
      return (y + x) % 2 == 0;
    case 1:
      return y % 2 == 0;
    case 2:
      return x % 3 == 0;
    case 3:
      return (y + x) % 3 == 0;
    case 4:
      return (y / 2 + x / 3) % 2 == 0;
    case 5:
      return y * x % 2 + y * x % 3 == 0;
    case 6:
      return (y * x % 2 + y * x % 3) % 2 == 0;
    default:
      return ((y + x) % 2 + y * x % 3) % 2 == 0;
  }
}

bool is_data(size_t size, size_t y, size_t x) {
  const bool corner = (y < 9 && (x < 9 || x + 8 >= size)) || (y + 8 >= size && x < 9);
  const auto near_alignment = [&](size_t at) { return at + 9 >= size && at + 5 <= size; };
  const bool alignment = size > 21 && near_alignment(y) && near_alignment(x);
  return !corner && y != 6 && x != 6 && !alignment;
}

// §7.7.3: two columns at a time, from the right, up and down in turn.
std::vector<bool> data_bits(const Squares& code, unsigned mask) {
  const size_t size = code.size();
  std::vector<bool> bits;
  bool up = true;
  for (size_t right = size - 1; right >= 1 && right < size; right -= 2, up = !up) {
    if (right == 6) right = 5;
    for (size_t step = 0; step < size; ++step) {
      const size_t y = up ? size - 1 - step : step;
      for (const size_t x : {right, right - 1}) {
        if (is_data(size, y, x)) bits.push_back(code[y][x] != is_masked(mask, y, x));
      }
    }
  }
  return bits;
}

}  // namespace

Squares squares_of_half_blocks(std::string_view screen) {
  Squares squares;
  for (const std::string& line : lines_without_colours(screen)) {
    auto [upper, lower] = rows_of(line);
    if (upper.empty()) continue;
    squares.push_back(std::move(upper));
    squares.push_back(std::move(lower));
  }
  // Below an odd number of rows there is nothing, which looks dark.
  if (!squares.empty()) squares.pop_back();
  return squares;
}

Squares squares_of_ascii(std::string_view screen) {
  Squares squares;
  for (const std::string& line : lines_without_colours(screen)) {
    if (line.empty() || line.find_first_not_of(" #") != std::string::npos) continue;
    std::vector<bool> row;
    for (size_t i = 0; i + 1 < line.size(); i += 2) row.push_back(line[i] == ' ');
    squares.push_back(std::move(row));
  }
  return squares;
}

std::string read_qr_code(const Squares& squares) {
  const Squares code = without_border(squares);
  const size_t size = code.size(), version = (size - 17) / 4;
  expect(size >= 21 && (size - 17) % 4 == 0 && version <= kDataBytes.size(), "its size");
  check_finder(code, 0, 0);
  check_finder(code, 0, size - kFinder);
  check_finder(code, size - kFinder, 0);
  const std::vector<bool> bits = data_bits(code, mask_of(code));
  size_t at = 0;
  const auto take = [&](size_t count) {
    unsigned value = 0;
    for (; count > 0; --count) value = value << 1 | (bits.at(at++) ? 1U : 0U);
    return value;
  };
  expect(take(4) == 4, "not bytes");
  std::string text(take(8), '\0');
  expect(text.size() + 2 <= kDataBytes[version - 1], "its length");
  for (char& c : text) c = static_cast<char>(take(8));
  return text;
}

}  // namespace latchkey::test
