// SPDX-License-Identifier: MIT
#include <sys/stat.h>
#include <catch2/catch_test_macros.hpp>
#include <filesystem>
#include <string>
#include <string_view>

import latchkey.core.error;
import latchkey.core.os.append_file;
import latchkey.test.folder;

using namespace latchkey;
using namespace latchkey::test;

namespace {

struct Log {
  TemporaryFolder folder{};
  std::string path = folder.path() / "log";

  void holds(const std::string& text) const { write_text(path, text); }
  void append(std::string_view text) const {
    auto file = AppendFile::open(path).value();
    CHECK(file->append(text));
  }
  [[nodiscard]] std::string text() const { return read_text(path).value_or("unreadable"); }
};

}  // namespace

TEST_CASE("AppendFile: goes on where the file ends", "[os]") {
  const Log log;
  log.append("one\n");
  log.append("two\n");
  CHECK(log.text() == "one\ntwo\n");
}

TEST_CASE("AppendFile: a line that was torn does not swallow the next one", "[os]") {
  const Log log;
  log.holds("one\ntw");
  log.append("three\n");
  CHECK(log.text() == "one\ntw\nthree\n");
}

TEST_CASE("AppendFile: a file whose lines are whole is opened as it is", "[os]") {
  const Log log;
  for (const std::string text : {"", "\n", "one\n"}) {
    log.holds(text);
    CHECK(AppendFile::open(log.path));
    CHECK(log.text() == text);
  }
}

TEST_CASE("AppendFile: what it refuses stays as it is", "[os]") {
  const Log log;
  log.holds("torn");
  REQUIRE(chmod(log.path.c_str(), 0640) == 0);
  const auto refused = AppendFile::open(log.path);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().detail == "location.permissions");
  CHECK(log.text() == "torn");
}
