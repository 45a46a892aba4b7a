// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <cstddef>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

import latchkey.core.error;
import latchkey.core.os.files;
import latchkey.store;
import latchkey.store.sqlite;
import latchkey.store.sqlite_connection;
import latchkey.store.sqlite_schema;
import latchkey.store.vault;
import latchkey.test.faults;
import latchkey.test.folder;
import latchkey.test.outcome;
import latchkey.test.rules;

using namespace latchkey;
using namespace latchkey::test;
namespace fs = std::filesystem;

namespace {

struct Setting {
  TemporaryFolder folder{};
  fs::path database = folder.path() / "sessions.db";
  [[nodiscard]] std::string opened() const {
    return outcome(SqliteOAuthTokenStore::open(database, store_sessions_unsealed()));
  }
  void sql(const std::string& text) const {
    if (!fs::exists(database)) write_text(database, "");
    SqliteConnection::open(database).value()->execute(text).value();
  }
};

}  // namespace

TEST_CASE("sqlite schema: another program's database is refused and not touched", "[store]") {
  const Setting setting;
  setting.sql("CREATE TABLE theirs (a); INSERT INTO theirs VALUES (1)");
  const auto before = read_text(setting.database);
  CHECK(setting.opened() == "corrupt sqlite.not_a_latchkey_database");
  CHECK(read_text(setting.database) == before);
  setting.sql("PRAGMA application_id = 7");
  CHECK(setting.opened() == "corrupt sqlite.not_a_latchkey_database");
}

TEST_CASE("sqlite schema: a file that is no database is refused and not touched", "[store]") {
  const Setting setting;
  const std::string text(3000, 'x');
  write_text(setting.database, text);
  CHECK(setting.opened() == "corrupt sqlite.not_a_database");
  CHECK(read_text(setting.database) == text);
}

TEST_CASE("sqlite schema: an empty file is not an empty store", "[store]") {
  const Setting setting;
  write_text(setting.database, "");
  CHECK(setting.opened() == "corrupt sqlite.empty");
  CHECK(setting.opened() == "corrupt sqlite.empty");
}

TEST_CASE("sqlite schema: a newer version is refused", "[store]") {
  const Setting setting;
  REQUIRE(setting.opened() == "ok");
  setting.sql("PRAGMA user_version = 3");
  CHECK(setting.opened() == "schema_too_new sqlite.schema_version");
  setting.sql("PRAGMA user_version = 2");
  CHECK(setting.opened() == "ok");
}

TEST_CASE("sqlite schema: a version that never was is refused", "[store]") {
  const Setting setting;
  REQUIRE(setting.opened() == "ok");
  setting.sql("PRAGMA user_version = 0");
  CHECK(setting.opened() == "corrupt sqlite.not_a_latchkey_database");
}

TEST_CASE("sqlite schema: a log without its database is not thrown away", "[store]") {
  const Setting setting;
  const auto log = setting.folder.path() / "sessions.db-wal";
  write_text(log, "committed sessions");
  CHECK(setting.opened() == "corrupt sqlite.orphaned_wal");
  CHECK(read_text(log) == "committed sessions");
}

TEST_CASE("sqlite schema: what is left of an interrupted creation is made anew", "[store]") {
  const Setting setting;
  const auto temporary = setting.folder.path() / ".latchkey-tmp-sessions.db";
  write_text(temporary, "half a database");
  write_text(fs::path(temporary) += "-wal", "half a log");
  CHECK(setting.opened() == "ok");
  CHECK(names_in(setting.folder.path()) ==
        std::vector<std::string>{"sessions.db", "sessions.db.lock", "sessions.db.nonces"});
}

TEST_CASE("sqlite schema: a creation that fails at any step can be tried again", "[store]") {
  for (std::size_t step = 1;; ++step) {
    INFO("step " << step);
    const Setting setting;
    const auto faulty = std::make_shared<FaultyFileSystem>(posix_file_system());
    faulty->fail_nth(step, no_space());
    const auto first =
        SqliteOAuthTokenStore::open(setting.database, store_sessions_unsealed(), {.files = faulty});
    const bool reached = faulty->changes() >= step;
    CHECK(first.has_value() == !reached);
    const auto again = SqliteOAuthTokenStore::open(setting.database, store_sessions_unsealed());
    REQUIRE(again);
    CHECK(put(**again, kAlice, 1));
    if (!reached) break;
  }
}

TEST_CASE("sqlite schema: missing tables are an error and not absent sessions", "[store]") {
  const Setting setting;
  REQUIRE(setting.opened() == "ok");
  setting.sql("DROP TABLE sessions");
  const auto store =
      SqliteOAuthTokenStore::open(setting.database, store_sessions_unsealed()).value();
  CHECK(outcome(store->load_record(kAlice)) == "corrupt sqlite.schema");
  CHECK(outcome(put(*store, kAlice, 1)) == "corrupt sqlite.schema");
  CHECK(outcome(store->list("", 10)) == "corrupt sqlite.schema");
}

TEST_CASE("sqlite schema: a database that others may read, a link and a folder are refused",
          "[store]") {
  const Setting setting;
  REQUIRE(setting.opened() == "ok");
  fs::permissions(setting.database, fs::perms::group_read, fs::perm_options::add);
  CHECK(setting.opened() == "insecure_location location.permissions");
  fs::permissions(setting.database, fs::perms::owner_read | fs::perms::owner_write);
  const auto moved = setting.folder.path() / "moved.db";
  fs::rename(setting.database, moved);
  fs::create_symlink(moved, setting.database);
  CHECK(setting.opened() == "insecure_location location.symlink");
  fs::remove(setting.database);
  fs::create_directory(setting.database);
  fs::permissions(setting.database, fs::perms::owner_all);
  CHECK(setting.opened() == "insecure_location location.not_a_file");
  fs::permissions(setting.folder.path(), fs::perms::group_read, fs::perm_options::add);
  CHECK(setting.opened() == "insecure_location location.permissions");
}
