// SPDX-License-Identifier: MIT
#include <sqlite3.h>
#include <array>
#include <catch2/catch_test_macros.hpp>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.store.sqlite_connection;
import latchkey.test.folder;
import latchkey.test.outcome;

using namespace latchkey;
using namespace latchkey::test;

namespace {

struct Database {
  Database() { write_text(path, ""); }
  [[nodiscard]] std::unique_ptr<SqliteConnection> open() const {
    return SqliteConnection::open(path).value();
  }
  TemporaryFolder folder{};
  std::filesystem::path path = folder.path() / "a.db";
};

}  // namespace

TEST_CASE("sqlite connection: each one has the settings that make commits durable", "[store]") {
  const Database database;
  for (int i = 0; i < 2; ++i) {
    const auto connection = database.open();
    CHECK(connection->integer("PRAGMA synchronous").value() == 2);  // FULL
    CHECK(connection->integer("PRAGMA secure_delete").value() == 1);
    CHECK(connection->integer("PRAGMA foreign_keys").value() == 1);
    CHECK(connection->integer("PRAGMA trusted_schema").value() == 0);
    CHECK(connection->integer("PRAGMA cell_size_check").value() == 1);
    CHECK(connection->integer("PRAGMA busy_timeout").value() == 5000);
  }
}

TEST_CASE("sqlite connection: makes no database and follows no link", "[store]") {
  const Database database;
  CHECK(outcome(SqliteConnection::open(database.folder.path() / "b.db")) ==
        "io sqlite.cannot_open");
  CHECK(!std::filesystem::exists(database.folder.path() / "b.db"));
  std::filesystem::create_symlink(database.path, database.folder.path() / "c.db");
  CHECK(outcome(SqliteConnection::open(database.folder.path() / "c.db")) ==
        "io sqlite.cannot_open");
}

TEST_CASE("sqlite query: binds and reads values of every kind, and knows their types", "[store]") {
  const Database database;
  const auto connection = database.open();
  const Bytes bytes{0, 1, 255};
  auto query = connection->query("SELECT ?1, ?2, ?3, ?4, ?5, ?6").value();
  query.text(1, std::string_view("a\0b", 3)).blob(2, bytes).integer(3, INT64_MIN);
  REQUIRE(query.integer_or_null(4, {}).integer_or_null(5, 5).blob(6, {}).step().value());
  CHECK(query.text_at(0) == std::string_view("a\0b", 3));
  CHECK(Bytes(query.blob_at(1)->begin(), query.blob_at(1)->end()) == bytes);
  CHECK(query.integer_at(2) == INT64_MIN);
  CHECK(query.is_null_at(3));
  CHECK(query.integer_at(4) == 5);
  CHECK(query.blob_at(5)->empty());
  CHECK(!query.integer_at(0));
  CHECK(!query.blob_at(0));
  CHECK(!query.text_at(1));
  CHECK(!query.text_at(2));
  CHECK(!query.text_at(3));
}

TEST_CASE("sqlite query: a statement forgets its values when its use ends", "[store]") {
  const Database database;
  const auto connection = database.open();
  constexpr const char* sql = "SELECT ?1";
  REQUIRE(connection->query(sql).value().integer(1, 7).step().value());
  auto again = connection->query(sql).value();
  REQUIRE(again.step().value());
  CHECK(again.is_null_at(0));
}

TEST_CASE("sqlite query: a value over the limit and a parameter that is not there are errors",
          "[store]") {
  const Database database;
  const auto connection = database.open();
  CHECK(
      !connection->query("SELECT length(?1)").value().text(1, std::string(5'000'000, 'x')).step());
  CHECK(!connection->query("SELECT 1").value().integer(3, 1).step());
  CHECK(outcome(connection->query("SELECT * FROM nothing")) == "corrupt sqlite.schema");
}

TEST_CASE("sqlite transaction: rolls back unless it is committed", "[store]") {
  const Database database;
  const auto connection = database.open();
  REQUIRE(connection->execute("CREATE TABLE t (a INTEGER)"));
  {
    const auto transaction = SqliteTransaction::begin(*connection);
    REQUIRE(transaction);
    REQUIRE(connection->execute("INSERT INTO t VALUES (1)"));
  }
  CHECK(connection->integer("SELECT count(*) FROM t").value() == 0);
  auto transaction = SqliteTransaction::begin(*connection);
  REQUIRE(connection->execute("INSERT INTO t VALUES (1)"));
  REQUIRE(transaction.value().commit());
  CHECK(connection->integer("SELECT count(*) FROM t").value() == 1);
}

TEST_CASE("sqlite transaction: a database that another one writes is locked", "[store]") {
  const Database database;
  const auto first = database.open();
  const auto second = database.open();
  REQUIRE(second->execute("PRAGMA busy_timeout = 0"));
  const auto held = SqliteTransaction::begin(*first);
  CHECK(outcome(SqliteTransaction::begin(*second)) == "locked sqlite.busy");
}

TEST_CASE("sqlite connection: a full database is no_space, and nothing of the change stays",
          "[store]") {
  const Database database;
  const auto connection = database.open();
  REQUIRE(connection->execute("CREATE TABLE t (a BLOB)"));
  REQUIRE(connection->execute("PRAGMA max_page_count = 4"));
  CHECK(outcome(connection->execute("INSERT INTO t VALUES (zeroblob(100000))")) ==
        "io io.no_space");
  CHECK(connection->integer("SELECT count(*) FROM t").value() == 0);
}

TEST_CASE("sqlite_error: every code has a meaning", "[store]") {
  const std::array<std::pair<int, std::string_view>, 12> meanings{
      {{SQLITE_BUSY_SNAPSHOT, "locked sqlite.busy"},
       {SQLITE_LOCKED, "locked sqlite.busy"},
       {SQLITE_FULL, "io io.no_space"},
       {SQLITE_READONLY_DBMOVED, "io io.read_only"},
       {SQLITE_NOTADB, "corrupt sqlite.not_a_database"},
       {SQLITE_CORRUPT_INDEX, "corrupt sqlite.damaged"},
       {SQLITE_ERROR, "corrupt sqlite.schema"},
       {SQLITE_CONSTRAINT_UNIQUE, "conflict sqlite.constraint"},
       {SQLITE_CANTOPEN_SYMLINK, "io sqlite.cannot_open"},
       {SQLITE_IOERR_FSYNC, "io io.failed"},
       {SQLITE_NOMEM, "io sqlite.failed"},
       {SQLITE_MISUSE, "io sqlite.failed"}}};
  for (const auto& [code, meaning] : meanings) {
    CHECK(outcome(sqlite_error(code, "a.db")) == meaning);
  }
}
