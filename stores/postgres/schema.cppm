// SPDX-License-Identifier: MIT
module;
#include <array>
export module latchkey.store.postgres.schema;
import latchkey.core.error;
import latchkey.store.postgres.connection;

// The tables, and bringing a database up to date. Only what PostgreSQL-compatible distributed
// engines share: no triggers, sequences, advisory locks, extensions or LISTEN. Every table but
// those of one row has the subject, or a digest, first in its key, by which it can be partitioned.

export namespace latchkey {

inline constexpr int kPostgresSchemaVersion = 1;

/// Makes the tables or migrates them, under a lock on a row, so that of several programs that start
/// at once one does it and the others wait. Each step can be repeated. Errors: schema_too_new,
/// "postgres.schema_version"; corrupt, "postgres.foreign"; those of postgres_error.
[[nodiscard]] Result<void> migrate_postgres(PostgresConnection& connection);
/// Only looks. Errors: as above; locked, "postgres.schema_old".
[[nodiscard]] Result<void> check_postgres_schema(PostgresConnection& connection);

}  // namespace latchkey
