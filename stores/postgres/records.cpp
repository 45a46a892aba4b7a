// SPDX-License-Identifier: MIT
module;
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
module latchkey.store.postgres.records;
import latchkey.core.crypto;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.time;
import latchkey.session;
import latchkey.store;
import latchkey.store.postgres.connection;
import latchkey.store.record;
import latchkey.store.vault;

// clang-format off
#define LATCHKEY_SUMMARY_COLUMNS                                                                          \
  "subject, revision, issuer, resource_server, token_endpoint, revocation_endpoint, par_endpoint, "       \
  "client_id, client_auth_method, client_auth_kid, redirect_uri, scope, token_type, dpop_jkt, handle, "   \
  "issued_at, expires_at, refresh_expires_at, session_started_at, login_id, state, state_cause, "         \
  "state_changed_at"
#define LATCHKEY_COLUMNS LATCHKEY_SUMMARY_COLUMNS ", box"
// In the order of the columns. With types, since nothing says them in the list of a SELECT.
#define LATCHKEY_VALUES                                                                                   \
  "$1::TEXT, $2::BIGINT, $3::TEXT, $4::TEXT, $5::TEXT, $6::TEXT, $7::TEXT, $8::TEXT, $9::TEXT, "          \
  "$10::TEXT, $11::TEXT, $12::TEXT, $13::TEXT, $14::TEXT, $15::TEXT, $16::BIGINT, $17::BIGINT, "          \
  "$18::BIGINT, $19::BIGINT, $20::BIGINT, $21::TEXT, $22::TEXT, $23::BIGINT, $24::BYTEA"
// A sweep that has seen the key unused looks at it again when this has been committed, finds another
// stored_at, and lets it live.
#define LATCHKEY_TOUCH_KEY                                                                                \
  "UPDATE latchkey_keys SET stored_at = GREATEST(stored_at + 1, $25::BIGINT) "                            \
  "WHERE id = $14::TEXT AND $25::BIGINT IS NOT NULL"
#define LATCHKEY_END_CLAIM                                                                                \
  "ended AS (DELETE FROM latchkey_claims WHERE subject IN (SELECT subject FROM saved)) "
// clang-format on

