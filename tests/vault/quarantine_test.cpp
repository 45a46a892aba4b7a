// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <cstddef>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

import latchkey.core;
import latchkey.store.quarantine;
import latchkey.store.vault;
import latchkey.store.vault.file_vault;
import latchkey.store.vault.master_key;
import latchkey.store.vault.key_names;
import latchkey.test.key_ids;
import latchkey.test.support;

// Corrupt key files moved aside, and the folder that they and unreadable records go to.

using namespace latchkey;
using namespace latchkey::test;
namespace fs = std::filesystem;

namespace {

const TimePoint kNow{std::chrono::milliseconds(1'790'000'000'000)};

struct Folder {
  TemporaryFolder root{};
  fs::path at = root.path() / "quarantine";
  std::shared_ptr<FaultyFileSystem> disk = std::make_shared<FaultyFileSystem>(posix_file_system());
  std::shared_ptr<ManualClock> clock = std::make_shared<ManualClock>(kNow);
  QuarantineFolder folder{disk, clock, at};
  fs::path file = root.path() / "alice.json";
  Folder() { write_text(file, "half a rec"); }
};

struct Vault {
  TemporaryFolder root{};
  fs::path at = root.path() / "vault";
  std::shared_ptr<FileKeyVault> vault =
      FileKeyVault::open(at, MasterKey::key_file(root.path() / "vault.key")).value();
  fs::path one = at / key_file_name("one");
  Vault() {
    vault->put("one", SecretBytes(as_bytes("first key"))).value();
    vault->put("two", SecretBytes(as_bytes("other key"))).value();
  }
};

}  // namespace

TEST_CASE("quarantine folder: a file is moved as it is, and listed with when and why",
          "[quarantine]") {
  Folder f;
  CHECK(f.folder.list().value().empty());
  CHECK(!fs::exists(f.at));
  const auto entry = f.folder.take(f.file, "record.truncated").value();
  CHECK(entry == Quarantined{.name = "alice.json",
                             .at = kNow,
                             .why = "record.truncated",
                             .where = f.at / "1790000000000-record.truncated-alice.json"});
  CHECK(!fs::exists(f.file));
  CHECK(read_text(entry.where) == "half a rec");
  CHECK(mode_of(entry.where) == 0600);
  CHECK(mode_of(f.at) == 0700);
  CHECK(f.folder.list().value() == std::vector{entry});
}

TEST_CASE("quarantine folder: nothing that lies there is replaced", "[quarantine]") {
  Folder f;
  const auto first = f.folder.take(f.file, "record.empty").value();
  write_text(f.file, "another");
  const auto second = f.folder.take(f.file, "record.empty").value();
  CHECK(first.where != second.where);
  CHECK(read_text(first.where) == "half a rec");
  CHECK(read_text(second.where) == "another");
}

TEST_CASE("quarantine folder: names with hyphens come back, long ones are cut", "[quarantine]") {
  Folder f;
  const auto longest = f.root.path() / std::string(255, 'x');
  const auto hyphens = f.root.path() / "did-plc-a-0123.json";
  write_text(longest, "a");
  write_text(hyphens, "b");
  REQUIRE(f.folder.take(longest, "file.foreign"));
  REQUIRE(f.folder.take(hyphens, "record.malformed"));
  const auto entries = f.folder.list().value();
  REQUIRE(entries.size() == 2);
  CHECK(entries[0].name == "did-plc-a-0123.json");
  CHECK(entries[1].name == std::string(150, 'x'));
}

TEST_CASE("quarantine folder: foreign files in it are left out", "[quarantine]") {
  Folder f;
  REQUIRE(f.folder.take(f.file, "record.empty"));
  for (const char* name : {"notes", "x-y-z", "-1-a-b", "12", "12-why", ".latchkey-tmp-1"})
    write_text(f.at / name, "mine");
  CHECK(f.folder.list().value().size() == 1);
}

TEST_CASE("quarantine folder: a file that is not there any more is an error", "[quarantine]") {
  Folder f;
  fs::remove(f.file);
  CHECK(outcome(f.folder.take(f.file, "record.empty")) == "io io.failed");
}

