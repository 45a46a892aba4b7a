// SPDX-License-Identifier: MIT
#include <algorithm>
#include <array>
#include <catch2/catch_test_macros.hpp>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

import latchkey.core;
import latchkey.test.support;

// The tests' own instruments must find what they are made to find.

using namespace latchkey;
using namespace latchkey::test;

namespace {

struct Disk {
  TemporaryFolder folder;
  std::shared_ptr<RecordingFileSystem> files;

  explicit Disk(std::optional<std::string_view> old = std::nullopt) {
    if (old) write_text(folder.path() / "a", *old);
    files = std::make_shared<RecordingFileSystem>(posix_file_system(), folder.path());
  }
  [[nodiscard]] std::filesystem::path at(std::string_view name) const {
    return folder.path() / name;
  }
  std::unique_ptr<WritableFile> create(std::string_view name) const {
    return files->create(at(name)).value();
  }

  // What the file may hold after a power cut at the end; no contents: it may be absent.
  [[nodiscard]] std::vector<std::optional<std::string>> outcomes(const std::string& name) const {
    std::vector<std::optional<std::string>> found;
    for (const auto& state : files->crash_states()) {
      if (state.changes != files->changes()) continue;
      const auto entry = state.tree.find(name);
      found.push_back(entry == state.tree.end() ? std::nullopt : entry->second);
    }
    return found;
  }
  [[nodiscard]] bool may_be(const std::string& name,
                            const std::optional<std::string>& contents) const {
    const auto found = outcomes(name);
    return std::find(found.begin(), found.end(), contents) != found.end();
  }
};

}  // namespace

TEST_CASE("simulated disk: unsynced data may be lost, cut, zeros or there", "[support]") {
  const Disk disk;
  const auto file = disk.create("a");
  REQUIRE(outcome(file->write(as_bytes("1234"))) == "ok");
  for (const std::optional<std::string>& contents :
       {std::optional<std::string>(), {""}, {"12"}, {std::string(4, '\0')}, {"1234"}}) {
    CHECK(disk.may_be("a", contents));
  }
  CHECK_FALSE(disk.may_be("a", "5678"));
}

TEST_CASE("simulated disk: synced data in an unsynced folder may have no name", "[support]") {
  const Disk disk;
  const auto file = disk.create("a");
  REQUIRE(outcome(file->write(as_bytes("1234"))) == "ok");
  REQUIRE(outcome(file->sync()) == "ok");
  CHECK(disk.may_be("a", std::nullopt));
  CHECK(disk.may_be("a", "1234"));
  CHECK_FALSE(disk.may_be("a", ""));
  REQUIRE(outcome(disk.files->sync_folder(disk.folder.path())) == "ok");
  CHECK_FALSE(disk.may_be("a", std::nullopt));
  CHECK(disk.outcomes("a") == std::vector<std::optional<std::string>>{"1234"});
}

TEST_CASE("simulated disk: allocated room may be left as zeros", "[support]") {
  const Disk disk;
  const auto file = disk.create("a");
  REQUIRE(outcome(file->allocate(3)) == "ok");
  CHECK(disk.may_be("a", std::string(3, '\0')));
  CHECK(disk.may_be("a", ""));
}

TEST_CASE("simulated disk: catches a replacement without fsync of the file", "[support]") {
  const Disk disk("old");
  REQUIRE(outcome(disk.create("tmp")->write(as_bytes("new"))) == "ok");
  REQUIRE(outcome(disk.files->rename(disk.at("tmp"), disk.at("a"))) == "ok");
  REQUIRE(outcome(disk.files->sync_folder(disk.folder.path())) == "ok");
  CHECK(disk.may_be("a", ""));
}

TEST_CASE("simulated disk: catches a replacement without fsync of the folder", "[support]") {
  const Disk disk("old");
  {
    const auto file = disk.create("tmp");
    REQUIRE(outcome(file->write(as_bytes("new"))) == "ok");
    REQUIRE(outcome(file->sync()) == "ok");
  }
  REQUIRE(outcome(disk.files->rename(disk.at("tmp"), disk.at("a"))) == "ok");
  CHECK(disk.may_be("a", "old"));
  CHECK(disk.may_be("a", "new"));
}

