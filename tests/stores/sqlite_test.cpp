// SPDX-License-Identifier: MIT
#include <sys/stat.h>
#include <catch2/catch_test_macros.hpp>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

import latchkey.core.crypto;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.os.locks;
import latchkey.core.secret;
import latchkey.session;
import latchkey.store;
import latchkey.store.record;
import latchkey.store.sqlite;
import latchkey.store.sqlite_connection;
import latchkey.store.vault;
import latchkey.test.child;
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

struct Filled : SqlitePlace {
  Filled() {
    store->save(session_of(kAlice, 1), kNone).value();
    store->save(session_of(kBob, 2), kNone).value();
  }
  void sql(const std::string& text) const {
    SqliteConnection::open(database()).value()->execute(text).value();
  }
  // The same rows in a table that takes any type.
  void loosen() const {
    sql("PRAGMA writable_schema = OFF; ALTER TABLE sessions RENAME TO strict_sessions;"
        "CREATE TABLE sessions AS SELECT * FROM strict_sessions; DROP TABLE strict_sessions");
  }
  Store store = test::open(*this);
};

}  // namespace

TEST_CASE("sqlite store: all its files are 0600, whatever the umask", "[store]") {
  const auto before = ::umask(0);
  {
    const Filled place;
    place.store->save_nonce("https://a.example", "key", "nonce");
    const auto folder = place.database().parent_path();
    CHECK(names_in(folder) == std::vector<std::string>{"sessions.db", "sessions.db-shm",
                                                       "sessions.db-wal", "sessions.db.lock",
                                                       "sessions.db.nonces"});
    for (const auto& entry : fs::recursive_directory_iterator(folder)) {
      INFO(entry.path());
      CHECK(mode_of(entry.path()) == (entry.is_directory() ? 0700 : 0600));
    }
  }
  ::umask(before);
}

TEST_CASE("sqlite store: a column of another type is corrupt and listed as an error", "[store]") {
  for (const auto* damage :
       {"issuer = x'00'", "revision = 'x'", "revision = 0", "expires_at = 'soon'", "box = 'text'",
        "box = NULL", "box = zeroblob(300000)", "state = 'asleep'", "client_auth_method = 'magic'",
        "login_id = 1.5", "handle = NULL"}) {
    INFO(damage);
    Filled place;
    place.loosen();
    place.sql("UPDATE sessions SET " + std::string(damage) + " WHERE subject = '" +
              std::string(kAlice) + "'");
    const auto store = open(place);
    CHECK(outcome(store->load(kAlice)) == "corrupt sqlite.column");
    const auto rows = store->list("", 10).value().sessions;
    REQUIRE(rows.size() == 2);
    REQUIRE(rows[0].error);
    CHECK(rows[0].name == kAlice);
    CHECK(!rows[1].error);
    CHECK(store->load(kBob).value());
  }
}

TEST_CASE("sqlite store: a row whose subject is no text is listed by its number", "[store]") {
  Filled place;
  place.loosen();
  place.sql("UPDATE sessions SET subject = x'00ff' WHERE id = 1");
  const auto rows = open(place)->list("", 10).value().sessions;
  REQUIRE(rows.size() == 2);
  CHECK(rows[0].name == "row 1");
  CHECK(outcome(rows[0].error.value()) == "corrupt sqlite.column");
}

TEST_CASE("sqlite store: an edited column and a swapped box do not authenticate", "[store]") {
  for (const auto* edit :
       {"resource_server = 'https://evil.example'", "expires_at = expires_at + 1",
        "expires_at = NULL", "expires_at = 9223372036854775807", "login_id = 1", "scope = ''",
        "state_cause = 'x'", "box = (SELECT box FROM sessions WHERE id = 2)"}) {
    INFO(edit);
    Filled place;
    place.sql("UPDATE sessions SET " + std::string(edit) + " WHERE id = 1");
    CHECK(outcome(place.store->load(kAlice)) == "corrupt box.altered");
    CHECK(place.store->load(kBob).value());
  }
}

TEST_CASE("sqlite store: a time outside the calendar counts as expired", "[store]") {
  Filled place;
  place.sql("UPDATE sessions SET expires_at = 9223372036854775807 WHERE id = 1");
  const auto record = place.store->load_record(kAlice).value();
  CHECK(record->summary.is_expired(record->summary.issued_at));
}