TEST_CASE("quarantine folder: one that others can look into, or a link, is refused",
          "[quarantine]") {
  Folder f;
  fs::create_directory(f.at);
  fs::permissions(f.at, fs::perms(0755));
  CHECK(outcome(f.folder.take(f.file, "why")) == "insecure_location location.permissions");
  fs::remove(f.at);
  fs::create_directory_symlink(f.root.path(), f.at);
  CHECK(outcome(f.folder.take(f.file, "why")) == "insecure_location location.symlink");
  CHECK(read_text(f.file) == "half a rec");
}

TEST_CASE("quarantine folder: whichever step fails, the bytes are in one place at least",
          "[quarantine]") {
  for (std::size_t step = 1;; ++step) {
    INFO("step " << step);
    Folder f;
    f.disk->fail_from(step, no_space());
    const auto moved = f.folder.take(f.file, "record.empty");
    const bool reached = f.disk->changes() >= step;
    CHECK(moved.has_value() == !reached);
    f.disk->heal();
    const auto there = f.folder.list().value();
    CHECK((read_text(f.file) == "half a rec" ||
           (there.size() == 1 && read_text(there[0].where) == "half a rec")));
    if (!reached) break;
    REQUIRE(step < 20);
  }
}

TEST_CASE("quarantine folder: a power cut at any moment keeps the bytes", "[quarantine]") {
  const TemporaryFolder root;
  write_text(root.path() / "alice.json", "half a rec");
  const auto disk = std::make_shared<RecordingFileSystem>(posix_file_system(), root.path());
  const QuarantineFolder folder(disk, std::make_shared<ManualClock>(kNow),
                                root.path() / "quarantine");
  REQUIRE(folder.take(root.path() / "alice.json", "record.empty"));
  for (const auto& state : disk->crash_states()) {
    INFO(state.description);
    const auto left = state.materialise();
    const auto aside = QuarantineFolder(posix_file_system(), std::make_shared<SystemClock>(),
                                        left.path() / "quarantine")
                           .list()
                           .value();
    const bool moved = aside.size() == 1 && read_text(aside[0].where) == "half a rec";
    CHECK((moved || read_text(left.path() / "alice.json") == "half a rec"));
    if (state.changes == disk->changes()) CHECK(moved);
  }
}

TEST_CASE("file vault: a corrupt key is moved aside, and a new one can be put", "[quarantine]") {
  Vault v;
  write_text(v.one, "garbage");
  const auto entry = v.vault->quarantine("one").value();
  CHECK(entry.name == key_file_name("one"));
  CHECK(entry.why == "vault.key_altered");
  CHECK(read_text(entry.where) == "garbage");
  CHECK(key_ids(*v.vault) == std::vector<std::string>{"two"});
  CHECK(v.vault->quarantined().value() == std::vector{entry});
  CHECK(outcome(v.vault->put("one", SecretBytes(as_bytes("a new key")))) == "ok");
  CHECK(outcome(FileKeyVault::open(v.at, MasterKey::key_file(v.root.path() / "vault.key"))) ==
        "ok");
}

TEST_CASE("file vault: a good key, none, and one that may be good stay", "[quarantine]") {
  Vault v;
  CHECK(outcome(v.vault->quarantine("one")) == "conflict vault.readable");
  CHECK(outcome(v.vault->quarantine("three")) == "invalid_argument vault.no_such_key");
  CHECK(outcome(v.vault->quarantine("../one")) == "invalid_argument vault.id");
  auto newer = read_text(v.one).value();
  newer[13] = 2;
  write_text(v.one, newer);
  CHECK(outcome(v.vault->quarantine("one")) == "schema_too_new vault.key_version");
  fs::permissions(v.one, fs::perms(0644));
  CHECK(outcome(v.vault->quarantine("one")) == "insecure_location location.permissions");
  CHECK(v.vault->quarantined().value().empty());
  CHECK(read_text(v.one) == newer);
}
