// SPDX-License-Identifier: MIT
#include <sys/stat.h>
#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <cstddef>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

import latchkey.core.crypto;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.os.files;
import latchkey.core.secret;
import latchkey.core.time;
import latchkey.session;
import latchkey.store;
import latchkey.store.file_names;
import latchkey.store.filesystem;
import latchkey.store.vault;
import latchkey.test.faults;
import latchkey.test.folder;
import latchkey.test.outcome;
import latchkey.test.places;
import latchkey.test.rules;

// Every kind of file of the file store, damaged in every way: each its own error, nothing changed.
// The database's turn is in sqlite_bad_input_test.cpp.

using namespace latchkey;
using namespace latchkey::test;
namespace fs = std::filesystem;

namespace {

const TimePoint kNow{std::chrono::hours(500'000)};
const std::string kKey = sha256_base64url("state"), kOtherKey = sha256_base64url("other state");

PendingRecord pending_of(const std::string& key) {
  return {.key = key, .expires_at = kNow + std::chrono::minutes(10), .box = {1, 2, 3}};
}

RefreshClaim claim_of(std::string_view subject) {
  return {.subject = std::string(subject), .revision = {1}, .id = 7, .at = kNow, .host = "h"};
}

// A store with two of everything.
struct Filled : FilePlace {
  Filled() {
    for (const auto subject : {kAlice, kBob}) {
      OAuthSession session{record_of(subject, 1).summary, SecretString("access"), {}, {}};
      store->save(session, kNone).value();
      store->save_claim(claim_of(subject)).value();
    }
    for (const auto& key : {kKey, kOtherKey}) store->save_pending(pending_of(key), kNow).value();
    store->save_nonce("https://a.example", "key", "nonce");
  }
  [[nodiscard]] fs::path pending_file(const std::string& key) const {
    const auto digest = hex_encode(*base64url_decode(key));
    return folder() / "pending" / pending_file_name({digest, kNow + std::chrono::minutes(10)});
  }
  Store store = test::open(*this);
};

struct Kind {
  std::string name;
  std::function<fs::path(const Filled&)> file, other;  // the second: of the same kind
  std::function<std::string(Filled&)> use;             // what reading it says
};

std::string reopened(const Filled& place) {
  return outcome(FilesystemOAuthTokenStore::open(place.folder(), memory_vault()->sealer()));
}

const Kind kRecord{"record", [](const Filled& p) { return p.session_file(kAlice); },
                   [](const Filled& p) { return p.session_file(kBob); },
                   [](Filled& p) { return outcome(p.store->load(kAlice)); }};
const Kind kClaim{"claim",
                  [](const Filled& p) { return p.folder() / "claims" / session_file_name(kAlice); },
                  [](const Filled& p) { return p.folder() / "claims" / session_file_name(kBob); },
                  [](Filled& p) { return outcome(p.store->load_claim(kAlice)); }};
const Kind kPending{"pending login", [](const Filled& p) { return p.pending_file(kKey); },
                    [](const Filled& p) { return p.pending_file(kOtherKey); },
                    [](Filled& p) { return outcome(p.store->take_pending(kKey, kNow)); }};
const Kind kMarker{"format.json",
                   [](const Filled& p) { return p.folder() / "format.json"; },
                   {},
                   [](Filled& p) { return reopened(p); }};
const Kind kLockFile{"lock file",
                     [](const Filled& p) { return p.folder() / "store.lock"; },
                     {},
                     [](Filled& p) { return reopened(p); }};
const Kind kFolder{"folder",
                   [](const Filled& p) { return p.folder() / "claims"; },
                   {},
                   [](Filled& p) { return reopened(p); }};

struct Damage {
  std::string name;
  std::function<void(const Kind&, const Filled&)> inflict;
};

void rewrite(const Kind& kind, const Filled& place,
             const std::function<std::string(const std::string&)>& change) {
  const auto file = kind.file(place);
  write_text(file, change(read_text(file).value()));
}

const Damage kEmpty{"empty", [](const Kind& kind, const Filled& place) {
                      rewrite(kind, place, [](const std::string&) { return std::string(); });
                    }};
const Damage kTruncated{
    "truncated", [](const Kind& kind, const Filled& place) {
      rewrite(kind, place, [](const std::string& text) { return text.substr(0, text.size() - 3); });
    }};
const Damage kForeign{"foreign", [](const Kind& kind, const Filled& place) {
                        rewrite(kind, place,
                                [](const std::string&) { return std::string("#!/bin/sh\n"); });
                      }};
const Damage kDoubled{"written twice", [](const Kind& kind, const Filled& place) {
                        rewrite(kind, place, [](const std::string& text) { return text + text; });
                      }};
const Damage kNewer{"of a newer format", [](const Kind& kind, const Filled& place) {
                      rewrite(kind, place, [](std::string text) {
                        return text.replace(text.find("\"format\":1"), 10, "\"format\":2");
                      });
                    }};
const Damage kSwapped{"swapped", [](const Kind& kind, const Filled& place) {
                        write_text(kind.file(place), read_text(kind.other(place)).value());
                      }};
const Damage kHuge{"huge", [](const Kind& kind, const Filled& place) {
                     write_text(kind.file(place), std::string(2'000'000, ' '));
                   }};
const Damage kReadable{"readable for others", [](const Kind& kind, const Filled& place) {
                         fs::permissions(kind.file(place), fs::perms::others_read,
                                         fs::perm_options::add);
                       }};
const Damage kLink{"a link", [](const Kind& kind, const Filled& place) {
                     const auto file = kind.file(place), moved = place.folder() / "moved";
                     fs::rename(file, moved);
                     fs::create_symlink(moved, file);
                   }};
const Damage kAsFolder{"a folder", [](const Kind& kind, const Filled& place) {
                         const auto file = kind.file(place);
                         fs::remove_all(file);
                         fs::create_directory(file);
                         fs::permissions(file, fs::perms::owner_all);
                       }};
const Damage kPipe{"a pipe", [](const Kind& kind, const Filled& place) {
                     const auto file = kind.file(place);
                     fs::remove_all(file);
                     REQUIRE(mkfifo(file.c_str(), 0600) == 0);
                   }};
const Damage kAsFile{"a file", [](const Kind& kind, const Filled& place) {
                       const auto file = kind.file(place);
                       fs::remove_all(file);
                       write_text(file, "");
                     }};

// Names, kinds, modes and contents of everything in the store.
std::vector<std::string> snapshot(const fs::path& root) {
  std::vector<std::string> rows;
  for (const auto& entry : fs::recursive_directory_iterator(root)) {
    const auto status = entry.symlink_status();
    std::string row = entry.path().native() + ' ' + std::to_string(mode_of(entry.path()));
    if (fs::is_regular_file(status) && entry.path().filename() != "store.lock")
      row += ' ' + read_text(entry.path()).value();
    rows.push_back(std::move(row));
  }
  std::sort(rows.begin(), rows.end());
  return rows;
}

struct Case {
  const Kind& kind;
  const Damage& damage;
  std::string expected;
};

const std::string kBadPlace = "insecure_location location.";

}  // namespace

TEST_CASE("file store: every kind of damage to every kind of file has its own error, and stays",
          "[store][bad_input]") {
  const std::vector<Case> cases{
      {kRecord, kEmpty, "corrupt record.empty"},
      {kRecord, kTruncated, "corrupt record.truncated"},
      {kRecord, kForeign, "corrupt record.malformed"},
      {kRecord, kDoubled, "corrupt record.not_json"},
      {kRecord, kNewer, "schema_too_new record.format"},
      {kRecord, kSwapped, "corrupt record.subject_mismatch"},
      {kRecord, kHuge, "corrupt file.too_large"},
      {kRecord, kReadable, kBadPlace + "permissions"},
      {kRecord, kLink, kBadPlace + "symlink"},
      {kRecord, kAsFolder, kBadPlace + "not_a_file"},
      {kRecord, kPipe, kBadPlace + "not_a_file"},
      {kClaim, kEmpty, "corrupt claim.malformed"},
      {kClaim, kTruncated, "corrupt claim.malformed"},
      {kClaim, kForeign, "corrupt claim.malformed"},
      {kClaim, kDoubled, "corrupt claim.malformed"},
      {kClaim, kNewer, "schema_too_new claim.format"},
      {kClaim, kSwapped, "corrupt claim.subject_mismatch"},
      {kClaim, kHuge, "corrupt file.too_large"},
      {kClaim, kReadable, kBadPlace + "permissions"},
      {kClaim, kLink, kBadPlace + "symlink"},
      {kClaim, kAsFolder, kBadPlace + "not_a_file"},
      {kClaim, kPipe, kBadPlace + "not_a_file"},
      {kPending, kEmpty, "corrupt pending.malformed"},
      {kPending, kTruncated, "corrupt pending.malformed"},
      {kPending, kForeign, "corrupt pending.malformed"},
      {kPending, kDoubled, "corrupt pending.malformed"},
      {kPending, kNewer, "schema_too_new pending.format"},
      {kPending, kSwapped, "corrupt pending.swapped"},
      {kPending, kHuge, "corrupt file.too_large"},
      {kPending, kReadable, kBadPlace + "permissions"},
      {kPending, kLink, kBadPlace + "symlink"},
      {kPending, kAsFolder, kBadPlace + "not_a_file"},
      {kPending, kPipe, kBadPlace + "not_a_file"},
      {kMarker, kEmpty, "corrupt store.marker"},
      {kMarker, kTruncated, "corrupt store.marker"},
      {kMarker, kForeign, "corrupt store.marker"},
      {kMarker, kDoubled, "corrupt store.marker"},
      {kMarker, kNewer, "schema_too_new store.format"},
      {kMarker, kHuge, "corrupt file.too_large"},
      {kMarker, kReadable, kBadPlace + "permissions"},
      {kMarker, kLink, kBadPlace + "symlink"},
      {kMarker, kAsFolder, kBadPlace + "not_a_file"},
      {kMarker, kPipe, kBadPlace + "not_a_file"},
      {kLockFile, kReadable, kBadPlace + "permissions"},
      {kLockFile, kLink, kBadPlace + "symlink"},
      {kLockFile, kAsFolder, kBadPlace + "not_a_file"},
      {kLockFile, kPipe, kBadPlace + "not_a_file"},
      {kFolder, kReadable, kBadPlace + "permissions"},
      {kFolder, kLink, kBadPlace + "symlink"},
      {kFolder, kAsFile, kBadPlace + "not_a_folder"},
  };
  for (const auto& each : cases) {
    INFO(each.kind.name << ": " << each.damage.name);
    Filled place;
    each.damage.inflict(each.kind, place);
    const auto before = snapshot(place.folder());
    CHECK(each.kind.use(place) == each.expected);
    CHECK(snapshot(place.folder()) == before);
    // What belongs to others is as good as before.
    CHECK(place.store->load(kBob).value());
  }
}

TEST_CASE("file store: the message of each damage says what to do", "[store][bad_input]") {
  for (const auto* damage :
       {&kEmpty, &kTruncated, &kForeign, &kNewer, &kSwapped, &kReadable, &kLink, &kAsFolder}) {
    INFO(damage->name);
    Filled place;
    damage->inflict(kRecord, place);
    const auto message = place.store->load(kAlice).error().message;
    INFO(message);
    const bool remedy = message.find("restore") != std::string::npos ||
                        message.find("use the newer program") != std::string::npos ||
                        message.find("run chmod 600") != std::string::npos ||
                        message.find("name the file") != std::string::npos ||
                        message.find("remove it or choose") != std::string::npos;
    CHECK(remedy);
    CHECK(message.find(place.session_file(kAlice).filename().native()) != std::string::npos);
  }
}

TEST_CASE("file store: a damaged nonce is absent, and the next one takes its place",
          "[store][bad_input]") {
  for (const auto* damage : {&kEmpty, &kTruncated, &kForeign, &kDoubled, &kHuge, &kLink}) {
    INFO(damage->name);
    Filled place;
    const auto folder = place.folder() / "nonces";
    const Kind nonce{
        "nonce", [&](const Filled&) { return folder / names_in(folder).at(0); }, {}, {}};
    damage->inflict(nonce, place);
    CHECK(!place.store->load_nonce("https://a.example", "key"));
    place.store->save_nonce("https://a.example", "key", "another");
    CHECK(place.store->load_nonce("https://a.example", "key") == "another");
  }
}

TEST_CASE("file store: a lock file with other contents locks all the same", "[store][bad_input]") {
  for (const std::size_t size : {0u, 1u, 100'000u}) {
    Filled place;
    write_text(place.folder() / "store.lock", std::string(size, 'x'));
    CHECK(reopened(place) == "ok");
    CHECK(place.store->lease(kAlice, patiently(place)));
    CHECK(put(*place.store, kAlice, 2, {1}));
  }
}

TEST_CASE("file store: on a read-only and on a full disk every change is refused and nothing lost",
          "[store][bad_input]") {
  for (const auto& fault : {read_only(), no_space()}) {
    const TemporaryFolder folder;
    const auto disk = std::make_shared<FaultyFileSystem>(posix_file_system());
    const auto store = FilesystemOAuthTokenStore::open(folder.path() / "store",
                                                       store_sessions_unsealed(), {.files = disk})
                           .value();
    put(*store, kAlice, 1).value();
    store->save_claim(claim_of(kAlice)).value();
    store->save_pending(pending_of(kKey), kNow).value();
    const auto before = snapshot(folder.path());
    disk->fail_from(1, fault);
    const std::string expected = outcome(fault);
    CHECK(outcome(put(*store, kAlice, 2, {1})) == expected);
    CHECK(outcome(put(*store, kBob, 1)) == expected);
    CHECK(outcome(store->remove(kAlice, {1})) == expected);
    CHECK(outcome(store->save_claim(claim_of(kBob))) == expected);
    CHECK(outcome(store->clear_claim(kAlice, 7)) == expected);
    CHECK(outcome(store->save_pending(pending_of(kOtherKey), kNow)) == expected);
    CHECK(outcome(store->take_pending(kKey, kNow)) == expected);
    CHECK(outcome(store->quarantine(kAlice)) == expected);
    store->save_nonce("https://a.example", "key", "nonce");  // best effort
    CHECK(stored(*store, kAlice) == 1);
    CHECK(store->load_claim(kAlice).value());
    CHECK(store->list("", 10).value().sessions.size() == 1);
    CHECK(snapshot(folder.path()) == before);
    disk->heal();
    CHECK(put(*store, kAlice, 2, {1}));
  }
}

TEST_CASE("file store: clocks that jump lose no session, and end a pending login early at most",
          "[store][bad_input]") {
  Filled place;
  const auto jumped = kNow + std::chrono::hours(5);
  CHECK(!place.store->take_pending(kKey, jumped).value());
  const auto before = place.store->take_pending(kOtherKey, kNow - std::chrono::hours(5));
  CHECK(before.value());
  REQUIRE(place.store->save_pending(pending_of(kKey), kNow - std::chrono::hours(5)));
  CHECK(place.store->take_pending(kKey, kNow).value());
  CHECK(place.store->load(kAlice).value());
}