TEST_CASE("sqlite store: subjects swapped between rows do not authenticate", "[store]") {
  Filled place;
  place.sql(
      "UPDATE sessions SET subject = 'x' WHERE id = 1; UPDATE sessions SET subject = "
      "'did:plc:alice' WHERE id = 2");
  CHECK(outcome(place.store->load(kAlice)) == "corrupt box.altered");
}

TEST_CASE("sqlite store: a database that was cut off is corrupt", "[store]") {
  Filled place;
  auto record = record_of(kAlice, 3);
  record.box.assign(200'000, 1);
  REQUIRE(place.store->save_record(record, {1}));
  place.store.reset();
  fs::resize_file(place.database(), 16'384);
  const auto store = place.open();
  const auto seen = store ? outcome((*store)->load_record(kAlice)) : outcome(store);
  CHECK(seen == "corrupt sqlite.damaged");
}

TEST_CASE("sqlite store: a removed session is not in the file any more", "[store]") {
  Filled place;
  auto record = record_of(kAlice, 3);
  const std::string marker = "this was the box of a session";
  record.box.assign(marker.begin(), marker.end());
  REQUIRE(place.store->save_record(record, {1}));
  REQUIRE(place.store->remove(kAlice, {3}));
  place.store.reset();
  CHECK(read_text(place.database()).value().find(marker) == std::string::npos);
}

TEST_CASE("sqlite store: room is a row that the save uses up", "[store]") {
  Filled place;
  const auto rooms = [&] {
    return SqliteConnection::open(place.database())
        .value()
        ->integer("SELECT count(*) FROM rooms")
        .value();
  };
  auto held = place.store->lease(kAlice, patiently(place)).value();
  REQUIRE(place.store->reserve_room(kAlice, 4096));
  CHECK(rooms() == 1);
  REQUIRE(put(*place.store, kAlice, 3, {1}));
  CHECK(rooms() == 0);
  REQUIRE(place.store->reserve_room(kAlice, 4096));
  held.reset();
  CHECK(rooms() == 0);
}

TEST_CASE("sqlite store: room is a file too, which goes with the save, the lease or the session",
          "[store]") {
  Filled place;
  const auto rooms = [&] {
    std::size_t count = 0;
    for (const auto& name : names_in(place.database().parent_path()))
      count += name.find(".room-") != std::string::npos ? 1 : 0;
    return count;
  };
  auto held = place.store->lease(kAlice, patiently(place)).value();
  REQUIRE(place.store->reserve_room(kAlice, 4096));
  REQUIRE(place.store->reserve_room(kAlice, 8192));
  CHECK(rooms() == 1);
  REQUIRE(put(*place.store, kAlice, 3, {1}));
  CHECK(rooms() == 0);
  REQUIRE(place.store->reserve_room(kAlice, 4096));
  held.reset();
  CHECK(rooms() == 0);
  // As a holder leaves it that was killed.
  write_text(place.database() += ".room-" + hex_encode(sha256(kAlice)), "");
  CHECK(rooms() == 1);
  REQUIRE(place.store->remove(kAlice, {3}));
  CHECK(rooms() == 0);
}

TEST_CASE("sqlite store: a conflict leaves room and claim as they were", "[store]") {
  Filled place;
  REQUIRE(place.store->save_claim(
      {.subject = std::string(kAlice), .revision = {1}, .id = 5, .host = "h"}));
  CHECK(outcome(put(*place.store, kAlice, 3, {9})) == "conflict store.conflict");
  CHECK(place.store->load_claim(kAlice).value().has_value());
}

TEST_CASE("sqlite store: opening a second store keeps the locks of the first", "[store]") {
  Filled place;
  const auto writer = SqliteConnection::open(place.database()).value();
  const auto held = SqliteTransaction::begin(*writer);
  REQUIRE(held);
  {
    // In this process: whoever opened and closed one of the files here would drop all our locks on
    // it.
    const auto second = open(place);
    CHECK(second->load(kAlice).value());
  }
  ChildProcess other({LATCHKEY_CRASH_CHILD, "write", place.database()});
  CHECK(other.read_line() == "locked sqlite.busy");
}

TEST_CASE("sqlite store: reserved room is enough when the disk is full", "[store]") {
  const TemporaryFolder folder;
  ChildProcess with({LATCHKEY_CRASH_CHILD, "full", folder.path() / "a.db"});
  CHECK(with.read_line() == "ok");
  ChildProcess without({LATCHKEY_CRASH_CHILD, "full-without-room", folder.path() / "b.db"});
  CHECK(without.read_line() == "io io.failed");
}
