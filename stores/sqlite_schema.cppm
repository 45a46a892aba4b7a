// SPDX-License-Identifier: MIT
module;
#include <filesystem>
#include <memory>
#include <string>
export module latchkey.store.sqlite_schema;
import latchkey.core.error;
import latchkey.core.os.files;
import latchkey.store.record;
import latchkey.store.sqlite_connection;

// The tables of the SQLite store: making a database, bringing an older one up to date, and rows to
// records and back. See docs/formats.md.

export namespace latchkey {

inline constexpr int kSqliteSchemaVersion = 2;
/// PRAGMA application_id of our databases: "Ltky".
inline constexpr int kSqliteApplicationId = 0x4c746b79;

/// Makes a database that is not there: built under another name, 0600, and renamed into place when
/// it is whole, so that an empty file is never mistaken for an empty store. Call with the whole
/// lock held and no connection open. Errors: io; corrupt ("sqlite.orphaned_wal": committed sessions
/// lie in a "-wal" file without its database).
[[nodiscard]] Result<void> create_sqlite_database(const std::shared_ptr<FileSystem>& files,
                                                  const std::filesystem::path& database);

/// A connection to an existing database in WAL mode, migrated. Call with the whole lock held.
/// Errors: corrupt ("sqlite.not_a_database", "sqlite.not_a_latchkey_database", "sqlite.empty"),
/// schema_too_new
/// ("sqlite.schema_version"), locked, io.
[[nodiscard]] Result<std::unique_ptr<SqliteConnection>> open_sqlite_database(
    const std::filesystem::path& database);

/// The columns of a record, in the order that bind_record and read_record use: subject, revision,
/// the rest, box.
inline constexpr int kRecordColumns = 24;
/// Binds a record to the parameters 1 to kRecordColumns. The record must outlive the query.
void bind_record(SqliteQuery& query, const SealedRecord& record);
/// The record in the columns `first` and following. Error: corrupt, "sqlite.column".
[[nodiscard]] Result<SealedRecord> read_record(const SqliteQuery& row, int first);

extern const char* const kSelectRecord;  ///< ?1: subject
extern const char* const kFindRecord;    ///< id, record; ?1: subject, ?2: or this id
extern const char* const kListRecords;   ///< id, record; ?1: after this id, ?2: how many
extern const char* const kInsertRecord;  ///< does nothing if the subject has a record
extern const char* const kUpdateRecord;  ///< ?25: the expected revision
/// Copies a row as it is; ?1: its id, ?2: its name, ?3: now, ?4: why.
extern const char* const kCopyAside;

}  // namespace latchkey