TEST_CASE("simulated disk: catches an overwrite that removes first", "[support]") {
  const Disk disk("old");
  REQUIRE(outcome(disk.files->remove(disk.at("a"))) == "ok");
  REQUIRE(outcome(disk.files->sync_folder(disk.folder.path())) == "ok");
  const auto file = disk.create("a");
  CHECK(disk.may_be("a", std::nullopt));
  CHECK_FALSE(disk.may_be("a", "old"));
}

TEST_CASE("simulated disk: an unsynced removal may come undone", "[support]") {
  const Disk disk("old");
  REQUIRE(outcome(disk.files->remove(disk.at("a"))) == "ok");
  CHECK(disk.may_be("a", "old"));
  CHECK(disk.may_be("a", std::nullopt));
}

TEST_CASE("simulated disk: folders are made one by one, and made to stay", "[support]") {
  const Disk disk;
  REQUIRE(outcome(disk.files->make_folder(disk.at("x/y"))) == "ok");
  CHECK(disk.files->log() == std::vector<std::string>{"make folder x", "make folder x/y"});
  for (const auto& state : disk.files->crash_states()) {
    CHECK(state.tree.size() == state.changes);
    const auto copy = state.materialise();
    CHECK(std::filesystem::is_directory(copy.path() / "x/y") == (state.changes == 2));
  }
}

TEST_CASE("simulated disk: what fails or lies elsewhere is not recorded", "[support]") {
  const Disk disk("old");
  const TemporaryFolder elsewhere;
  CHECK_FALSE(disk.files->create(disk.at("a")).has_value());
  CHECK_FALSE(disk.files->rename(disk.at("none"), disk.at("a")).has_value());
  REQUIRE(outcome(replace_file(disk.files, elsewhere.path() / "b", as_bytes("x"))) == "ok");
  CHECK(disk.files->changes() == 0);
}

TEST_CASE("faulty file system: fails the n-th change once, and counts", "[support]") {
  const TemporaryFolder folder;
  const auto files = std::make_shared<FaultyFileSystem>(posix_file_system());
  REQUIRE(outcome(replace_file(files, folder.path() / "a", as_bytes("x"))) == "ok");
  const auto steps = files->changes();
  CHECK(steps == 6);
  for (std::size_t n = 1; n <= steps; ++n) {
    files->fail_nth(n, read_only());
    CHECK_FALSE(replace_file(files, folder.path() / "a", as_bytes("y")).has_value());
    CHECK(outcome(replace_file(files, folder.path() / "a", as_bytes("x"))) == "ok");
  }
}

TEST_CASE("faulty file system: from the n-th on everything fails until it is healed", "[support]") {
  const TemporaryFolder folder;
  FaultyFileSystem files(posix_file_system());
  files.fail_from(2, no_space());
  CHECK(outcome(files.make_folder(folder.path() / "a")) == "ok");
  CHECK(outcome(files.make_folder(folder.path() / "b")) == "io io.no_space");
  CHECK(outcome(files.sync_folder(folder.path())) == "io io.no_space");
  CHECK(outcome(files.list(folder.path())) == "ok");
  files.heal();
  CHECK(outcome(files.make_folder(folder.path() / "b")) == "ok");
}

TEST_CASE("faulty file system: a write that fails has written half", "[support]") {
  const TemporaryFolder folder;
  FaultyFileSystem files(posix_file_system());
  const auto file = files.create(folder.path() / "a").value();
  files.fail_every(FileOperation::write, no_space());
  CHECK(outcome(file->write(as_bytes("1234"))) == "io io.no_space");
  CHECK(read_text(folder.path() / "a") == "12");
}

TEST_CASE("child process: talks over pipes and tells how it ended", "[support]") {
  ChildProcess cat({"/bin/cat"});
  cat.write_line("hello");
  CHECK(cat.read_line() == "hello");
  CHECK(cat.wait() == 0);
  CHECK(cat.read_line().empty());
  CHECK(ChildProcess({"/bin/false"}).wait() == 1);
  ChildProcess killed({"/bin/cat"});
  killed.kill();
  CHECK(killed.wait() == 128 + 9);
}
