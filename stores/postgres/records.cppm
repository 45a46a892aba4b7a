// SPDX-License-Identifier: MIT
module;
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
export module latchkey.store.postgres.records;
import latchkey.core.crypto;
import latchkey.core.error;
import latchkey.core.time;
import latchkey.session;
import latchkey.store;
import latchkey.store.postgres.connection;
import latchkey.store.record;

// Rows of latchkey_sessions: to records and back, and the statements that change them. Each
// statement is one transaction, and may be run again after it was carried out.

export namespace latchkey {

/// 64 bits as PostgreSQL keeps them, and back.
[[nodiscard]] constexpr std::int64_t postgres_bits(std::uint64_t bits) noexcept {
  return static_cast<std::int64_t>(bits);
}
[[nodiscard]] constexpr std::int64_t postgres_time(TimePoint time) noexcept {
  return time.time_since_epoch().count();
}

/// 64 random bits, never 0.
[[nodiscard]] std::uint64_t draw_postgres_bits(Random& random);

/// Parameters 1 to 24 of kPostgresInsert and kPostgresUpdate: the columns in their order, subject
/// first and box last.
[[nodiscard]] PostgresValues postgres_values(const SealedRecord& record);

/// The record in the columns 0 to 23 of a row. Error: corrupt, "postgres.column".
[[nodiscard]] Result<SealedRecord> read_postgres_record(const PostgresRows& rows, std::size_t row);
/// A row of kPostgresList.
[[nodiscard]] ListedSession read_postgres_listed(const PostgresRows& rows, std::size_t row);

/// The name by which a row is listed: its subject, or "row " and its bytes in hexadecimal when that
/// is none.
[[nodiscard]] std::string postgres_row_name(std::string_view subject);
/// The subject in a name of the second kind.
[[nodiscard]] std::optional<std::string> subject_in_row_name(std::string_view name);

extern const char* const kPostgresSelect;  ///< a record; $1: subject
extern const char* const kPostgresFind;    ///< records; $1, $2: subjects
/// A page; $1: after this subject, $2: how many. The box is only looked at.
extern const char* const kPostgresList;

/// How many rows were written. $25: now, which demands that the key of the session lies in
/// latchkey_keys, and marks it as used; NULL: keys are kept elsewhere. Ends the claim.
extern const char* const kPostgresInsert;
/// The same over the revision $26. A key that the stored record has too is not asked for.
extern const char* const kPostgresUpdate;
/// How many rows were removed. $1: subject, $2: revision, $3: 1 if its key goes along, unless
/// another session or a quarantined one needs it. Ends the claim.
extern const char* const kPostgresRemove;
/// Revision of the record or NULL, and how many keys there are; $1: subject, $2: id of a key.
extern const char* const kPostgresLook;
/// How many rows were moved. $1: subject, $2: revision, $3: box, $4: id of the row to be, $5: name,
/// $6: now, $7: why.
extern const char* const kPostgresMoveAside;

}  // namespace latchkey
