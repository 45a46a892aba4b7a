// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

import latchkey.cli.options;
import latchkey.cli.terminal;
import latchkey.cli.terminal.qr_code;
import latchkey.cli.terminal.status_line;
import latchkey.test.qr_reader;

// What is drawn on a terminal, and what is not drawn elsewhere.

using namespace latchkey::cli;
using namespace latchkey::test;
using namespace std::chrono_literals;

namespace {

Variables variables(std::map<std::string, std::string> values) {
  return [values = std::move(values)](const std::string& name) -> std::optional<std::string> {
    const auto found = values.find(name);
    if (found == values.end()) return std::nullopt;
    return found->second;
  };
}

Terminal wide(bool utf8, bool colours) {
  return {.moves_cursor = true, .colours = colours, .utf8 = utf8, .columns = 120, .rows = 60};
}

std::string joined(const std::vector<std::string>& lines) {
  std::string text;
  for (const std::string& line : lines) text += line + "\n";
  return text;
}

// What a wait of so many seconds, told of every second, writes.
std::string counted(const Terminal& terminal, std::vector<int> seconds) {
  std::string text;
  {
    StatusLine line("[", " left]", terminal, [&](std::string_view part) { text += part; });
    for (const int left : seconds) line.show(std::chrono::seconds{left});
  }
  return text;
}

}  // namespace

TEST_CASE("terminal_of: draws only where the environment says that it can", "[cli]") {
  const auto of = [](std::map<std::string, std::string> values) {
    return terminal_of(80, 24, variables(std::move(values)));
  };
  CHECK(of({{"TERM", "xterm"}}).moves_cursor);
  CHECK(of({{"TERM", "xterm"}}).colours);
  CHECK(of({{"TERM", "xterm"}, {"NO_COLOR", "1"}}).moves_cursor);
  CHECK_FALSE(of({{"TERM", "xterm"}, {"NO_COLOR", "1"}}).colours);
  CHECK_FALSE(of({{"TERM", "dumb"}}).moves_cursor);
  CHECK_FALSE(of({{"TERM", "dumb"}}).colours);
  CHECK_FALSE(of({}).moves_cursor);
  CHECK(of({{"LANG", "de_DE.UTF-8"}}).utf8);
  CHECK(of({{"LANG", "C.utf8"}}).utf8);
  CHECK(of({{"LC_CTYPE", "C.UTF-8"}, {"LANG", "C"}}).utf8);
  CHECK_FALSE(of({{"LC_ALL", "C"}, {"LANG", "C.UTF-8"}}).utf8);
  CHECK_FALSE(of({{"LANG", "de_DE.ISO-8859-1"}}).utf8);
  CHECK_FALSE(of({}).utf8);
  const Terminal pipe = terminal_of(0, 0, variables({{"TERM", "xterm"}, {"LANG", "C.UTF-8"}}));
  CHECK_FALSE(pipe.moves_cursor);
  CHECK_FALSE(pipe.colours);
}

TEST_CASE("qr_lines: a reader that is not ours finds the text in it", "[cli]") {
  for (const std::string& text :
       {std::string("x"), std::string("https://id.example.com/device?user_code=WDJB-MJHT"),
        std::string(106, 'a')}) {
    CAPTURE(text);
    const QrCode code = make_qr_code(text).value();
    CHECK(read_qr_code(squares_of_half_blocks(joined(qr_lines(code, wide(true, false))))) == text);
    CHECK(read_qr_code(squares_of_half_blocks(joined(qr_lines(code, wide(true, true))))) == text);
    CHECK(read_qr_code(squares_of_ascii(joined(qr_lines(code, wide(false, false))))) == text);
  }
}

TEST_CASE("qr_lines: a code that has one square wrong is another text, or none", "[cli]") {
  // So the reader above reads, and does not guess.
  QrCode code = make_qr_code("https://id.example.com/device").value();
  const auto at = (code.width - 1) * code.width + code.width - 3;
  code.dark[at] = !code.dark[at];
  std::string text = "none";
  try {
    text = read_qr_code(squares_of_half_blocks(joined(qr_lines(code, wide(true, false)))));
  } catch (const std::runtime_error&) {
  }
  CHECK(text != "https://id.example.com/device");
}

TEST_CASE("qr_lines: nothing is drawn that would not fit", "[cli]") {
  const QrCode code = make_qr_code("https://id.example.com/device").value();
  const auto height = [&](unsigned columns, unsigned rows, bool utf8) {
    return qr_lines(code, {.utf8 = utf8, .columns = columns, .rows = rows}).size();
  };
  CHECK(code.width == 25);
  CHECK(height(33, 17, true) == 17);
  CHECK(height(32, 17, true) == 0);
  CHECK(height(33, 16, true) == 0);
  CHECK(height(66, 33, false) == 33);
  CHECK(height(65, 33, false) == 0);
  CHECK(height(66, 32, false) == 0);
  CHECK(height(0, 0, true) == 0);
}

TEST_CASE("qr_lines: no escape sequence without colours", "[cli]") {
  const QrCode code = make_qr_code("https://id.example.com/device").value();
  CHECK(joined(qr_lines(code, wide(true, false))).find('\x1b') == std::string::npos);
  for (const std::string& line : qr_lines(code, wide(true, true))) CHECK(line.ends_with("\x1b[0m"));
}

TEST_CASE("make_qr_code: what fits no code has none", "[cli]") {
  CHECK_FALSE(make_qr_code("").has_value());
  CHECK_FALSE(make_qr_code(std::string(3000, 'x')).has_value());
}

TEST_CASE("time_left: minutes and seconds", "[cli]") {
  CHECK(time_left(600s) == "10 min 0 s");
  CHECK(time_left(61s) == "1 min 1 s");
  CHECK(time_left(60s) == "1 min 0 s");
  CHECK(time_left(59s) == "59 s");
  CHECK(time_left(0s) == "0 s");
  CHECK(time_left(-1s) == "0 s");
}

TEST_CASE("StatusLine: on a terminal, one line that is drawn anew and wiped", "[cli]") {
  CHECK(counted(wide(true, true), {2, 1, 1, 0}) ==
        "\r\x1b[K[2 s left]\r\x1b[K[1 s left]\r\x1b[K[0 s left]\r\x1b[K");
}

TEST_CASE("StatusLine: on a narrow terminal the line is cut, so that it can be wiped", "[cli]") {
  Terminal narrow = wide(true, true);
  narrow.columns = 6;
  CHECK(counted(narrow, {1, 0}) == "\r\x1b[K[1 s \r\x1b[K[0 s \r\x1b[K");
}

TEST_CASE("StatusLine: elsewhere, a plain line a minute", "[cli]") {
  CHECK(counted({}, {120, 119, 61, 60, 59, 0}) ==
        "[2 min 0 s left]\n[1 min 0 s left]\n[0 s left]\n");
}

TEST_CASE("StatusLine: without a time to show there is nothing to wipe", "[cli]") {
  CHECK(counted(wide(true, true), {}).empty());
  CHECK(counted({}, {}).empty());
}

TEST_CASE("StatusLine: what must stay is a line of its own", "[cli]") {
  for (const bool moves : {true, false}) {
    std::string text;
    {
      StatusLine line("[", "]", moves ? wide(true, true) : Terminal{},
                      [&](std::string_view part) { text += part; });
      line.show(5s);
      line.say("trouble");
    }
    CHECK(text ==
          (moves ? "\r\x1b[K[5 s]\r\x1b[Ktrouble\n\r\x1b[K[5 s]\r\x1b[K" : "[5 s]\ntrouble\n"));
  }
}