namespace latchkey {

const char* const kPostgresSelect =
    "SELECT " LATCHKEY_COLUMNS " FROM latchkey_sessions WHERE subject = $1";

const char* const kPostgresFind =
    "SELECT " LATCHKEY_COLUMNS " FROM latchkey_sessions WHERE subject = $1 OR subject = $2";

const char* const kPostgresList = "SELECT " LATCHKEY_SUMMARY_COLUMNS
                                  ", substr(box, 1, 64), length(box) FROM latchkey_sessions "
                                  "WHERE subject > $1 ORDER BY subject LIMIT $2::BIGINT";

const char* const kPostgresInsert =
    "WITH needed AS (" LATCHKEY_TOUCH_KEY
    " RETURNING id), saved AS (INSERT INTO latchkey_sessions (" LATCHKEY_COLUMNS
    ") SELECT " LATCHKEY_VALUES
    " WHERE $25::BIGINT IS NULL OR $14::TEXT = '' OR EXISTS (SELECT 1 FROM needed) "
    "ON CONFLICT (subject) DO NOTHING RETURNING subject), " LATCHKEY_END_CLAIM
    "SELECT count(*) FROM saved";

const char* const kPostgresUpdate =
    "WITH needed AS (" LATCHKEY_TOUCH_KEY
    " AND NOT EXISTS (SELECT 1 FROM latchkey_sessions WHERE subject = $1::TEXT AND dpop_jkt = "
    "$14::TEXT) RETURNING id), saved AS (UPDATE latchkey_sessions SET (" LATCHKEY_COLUMNS
    ") = (" LATCHKEY_VALUES
    ") WHERE subject = $1::TEXT AND revision = $26::BIGINT AND ($25::BIGINT IS NULL OR "
    "$14::TEXT = '' OR dpop_jkt = $14::TEXT OR EXISTS (SELECT 1 FROM needed)) "
    "RETURNING subject), " LATCHKEY_END_CLAIM "SELECT count(*) FROM saved";

// The last condition is about a save that uses the key in this moment for another subject: it
// touches the key, and the row that is to be deleted is then no longer the one that was seen here.
const char* const kPostgresRemove =
    "WITH gone AS (DELETE FROM latchkey_sessions WHERE subject = $1 AND revision = $2::BIGINT "
    "RETURNING dpop_jkt), "
    "ended AS (DELETE FROM latchkey_claims WHERE subject = $1 AND NOT EXISTS "
    "(SELECT 1 FROM latchkey_sessions WHERE subject = $1 AND revision <> $2::BIGINT)), "
    "unused AS (DELETE FROM latchkey_keys AS k WHERE $3::BIGINT = 1 "
    "AND k.id IN (SELECT dpop_jkt FROM gone) "
    "AND NOT EXISTS (SELECT 1 FROM latchkey_sessions AS s "
    "WHERE s.dpop_jkt = k.id AND s.subject <> $1) "
    "AND NOT EXISTS (SELECT 1 FROM latchkey_quarantined AS q WHERE q.dpop_jkt = k.id) "
    "AND k.stored_at = (SELECT seen.stored_at FROM latchkey_keys AS seen WHERE seen.id = k.id)) "
    "SELECT count(*) FROM gone";

const char* const kPostgresLook =
    "SELECT (SELECT revision FROM latchkey_sessions WHERE subject = $1), "
    "(SELECT count(*) FROM latchkey_keys WHERE id = $2)";

const char* const kPostgresMoveAside =
    "WITH moved AS (DELETE FROM latchkey_sessions WHERE subject = $1 AND revision = $2::BIGINT "
    "AND box = $3::BYTEA RETURNING " LATCHKEY_COLUMNS
    "), kept AS (INSERT INTO latchkey_quarantined (id, name, quarantined_at, why, " LATCHKEY_COLUMNS
    ") SELECT $4::BIGINT, $5::TEXT, $6::BIGINT, $7::TEXT, " LATCHKEY_COLUMNS
    " FROM moved RETURNING id) SELECT count(*) FROM kept";

namespace {

constexpr std::string_view kRow = "row ";
constexpr int kBoxColumn = 23;
constexpr int kBoxSizeColumn = 24;

std::optional<std::int64_t> time_or_null(const std::optional<TimePoint>& time) {
  return time ? std::optional(postgres_time(*time)) : std::nullopt;
}

// Reads columns one after the other and remembers whether each held what it must.
class RowReader {
 public:
  RowReader(const PostgresRows& rows, std::size_t row) : rows_(rows), row_(row) {}

  std::string text() {
    const auto value = rows_.text(row_, column_++);
    fine_ = fine_ && value.has_value();
    return std::string(value.value_or(std::string_view()));
  }
  std::int64_t integer() {
    const auto value = rows_.integer(row_, column_++);
    fine_ = fine_ && value.has_value();
    return value.value_or(0);
  }
  std::uint64_t bits() { return static_cast<std::uint64_t>(integer()); }
  TimePoint time() { return in_range(integer()); }
  std::optional<TimePoint> time_or_null() {
    if (!rows_.is_null(row_, column_)) return time();
    ++column_;
    return std::nullopt;
  }
  template <class T>
  T name(std::optional<T> (*from)(std::string_view) noexcept, T otherwise) {
    const auto known = from(text());
    fine_ = fine_ && known.has_value();
    return known.value_or(otherwise);
  }
  [[nodiscard]] bool fine() const noexcept { return fine_; }

