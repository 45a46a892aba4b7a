// SPDX-License-Identifier: MIT
#include <sys/stat.h>
#include <catch2/catch_test_macros.hpp>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

import latchkey.core.error;
import latchkey.core.os.files;
import latchkey.core.os.locks;
import latchkey.core.secret;
import latchkey.session;
import latchkey.store;
import latchkey.store.file_names;
import latchkey.store.filesystem;
import latchkey.store.record;
import latchkey.store.vault;
import latchkey.test.disk;
import latchkey.test.faults;
import latchkey.test.folder;
import latchkey.test.outcome;
import latchkey.test.places;
import latchkey.test.rules;

using namespace latchkey;
using namespace latchkey::test;
namespace fs = std::filesystem;

namespace {

OAuthSession session_of(std::string_view subject, std::uint64_t revision) {
  return {
      record_of(subject, revision).summary, SecretString("access"), SecretString("refresh"), {}};
}

// A store with Alice's and Bob's session in it.
struct Filled : FilePlace {
  Filled() {
    store->save(session_of(kAlice, 1), kNone).value();
    store->save(session_of(kBob, 2), kNone).value();
  }
  Store store = test::open(*this);
  fs::path alice = session_file(kAlice);
  fs::path bob = session_file(kBob);
};

std::string edited(const fs::path& file, std::string_view from, std::string_view to) {
  auto text = read_text(file).value();
  const auto at = text.find(from);
  REQUIRE(at != std::string::npos);
  return text.replace(at, from.size(), to);
}

}  // namespace

TEST_CASE("file store: everything is 0600 in 0700, whatever the umask", "[store]") {
  const auto before = ::umask(0);
  {
    Filled place;
    const auto held = place.store->lease(kAlice, patiently(place)).value();
    REQUIRE(place.store->reserve_room(kAlice, 100));
    REQUIRE(place.store->save_claim(
        {.subject = std::string(kAlice), .revision = {1}, .id = 1, .host = {}}));
    place.store->save_nonce("https://a.example", "key", "nonce");
    int seen = 0;
    for (const auto& entry : fs::recursive_directory_iterator(place.folder())) {
      INFO(entry.path());
      CHECK(mode_of(entry.path()) == (entry.is_directory() ? 0700 : 0600));
      ++seen;
    }
    CHECK(seen == 11);  // 4 folders, marker, lock file, 2 sessions, room, claim, nonce
    CHECK(mode_of(place.folder()) == 0700);
  }
  ::umask(before);
}

TEST_CASE("file store: leaves no other files behind", "[store]") {
  Filled place;
  REQUIRE(put(*place.store, kAlice, 3, {1}));
  CHECK(names_in(place.folder() / "sessions").size() == 2);
  REQUIRE(place.store->remove(kAlice, {3}));
  CHECK(names_in(place.folder() / "sessions").size() == 1);
}

TEST_CASE("file store: a save is written, synced, put in place and made durable, in this order",
          "[store]") {
  Filled place;
  const auto from = place.recording().log().size();
  REQUIRE(put(*place.store, kAlice, 3, {1}));
  auto log = place.recording().log();
  log.erase(log.begin(), log.begin() + static_cast<std::ptrdiff_t>(from));
  std::vector<std::string> verbs;
  for (const auto& change : log) verbs.push_back(change.substr(0, change.find(' ')));
  INFO(log.at(0));
  REQUIRE(verbs.size() >= 5);
  CHECK(std::vector<std::string>(verbs.begin(), verbs.begin() + 5) ==
        std::vector<std::string>{"create", "write", "sync", "rename", "sync"});
}

