// SPDX-License-Identifier: MIT
#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <cstddef>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

import latchkey.core;
import latchkey.test.support;

using namespace latchkey;
using namespace latchkey::test;

namespace {

const std::string kOld = "the old contents";
const std::string kNew = "the new contents, which are longer";

std::size_t temporaries_in(const TemporaryFolder& folder) {
  const auto names = names_in(folder.path());
  return static_cast<std::size_t>(
      std::count_if(names.begin(), names.end(),
                    [](const std::string& name) { return name.starts_with(kTemporaryPrefix); }));
}

}  // namespace

TEST_CASE("staged file: is not in place before commit, and whole after it", "[files]") {
  const TemporaryFolder folder;
  const auto target = folder.path() / "a";
  write_text(target, kOld);
  auto staged = stage_file(posix_file_system(), target, 1000).value();
  CHECK(read_text(target) == kOld);
  CHECK(temporaries_in(folder) == 1);
  CHECK(outcome(staged->commit(as_bytes(kNew), target)) == "ok");
  CHECK(read_text(target) == kNew);
  CHECK(mode_of(target) == 0600);
  staged.reset();
  CHECK(names_in(folder.path()) == std::vector<std::string>{"a"});
}

TEST_CASE("staged file: dropping it leaves nothing", "[files]") {
  const TemporaryFolder folder;
  {
    const auto staged = stage_file(posix_file_system(), folder.path() / "a", 1000).value();
  }
  CHECK(names_in(folder.path()).empty());
}

TEST_CASE("staged file: two for one target do not meet", "[files]") {
  const TemporaryFolder folder;
  const auto target = folder.path() / "a";
  auto first = stage_file(posix_file_system(), target, 10).value();
  auto second = stage_file(posix_file_system(), target, 10).value();
  CHECK(outcome(second->commit(as_bytes("second"), target)) == "ok");
  CHECK(outcome(first->commit(as_bytes("first"), target)) == "ok");
  CHECK(read_text(target) == "first");
}

TEST_CASE("staged file: a second commit is refused and changes nothing", "[files]") {
  const TemporaryFolder folder;
  const auto target = folder.path() / "a";
  auto staged = stage_file(posix_file_system(), target, 10).value();
  REQUIRE(outcome(staged->commit(as_bytes("once"), target)) == "ok");
  CHECK(outcome(staged->commit(as_bytes("twice"), target)) ==
        "invalid_argument file.already_committed");
  CHECK(read_text(target) == "once");
}

TEST_CASE("staged file: finds a full disk when it is staged, not when it is committed", "[files]") {
  const TemporaryFolder folder;
  const auto files = std::make_shared<FaultyFileSystem>(posix_file_system());
  files->fail_every(FileOperation::allocate, no_space());
  CHECK(outcome(stage_file(files, folder.path() / "a", 1000)) == "io io.no_space");
  CHECK(names_in(folder.path()).empty());
}

TEST_CASE("replace_file: makes a new file and replaces an old one", "[files]") {
  const TemporaryFolder folder;
  const auto target = folder.path() / "a";
  for (const std::string_view contents : {"", "one", "a longer one", "short"}) {
    REQUIRE(outcome(replace_file(posix_file_system(), target, as_bytes(contents))) == "ok");
    CHECK(read_text(target) == contents);
    CHECK(mode_of(target) == 0600);
  }
  CHECK(names_in(folder.path()) == std::vector<std::string>{"a"});
}

TEST_CASE("replace_file: does not write through a link in the target's place", "[files]") {
  const TemporaryFolder folder;
  write_text(folder.path() / "elsewhere", kOld);
  std::filesystem::create_symlink(folder.path() / "elsewhere", folder.path() / "a");
  REQUIRE(outcome(replace_file(posix_file_system(), folder.path() / "a", as_bytes(kNew))) == "ok");
  CHECK(read_text(folder.path() / "elsewhere") == kOld);
  CHECK(read_text(folder.path() / "a") == kNew);
  CHECK_FALSE(std::filesystem::is_symlink(folder.path() / "a"));
}

TEST_CASE(
    "replace_file: a failure at any step is reported, keeps the old contents and leaves no rubbish",
    "[files]") {
  struct Row {
    FileOperation operation;
    std::string_view outcome, contents;
  };
  for (const auto& row : {
           Row{FileOperation::create, "io io.no_space", kOld},
           Row{FileOperation::allocate, "io io.no_space", kOld},
           Row{FileOperation::write, "io io.no_space", kOld},
           Row{FileOperation::sync_file, "io io.no_space", kOld},
           Row{FileOperation::rename, "io io.no_space", kOld},
           Row{FileOperation::sync_folder, "io io.folder_not_synced", kNew},
       }) {
    INFO("operation " << static_cast<int>(row.operation));
    const TemporaryFolder folder;
    const auto target = folder.path() / "a";
    write_text(target, kOld);
    const auto files = std::make_shared<FaultyFileSystem>(posix_file_system());
    files->fail_every(row.operation, no_space());
    CHECK(outcome(replace_file(files, target, as_bytes(kNew))) == row.outcome);
    CHECK(read_text(target) == row.contents);
    CHECK(names_in(folder.path()) == std::vector<std::string>{"a"});
  }
}

TEST_CASE("replace_file: takes exactly these steps in this order", "[files]") {
  const TemporaryFolder folder;
  const auto files = std::make_shared<RecordingFileSystem>(posix_file_system(), folder.path());
  REQUIRE(outcome(replace_file(files, folder.path() / "a", as_bytes("12345"))) == "ok");
  auto log = files->log();
  REQUIRE(log.size() == 6);
  const auto temporary = log[0].substr(std::string_view("create ").size());
  CHECK(temporary.starts_with(kTemporaryPrefix));
  CHECK(log == std::vector<std::string>{"create " + temporary, "allocate " + temporary + " 5",
                                        "write " + temporary + " 5", "sync " + temporary,
                                        "rename " + temporary + " -> a", "sync folder "});
}

TEST_CASE("replace_file: after a power cut at any moment the file is the old or the new one",
          "[files]") {
  const TemporaryFolder folder;
  const auto target = folder.path() / "a";
  write_text(target, kOld);
  const auto files = std::make_shared<RecordingFileSystem>(posix_file_system(), folder.path());
  REQUIRE(outcome(replace_file(files, target, as_bytes(kNew))) == "ok");
  std::size_t old_seen = 0, new_seen = 0;
  for (const auto& state : files->crash_states()) {
    INFO(state.changes << ", " << state.description);
    const auto disk = state.materialise();
    const auto found = read_text(disk.path() / "a");
    REQUIRE(found.has_value());
    CHECK((*found == kOld || *found == kNew));
    if (state.changes == files->changes()) CHECK(*found == kNew);
    *found == kOld ? ++old_seen : ++new_seen;
    for (const auto& name : names_in(disk.path()))
      CHECK((name == "a" || name.starts_with(kTemporaryPrefix)));
  }
  CHECK(old_seen > 0);
  CHECK(new_seen > 0);
}
