// SPDX-License-Identifier: MIT
#include <sys/stat.h>
#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <cstddef>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

import latchkey.core.error;
import latchkey.core.secret;
import latchkey.session;
import latchkey.store;
import latchkey.store.record;
import latchkey.store.sqlite;
import latchkey.store.sqlite_connection;
import latchkey.store.vault;
import latchkey.test.folder;
import latchkey.test.outcome;
import latchkey.test.rules;

// Every file of the SQLite store, damaged in every way: each its own error, nothing changed.

using namespace latchkey;
using namespace latchkey::test;
namespace fs = std::filesystem;

namespace {

// A database with Alice's session in it, closed.
struct Closed {
  Closed() {
    const auto store = SqliteOAuthTokenStore::open(database, sealer).value();
    for (const auto subject : {kAlice, kBob}) {
      store->save({record_of(subject, 1).summary, SecretString("access"), {}, {}}, kNone).value();
    }
  }
  [[nodiscard]] std::string opened() const {
    return outcome(SqliteOAuthTokenStore::open(database, sealer));
  }
  [[nodiscard]] fs::path beside(std::string_view suffix) const {
    auto path = database;
    return path += suffix;
  }
  void sql(const std::string& text) const {
    SqliteConnection::open(database).value()->execute(text).value();
  }
  TemporaryFolder folder{};
  fs::path database = folder.path() / "sessions.db";
  std::shared_ptr<Sealer> sealer = memory_vault()->sealer();
};

void make_folder(const fs::path& path) {
  fs::remove_all(path);
  fs::create_directory(path);
  fs::permissions(path, fs::perms::owner_all);
}

void make_link(const fs::path& path) {
  const auto moved = path.parent_path() / "moved";
  if (fs::exists(path))
    fs::rename(path, moved);
  else
    write_text(moved, "");
  fs::create_symlink(moved, path);
}

void make_readable(const fs::path& path) {
  if (!fs::exists(path)) write_text(path, "");
  fs::permissions(path, fs::perms::others_read, fs::perm_options::add);
}

struct Case {
  std::string name;
  std::function<void(const Closed&)> inflict;
  std::string expected;
};

const std::string kBadPlace = "insecure_location location.";

}  // namespace

TEST_CASE("sqlite store: every kind of damage to its files has its own error, and stays",
          "[store][bad_input]") {
  const std::vector<Case> cases{
      {"empty", [](const Closed& c) { write_text(c.database, ""); }, "corrupt sqlite.empty"},
      {"foreign", [](const Closed& c) { write_text(c.database, std::string(9000, 'x')); },
       "corrupt sqlite.not_a_database"},
      {"cut in the header", [](const Closed& c) { fs::resize_file(c.database, 50); },
       "corrupt sqlite.damaged"},
      {"cut to a page", [](const Closed& c) { fs::resize_file(c.database, 4096); },
       "corrupt sqlite.damaged"},
      {"newer", [](const Closed& c) { c.sql("PRAGMA user_version = 9"); },
       "schema_too_new sqlite.schema_version"},
      {"another program's", [](const Closed& c) { c.sql("PRAGMA application_id = 9"); },
       "corrupt sqlite.not_a_latchkey_database"},
      {"readable for others", [](const Closed& c) { make_readable(c.database); },
       kBadPlace + "permissions"},
      {"a link", [](const Closed& c) { make_link(c.database); }, kBadPlace + "symlink"},
      {"a folder", [](const Closed& c) { make_folder(c.database); }, kBadPlace + "not_a_file"},
      {"a pipe",
       [](const Closed& c) {
         fs::remove(c.database);
         REQUIRE(mkfifo(c.database.c_str(), 0600) == 0);
       },
       kBadPlace + "not_a_file"},
      {"gone, its log is not",
       [](const Closed& c) {
         fs::remove(c.database);
         write_text(c.beside("-wal"), "sessions");
       },
       "corrupt sqlite.orphaned_wal"},
      {"log readable", [](const Closed& c) { make_readable(c.beside("-wal")); },
       kBadPlace + "permissions"},
      {"log a link", [](const Closed& c) { make_link(c.beside("-wal")); }, kBadPlace + "symlink"},
      {"log a folder", [](const Closed& c) { make_folder(c.beside("-wal")); },
       kBadPlace + "not_a_file"},
      {"index readable", [](const Closed& c) { make_readable(c.beside("-shm")); },
       kBadPlace + "permissions"},
      {"index a link", [](const Closed& c) { make_link(c.beside("-shm")); }, kBadPlace + "symlink"},
      {"index a folder", [](const Closed& c) { make_folder(c.beside("-shm")); },
       kBadPlace + "not_a_file"},
      {"lock file readable", [](const Closed& c) { make_readable(c.beside(".lock")); },
       kBadPlace + "permissions"},
      {"lock file a link", [](const Closed& c) { make_link(c.beside(".lock")); },
       kBadPlace + "symlink"},
      {"lock file a folder", [](const Closed& c) { make_folder(c.beside(".lock")); },
       kBadPlace + "not_a_file"},
      {"nonces a file",
       [](const Closed& c) {
         fs::remove_all(c.beside(".nonces"));
         write_text(c.beside(".nonces"), "");
       },
       kBadPlace + "not_a_folder"},
      {"folder readable",
       [](const Closed& c) { fs::permissions(c.folder.path(), fs::perms(0755)); },
       kBadPlace + "permissions"},
  };
  for (const auto& each : cases) {
    INFO(each.name);
    const Closed closed;
    each.inflict(closed);
    const auto before = fs::is_regular_file(fs::symlink_status(closed.database))
                            ? read_text(closed.database)
                            : std::nullopt;
    CHECK(closed.opened() == each.expected);
    if (before) CHECK(read_text(closed.database) == before);
    fs::permissions(closed.folder.path(), fs::perms::owner_all);
  }
}

