// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

import latchkey.core.crypto;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.os.files;
import latchkey.core.os.locks;
import latchkey.core.secret;
import latchkey.core.time;
import latchkey.session;
import latchkey.store;
import latchkey.store.filesystem;
import latchkey.store.record;
import latchkey.store.sqlite;
import latchkey.store.sqlite_connection;
import latchkey.store.vault;
import latchkey.test.folder;

// The golden files were written from docs/formats.md, not by the library.

using namespace latchkey;
using namespace latchkey::test;

namespace {

const std::filesystem::path kFormats = std::filesystem::path(LATCHKEY_TEST_DATA) / "formats";
constexpr std::string_view kSubject = "did:web:Ex\xC3\xA4mple.com:user";
const TimePoint kIssued = parse_rfc3339("2026-11-20T09:30:00Z").value();

// A file store with the golden files in it. (Permissions do not survive version control.)
TemporaryFolder golden_folder() {
  TemporaryFolder folder;
  for (const auto& entry :
       std::filesystem::recursive_directory_iterator(kFormats / "file_store_v1")) {
    const auto to = folder.path() / entry.path().lexically_relative(kFormats / "file_store_v1");
    if (entry.is_directory()) {
      std::filesystem::create_directory(to);
      std::filesystem::permissions(to, std::filesystem::perms::owner_all);
    } else {
      std::filesystem::create_directory(to.parent_path());
      std::filesystem::permissions(to.parent_path(), std::filesystem::perms::owner_all);
      write_text(to, read_text(entry.path()).value());
    }
  }
  return folder;
}

TemporaryFolder golden_database(std::string_view version) {
  TemporaryFolder folder;
  const auto name = "sqlite_store_" + std::string(version) + ".sql";
  write_text(folder.path() / "sessions.db", "");
  const auto connection = SqliteConnection::open(folder.path() / "sessions.db");
  connection.value()->execute(read_text(kFormats / name).value()).value();
  return folder;
}

void check_golden(OAuthTokenStore& store) {
  const auto session = store.load(kSubject).value();
  REQUIRE(session);
  CHECK(session->access_token == SecretString("golden-access"));
  CHECK(session->refresh_token == SecretString("golden-refresh"));
  CHECK(!session->id_token);
  CHECK(session->token_endpoint == "https://issuer.example/token?a=\"b\"");
  CHECK(session->client_auth_method == ClientAuthMethod::private_key_jwt);
  CHECK(session->issued_at == kIssued);
  CHECK(session->expires_at == kIssued + std::chrono::hours(1) + Duration(250));
  CHECK(!session->refresh_expires_at);
  CHECK(session->login_id == 0xffff'ffff'ffff'fffe);
  CHECK(session->revision == Revision{0x0123'4567'89ab'cdef});
  CHECK(session->state == SessionState::active);
  const auto claim = store.load_claim(kSubject).value();
  REQUIRE(claim);
  CHECK(claim->revision == session->revision);
  CHECK(claim->id == 255);
  CHECK(claim->at == kIssued + std::chrono::seconds(3540) + Duration(500));
  CHECK(claim->pid == 4711);
  CHECK(claim->host == "golden");
  const auto pending = store.take_pending(sha256_base64url("golden state"), kIssued).value();
  REQUIRE(pending);
  CHECK(as_text(pending->box) == "golden box");
  CHECK(pending->expires_at == kIssued + std::chrono::minutes(10));
}

}  // namespace

TEST_CASE("formats: a file store of format 1 is read in every part", "[store]") {
  const auto folder = golden_folder();
  const auto store =
      FilesystemOAuthTokenStore::open(folder.path(), store_sessions_unsealed()).value();
  check_golden(*store);
  CHECK(store->load_nonce("https://pds.example", "key") == "golden nonce");
  CHECK(store->list("", 10).value().sessions.size() == 1);
  const auto aside = store->quarantined().value();
  REQUIRE(aside.size() == 1);
  CHECK(aside[0].name == "didwebbob.example.json");
  CHECK(aside[0].why == "record.truncated");
  CHECK(aside[0].at == parse_rfc3339("2026-11-20T10:31:40Z").value());
}

TEST_CASE("formats: a record of format 1 is written byte for byte as it was read", "[store]") {
  const auto folder = golden_folder();
  const auto store =
      FilesystemOAuthTokenStore::open(folder.path(), store_sessions_unsealed()).value();
  const auto sessions = folder.path() / "sessions";
  const auto name = names_in(sessions).at(0);
  const auto before = read_text(sessions / name);
  const auto record = store->load_record(kSubject).value();
  REQUIRE(store->remove(kSubject, record->summary.revision));
  REQUIRE(store->save_record(*record, Revision{}));
  CHECK(read_text(sessions / name) == before);
  CHECK(names_in(sessions).size() == 1);
}

TEST_CASE("formats: an SQLite store of schema version 1 is read in every part, and migrated",
          "[store]") {
  const auto folder = golden_database("v1");
  const auto database = folder.path() / "sessions.db";
  {
    const auto store = SqliteOAuthTokenStore::open(database, store_sessions_unsealed()).value();
    check_golden(*store);
    CHECK(store->list("", 10).value().sessions.size() == 1);
    CHECK(store->quarantined().value().empty());
  }
  CHECK(SqliteConnection::open(database).value()->integer("PRAGMA user_version").value() == 2);
  CHECK(SqliteOAuthTokenStore::open(database, store_sessions_unsealed()));
}

TEST_CASE("formats: an SQLite store of schema version 2 is read in every part", "[store]") {
  const auto folder = golden_database("v2");
  const auto store =
      SqliteOAuthTokenStore::open(folder.path() / "sessions.db", store_sessions_unsealed()).value();
  check_golden(*store);
  CHECK(store->list("", 10).value().sessions.size() == 1);
  const auto aside = store->quarantined().value();
  REQUIRE(aside.size() == 1);
  CHECK(aside[0].name == "did:web:bob.example");
  CHECK(aside[0].why == "sqlite.column");
  CHECK(aside[0].at == parse_rfc3339("2026-11-20T10:31:40Z").value());
}

TEST_CASE("formats: a new SQLite store has the tables of the golden file", "[store]") {
  const auto golden = golden_database("v2");
  const TemporaryFolder folder;
  const auto fresh = folder.path() / "sessions.db";
  REQUIRE(SqliteOAuthTokenStore::open(fresh, store_sessions_unsealed()));
  const auto schema = [](const std::filesystem::path& database) {
    std::vector<std::string> out;
    const auto connection = SqliteConnection::open(database);
    auto query =
        connection.value()->query("SELECT ifnull(sql, name) FROM sqlite_schema ORDER BY name");
    while (query.value().step().value()) out.emplace_back(query.value().text_at(0).value());
    out.push_back(std::to_string(connection.value()->integer("PRAGMA user_version").value()));
    out.push_back(std::to_string(connection.value()->integer("PRAGMA application_id").value()));
    return out;
  };
  CHECK(schema(fresh) == schema(golden.path() / "sessions.db"));
}