TEST_CASE("file store: each kind of damage is an own error, and what is there stays", "[store]") {
  Filled place;
  const auto whole = read_text(place.alice).value();
  const auto damaged = [&](const std::string& text) {
    write_text(place.alice, text);
    auto seen = outcome(place.store->load(kAlice));
    CHECK(outcome(put(*place.store, kAlice, 9)) != "ok");
    CHECK(outcome(put(*place.store, kAlice, 9, {1})) != "ok");
    CHECK(read_text(place.alice) == text);
    return seen;
  };
  CHECK(damaged("") == "corrupt record.empty");
  CHECK(damaged(whole.substr(0, whole.size() / 2)) == "corrupt record.truncated");
  CHECK(damaged("#!/bin/sh\n") == "corrupt record.malformed");
  CHECK(damaged(std::string(2'000'000, ' ')) == "corrupt file.too_large");
  CHECK(damaged(read_text(place.bob).value()) == "corrupt record.subject_mismatch");
  write_text(place.alice, whole);
  CHECK(damaged(edited(place.alice, "\"format\":1", "\"format\":2")) ==
        "schema_too_new record.format");
  write_text(place.alice, whole);
  CHECK(place.store->load(kAlice).value());
}

TEST_CASE("file store: an edited summary does not authenticate", "[store]") {
  Filled place;
  write_text(place.alice, edited(place.alice, "https://pds.example", "https://evil.example"));
  CHECK(outcome(place.store->load(kAlice)) == "corrupt box.altered");
}

TEST_CASE("file store: a box of another subject does not authenticate", "[store]") {
  Filled place;
  auto alice = place.store->load_record(kAlice).value().value();
  const auto bob = place.store->load_record(kBob).value().value();
  alice.box = bob.box;
  alice.summary.revision = {3};
  REQUIRE(place.store->save_record(alice, {1}));
  CHECK(outcome(place.store->load(kAlice)) == "corrupt box.altered");
}

TEST_CASE("file store: a file that others may read is refused", "[store]") {
  Filled place;
  fs::permissions(place.alice, fs::perms::group_read, fs::perm_options::add);
  CHECK(outcome(place.store->load(kAlice)) == "insecure_location location.permissions");
  CHECK(outcome(put(*place.store, kAlice, 9, {1})) == "insecure_location location.permissions");
  CHECK(place.store->load(kBob).value());
}

TEST_CASE("file store: a link or a folder in place of a file is refused", "[store]") {
  Filled place;
  fs::rename(place.alice, place.folder() / "moved");
  fs::create_symlink(place.folder() / "moved", place.alice);
  CHECK(outcome(place.store->load(kAlice)) == "insecure_location location.symlink");
  CHECK(outcome(place.store->remove(kAlice, {1})) == "insecure_location location.symlink");
  CHECK(fs::is_symlink(place.alice));
  fs::remove(place.alice);
  fs::create_directory(place.alice);
  fs::permissions(place.alice, fs::perms::owner_all);
  CHECK(outcome(place.store->load(kAlice)) == "insecure_location location.not_a_file");
  CHECK(outcome(put(*place.store, kAlice, 9)) == "insecure_location location.not_a_file");
}

TEST_CASE("file store: a list shows what is wrong with each file and skips only temporary ones",
          "[store]") {
  Filled place;
  write_text(place.alice, "");
  const auto sessions = place.folder() / "sessions";
  write_text(sessions / "notes.txt", "mine");
  write_text(sessions / staging_name(kAlice, StagingPlace::write), "half");
  const auto rows = place.store->list("", 100).value().sessions;
  REQUIRE(rows.size() == 3);
  std::vector<std::string> seen;
  for (const auto& row : rows) seen.push_back(row.error ? outcome(*row.error) : row.name);
  CHECK(seen == std::vector<std::string>{"corrupt record.empty", std::string(kBob),
                                         "corrupt file.foreign"});
  CHECK(rows[0].name == place.alice.filename());
}

TEST_CASE("file store: what a dead writer left is taken away by the next one and by a removal",
          "[store]") {
  Filled place;
  const auto sessions = place.folder() / "sessions";
  const auto left = sessions / staging_name(kAlice, StagingPlace::write);
  const auto room = sessions / staging_name(kAlice, StagingPlace::room);
  write_text(left, "half a record");
  REQUIRE(put(*place.store, kAlice, 3, {1}));
  CHECK(!fs::exists(left));
  write_text(left, "half a record");
  write_text(room, "a whole one");
  REQUIRE(place.store->remove(kAlice, {3}));
  CHECK(names_in(sessions).size() == 1);
}

