// SPDX-License-Identifier: MIT
#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <cstddef>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

import latchkey.core;
import latchkey.store.vault;
import latchkey.store.vault.file_vault;
import latchkey.store.vault.master_key;
import latchkey.store.vault.key_names;
import latchkey.test.support;

// Power cuts and failing disks at every step of creating a vault and of changing it.

using namespace latchkey;
using test::outcome;

namespace {

SecretBytes key(std::string_view text) {
  return SecretBytes(as_bytes(text));
}

Result<std::shared_ptr<FileKeyVault>> open_below(const std::filesystem::path& root,
                                                 std::shared_ptr<FileSystem> files = nullptr) {
  return FileKeyVault::open(root / "vault", MasterKey::key_file(root / "config" / "vault.key"),
                            {.files = std::move(files)});
}

std::string text_of(KeyVault& vault, std::string_view id) {
  auto found = vault.get(id);
  if (!found) return outcome(found);
  return *found ? std::string(as_text((*found)->expose())) : "absent";
}

std::size_t index_of(const std::vector<std::string>& log, std::string_view beginning,
                     std::string_view end) {
  const auto found = std::find_if(log.begin(), log.end(), [&](const std::string& line) {
    return line.starts_with(beginning) && line.ends_with(end);
  });
  return static_cast<std::size_t>(found - log.begin());
}

}  // namespace

TEST_CASE("file vault: a power cut at any moment leaves the old or the new, and no key is lost",
          "[vault_durability]") {
  const test::TemporaryFolder root;
  const auto files = std::make_shared<test::RecordingFileSystem>(posix_file_system(), root.path());
  const auto vault = open_below(root.path(), files).value();
  const auto box = vault->sealer()->seal(as_bytes("session"), "").value();
  const auto created = files->changes();
  REQUIRE(vault->put("one", key("first")));
  const auto put_one = files->changes();
  REQUIRE(vault->put("two", key("second")));
  const auto put_two = files->changes();
  REQUIRE(vault->remove("one"));
  const auto removed_one = files->changes();

  const auto states = files->crash_states();
  REQUIRE(states.size() > removed_one);
  for (const auto& state : states) {
    INFO("after " << state.changes << " changes, " << state.description);
    const auto disk = state.materialise();
    const auto reopened = open_below(disk.path());
    REQUIRE(outcome(reopened) == "ok");
    const auto one = text_of(**reopened, "one"), two = text_of(**reopened, "two");
    if (state.changes >= created) CHECK(outcome((*reopened)->sealer()->open(box, "")) == "ok");
    if (state.changes >= put_one && state.changes <= put_two) CHECK(one == "first");
    CHECK((one == "first" ||
           (one == "absent" && (state.changes < put_one || state.changes > put_two))));
    if (state.changes >= removed_one) CHECK(one == "absent");
    CHECK((two == "second" || (two == "absent" && state.changes < put_two)));
    CHECK(outcome((*reopened)->put("three", key("third"))) == "ok");
    CHECK(outcome((*reopened)->list()) == "ok");
  }
}

TEST_CASE("file vault: the key file is durable before the header is in place",
          "[vault_durability]") {
  const test::TemporaryFolder root;
  const auto files = std::make_shared<test::RecordingFileSystem>(posix_file_system(), root.path());
  REQUIRE(open_below(root.path(), files));
  const auto log = files->log();
  const auto key_renamed = index_of(log, "rename", "config/vault.key");
  const auto header_renamed = index_of(log, "rename", "vault/vault.header");
  REQUIRE(header_renamed < log.size());
  REQUIRE(key_renamed < header_renamed);
  const auto between = std::vector(log.begin() + static_cast<std::ptrdiff_t>(key_renamed),
                                   log.begin() + static_cast<std::ptrdiff_t>(header_renamed));
  CHECK(index_of(between, "sync", "config") < between.size());
}

TEST_CASE("file vault: a put that says ok is durable, also when it finds the key there",
          "[vault_durability]") {
  const test::TemporaryFolder root;
  const auto faulty = std::make_shared<test::FaultyFileSystem>(posix_file_system());
  const auto files = std::make_shared<test::RecordingFileSystem>(faulty, root.path());
  const auto vault = open_below(root.path(), files).value();
  faulty->fail_every(test::FileOperation::sync_folder, test::no_space());
  CHECK(outcome(vault->put("one", key("first"))) == "io io.folder_not_synced");
  faulty->heal();
  CHECK(outcome(vault->put("one", key("first"))) == "ok");
  const auto done = files->changes();
  for (const auto& state : files->crash_states()) {
    if (state.changes < done) continue;
    const auto disk = state.materialise();
    CHECK(text_of(*open_below(disk.path()).value(), "one") == "first");
  }
}

TEST_CASE("file vault: whichever step of creation fails, trying again gives a whole vault",
          "[vault_durability]") {
  for (std::size_t step = 1;; ++step) {
    INFO("step " << step);
    const test::TemporaryFolder root;
    const auto files = std::make_shared<test::FaultyFileSystem>(posix_file_system());
    files->fail_nth(step, test::no_space());
    const auto first = open_below(root.path(), files);
    if (first && files->changes() < step) break;  // it has fewer steps: all were tried
    CHECK_FALSE(first);
    files->heal();
    const auto second = open_below(root.path(), files);
    REQUIRE(outcome(second) == "ok");
    CHECK(outcome((*second)->put("one", key("first"))) == "ok");
    CHECK(text_of(*open_below(root.path()).value(), "one") == "first");
  }
}

TEST_CASE("file vault: a full disk fails a put, keeps what was there, and leaves no debris",
          "[vault_durability]") {
  for (std::size_t step = 1;; ++step) {
    INFO("step " << step);
    const test::TemporaryFolder root;
    const auto files = std::make_shared<test::FaultyFileSystem>(posix_file_system());
    const auto vault = open_below(root.path(), files).value();
    REQUIRE(vault->put("one", key("first")));
    const auto before = files->changes();
    files->fail_nth(step, test::no_space());
    const auto put = vault->put("two", key("second"));
    if (put && files->changes() - before < step) break;
    CHECK_FALSE(put);
    CHECK(text_of(*vault, "one") == "first");
    const auto two = text_of(*vault, "two");
    CHECK((two == "absent" || (two == "second" && put.error().detail == "io.folder_not_synced")));
    files->heal();
    CHECK(outcome(vault->put("two", key("second"))) == "ok");
    CHECK(text_of(*vault, "two") == "second");
    for (const auto& name : test::names_in(root.path() / "vault")) {
      CHECK_FALSE(name.starts_with(kTemporaryPrefix));
    }
  }
}

TEST_CASE("file vault: a read error is neither absent nor an invitation to overwrite",
          "[vault_durability]") {
  const test::TemporaryFolder root;
  const auto files = std::make_shared<test::FaultyFileSystem>(posix_file_system());
  const auto vault = open_below(root.path(), files).value();
  REQUIRE(vault->put("one", key("first")));
  files->fail_every(test::FileOperation::read,
                    make_error(ErrorCode::io, "io.failed", "cannot read: input/output error"));
  CHECK(text_of(*vault, "one") == "io io.failed");
  CHECK(outcome(vault->put("one", key("other"))) == "io io.failed");
  CHECK(outcome(open_below(root.path(), files)) == "io io.failed");
  files->heal();
  CHECK(text_of(*vault, "one") == "first");
}