 private:
  // As in text: what is no time of the years 1 to 9999 counts as expired.
  static TimePoint in_range(std::int64_t millis) {
    constexpr std::int64_t end_of_9999 = 253'402'300'799'999;
    const TimePoint time{Duration(millis)};
    return time >= kMalformedTime && millis <= end_of_9999 ? time : kMalformedTime;
  }
  const PostgresRows& rows_;
  std::size_t row_;
  int column_ = 0;
  bool fine_ = true;
};

Error malformed(std::string_view subject) {
  return make_error(ErrorCode::corrupt, "postgres.column",
                    "cannot read the session of " + printable(subject, 100) +
                        ": a column does not hold what it should; restore the row from a backup, "
                        "or move it aside and log in again");
}

Result<SessionSummary> read_summary(const PostgresRows& rows, std::size_t row) {
  RowReader in(rows, row);
  SessionSummary s;
  s.subject = in.text();
  s.revision = {in.bits()};
  for (auto* text : {&s.issuer, &s.resource_server, &s.token_endpoint, &s.revocation_endpoint,
                     &s.par_endpoint, &s.client_id}) {
    *text = in.text();
  }
  s.client_auth_method = in.name(client_auth_method_from, ClientAuthMethod::none);
  for (auto* text :
       {&s.client_auth_kid, &s.redirect_uri, &s.scope, &s.token_type, &s.dpop_jkt, &s.handle}) {
    *text = in.text();
  }
  s.issued_at = in.time();
  s.expires_at = in.time_or_null();
  s.refresh_expires_at = in.time_or_null();
  s.session_started_at = in.time();
  s.login_id = in.bits();
  s.state = in.name(session_state_from, SessionState::active);
  s.state_cause = in.text();
  s.state_changed_at = in.time_or_null();
  if (!in.fine() || s.revision.is_none() || !check_subject(s.subject)) return malformed(s.subject);
  return s;
}

}  // namespace

std::uint64_t draw_postgres_bits(Random& random) {
  std::uint64_t bits = 0;
  while (bits == 0) {
    std::array<unsigned char, sizeof bits> bytes{};
    random.fill(bytes);
    std::memcpy(&bits, bytes.data(), sizeof bits);
  }
  return bits;
}

PostgresValues postgres_values(const SealedRecord& record) {
  const auto& s = record.summary;
  PostgresValues values;
  values.reserve(kBoxColumn + 3);  // and those of the statement's own
  const auto text = [&values](std::string_view value) {
    values.push_back(PostgresValue::text(value));
  };
  const auto integer = [&values](std::optional<std::int64_t> value) {
    values.push_back(PostgresValue::integer(value));
  };
  text(s.subject);
  integer(postgres_bits(s.revision.value));
  for (const auto* member : {&s.issuer, &s.resource_server, &s.token_endpoint,
                             &s.revocation_endpoint, &s.par_endpoint, &s.client_id}) {
    text(*member);
  }
  text(to_string(s.client_auth_method));
  for (const auto* member :
       {&s.client_auth_kid, &s.redirect_uri, &s.scope, &s.token_type, &s.dpop_jkt, &s.handle}) {
    text(*member);
  }
  integer(postgres_time(s.issued_at));
  integer(time_or_null(s.expires_at));
  integer(time_or_null(s.refresh_expires_at));
  integer(postgres_time(s.session_started_at));
  integer(postgres_bits(s.login_id));
  text(to_string(s.state));
  text(s.state_cause);
  integer(time_or_null(s.state_changed_at));
  values.push_back(PostgresValue::bytes(record.box));
  return values;
}

Result<SealedRecord> read_postgres_record(const PostgresRows& rows, std::size_t row) {
  auto summary = read_summary(rows, row);
  if (!summary) return std::move(summary).error();
  auto box = rows.bytes(row, kBoxColumn);
  if (!box || box->size() > kMaxBoxSize) return malformed(summary->subject);
  return SealedRecord{.summary = *std::move(summary), .box = *std::move(box)};
}

ListedSession read_postgres_listed(const PostgresRows& rows, std::size_t row) {
  auto summary = read_summary(rows, row);
  const auto head = rows.bytes(row, kBoxColumn);
  const auto size = rows.integer(row, kBoxSizeColumn);
  if (summary && head && size && *size <= static_cast<std::int64_t>(kMaxBoxSize)) {
    auto name = summary->subject;
    return {.name = std::move(name),
            .summary = *std::move(summary),
            .error = {},
            .sealed_with = sealed_with(*head)};
  }
  const auto subject = rows.text(row, 0).value_or("");
  return {.name = postgres_row_name(subject), .summary = {}, .error = malformed(subject)};
}

std::string postgres_row_name(std::string_view subject) {
  if (check_subject(subject)) return std::string(subject);
  return std::string(kRow) + hex_encode(as_bytes(subject));
}

std::optional<std::string> subject_in_row_name(std::string_view name) {
  if (!name.starts_with(kRow)) return std::nullopt;
  const auto subject = hex_decode(name.substr(kRow.size()));
  if (!subject) return std::nullopt;
  return std::string(as_text(*subject));
}

}  // namespace latchkey