TEST_CASE("file store: what a dead lease holder left does not hinder the next one", "[store]") {
  Filled place;
  write_text(place.folder() / "sessions" / staging_name(kAlice, StagingPlace::room), "zeros");
  const auto held = place.store->lease(kAlice, patiently(place)).value();
  REQUIRE(place.store->reserve_room(kAlice, 10'000));
  REQUIRE(put(*place.store, kAlice, 3, {1}));
  CHECK(names_in(place.folder() / "sessions").size() == 2);
}

TEST_CASE("file store: room ends with its lease, and there is none without one", "[store]") {
  Filled place;
  CHECK(outcome(place.store->reserve_room(kAlice, 10)) == "invalid_argument store.no_lease");
  auto held = place.store->lease(kAlice, patiently(place)).value();
  CHECK(outcome(place.store->reserve_room(kBob, 10)) == "invalid_argument store.no_lease");
  REQUIRE(place.store->reserve_room(kAlice, 10));
  CHECK(names_in(place.folder() / "sessions").size() == 3);
  held.reset();
  CHECK(names_in(place.folder() / "sessions").size() == 2);
  CHECK(outcome(place.store->reserve_room(kAlice, 10)) == "invalid_argument store.no_lease");
}

TEST_CASE("file store: a damaged claim is an error, and the next claim replaces it", "[store]") {
  Filled place;
  const RefreshClaim claim{.subject = std::string(kAlice), .revision = {1}, .id = 7, .host = "h"};
  const RefreshClaim others{.subject = std::string(kBob), .revision = {2}, .id = 8, .host = "h"};
  REQUIRE(place.store->save_claim(claim));
  REQUIRE(place.store->save_claim(others));
  const auto claims = place.folder() / "claims";
  const auto file = claims / session_file_name(kAlice);
  write_text(file, read_text(claims / session_file_name(kBob)).value());
  CHECK(outcome(place.store->load_claim(kAlice)) == "corrupt claim.subject_mismatch");
  write_text(file, "");
  CHECK(outcome(place.store->load_claim(kAlice)) == "corrupt claim.malformed");
  REQUIRE(place.store->save_claim(claim));
  CHECK(place.store->load_claim(kAlice).value() == claim);
}

TEST_CASE("file store: opening reads no folder, however many sessions there are", "[store]") {
  Filled place;
  const auto faulty = std::make_shared<FaultyFileSystem>(posix_file_system());
  faulty->fail_every(FileOperation::list, no_space());
  CHECK(
      FilesystemOAuthTokenStore::open(place.folder(), memory_vault()->sealer(), {.files = faulty}));
}

TEST_CASE("file store: refuses a folder that it cannot trust or does not know", "[store]") {
  Filled place;
  const auto opened = [&](const fs::path& folder) {
    return outcome(FilesystemOAuthTokenStore::open(folder, memory_vault()->sealer()));
  };
  const auto marker = place.folder() / "format.json";
  write_text(marker, "{\"format\":2}\n");
  CHECK(opened(place.folder()) == "schema_too_new store.format");
  write_text(marker, "");
  CHECK(opened(place.folder()) == "corrupt store.marker");
  write_text(marker, "{\"format\":1}\n");
  CHECK(opened(place.folder()) == "ok");
  const auto link = place.folder().parent_path() / "link";
  fs::create_directory_symlink(place.folder(), link);
  CHECK(opened(link) == "insecure_location location.symlink");
  CHECK(opened(marker) == "insecure_location location.not_a_folder");
  fs::permissions(place.folder() / "claims", fs::perms::others_read, fs::perm_options::add);
  CHECK(opened(place.folder()) == "insecure_location location.permissions");
  fs::permissions(place.folder() / "claims", fs::perms::owner_all);
  fs::permissions(place.folder(), fs::perms::others_exec, fs::perm_options::add);
  CHECK(opened(place.folder()) == "insecure_location location.permissions");
}