TEST_CASE("sqlite store: garbage in the files beside it loses no committed session",
          "[store][bad_input]") {
  for (const auto* suffix : {"-wal", "-shm"}) {
    for (const std::size_t size : {1u, 31u, 5000u}) {
      INFO(suffix << " of " << size);
      const Closed closed;
      write_text(closed.beside(suffix), std::string(size, 'x'));
      const auto store = SqliteOAuthTokenStore::open(closed.database, closed.sealer).value();
      CHECK(store->load(kAlice).value());
      CHECK(store->load(kBob).value());
    }
  }
}

TEST_CASE("sqlite store: tables that are not ours are an error of their own",
          "[store][bad_input]") {
  const Closed closed;
  closed.sql("ALTER TABLE sessions RENAME COLUMN box TO parcel");
  const auto store = SqliteOAuthTokenStore::open(closed.database, closed.sealer).value();
  CHECK(outcome(store->load(kAlice)) == "corrupt sqlite.schema");
  CHECK(outcome(store->list("", 10)) == "corrupt sqlite.schema");
  CHECK(outcome(put(*store, kAlice, 2, {1})) == "corrupt sqlite.schema");
}

TEST_CASE("sqlite store: while another program locks the database it is locked, and then good",
          "[store][bad_input]") {
  const Closed closed;
  {
    const auto other = SqliteConnection::open(closed.database).value();
    other->execute("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE").value();
    const auto refused = SqliteOAuthTokenStore::open(closed.database, closed.sealer);
    CHECK(outcome(refused) == "locked sqlite.busy");
    CHECK(refused.error().message.find("try again") != std::string::npos);
  }
  CHECK(closed.opened() == "ok");
}

TEST_CASE("sqlite store: a full database refuses a quarantine and keeps the record",
          "[store][bad_input]") {
  const Closed closed;
  closed.sql("UPDATE sessions SET state = 'asleep'");
  const auto store = SqliteOAuthTokenStore::open(closed.database, closed.sealer).value();
  closed.sql(
      "CREATE TRIGGER full BEFORE INSERT ON quarantined BEGIN SELECT RAISE(ABORT, 'x'); END");
  CHECK(!store->quarantine(kAlice));
  CHECK(store->list("", 10).value().sessions.size() == 2);
  CHECK(store->quarantined().value().empty());
}

TEST_CASE("sqlite store: a quarantined row keeps every column as it was", "[store][bad_input]") {
  const Closed closed;
  closed.sql("UPDATE sessions SET state = 'asleep' WHERE subject = '" + std::string(kAlice) + "'");
  const auto store = SqliteOAuthTokenStore::open(closed.database, closed.sealer).value();
  closed.sql("CREATE TABLE before AS SELECT * FROM sessions");
  const auto entry = store->quarantine(kAlice).value();
  CHECK(entry.name == kAlice);
  CHECK(entry.why == "sqlite.column");
  const auto connection = SqliteConnection::open(closed.database).value();
  CHECK(connection
            ->integer("SELECT count(*) FROM quarantined q JOIN before b ON q.subject = b.subject "
                      "WHERE q.revision = b.revision AND q.state = 'asleep' AND q.box = b.box AND "
                      "q.issued_at = b.issued_at AND q.scope = b.scope AND q.login_id = b.login_id")
            .value() == 1);
}
