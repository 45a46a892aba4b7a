// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
module latchkey.store.sqlite_schema;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.time;
import latchkey.session;
import latchkey.store.record;
import latchkey.store.sqlite_connection;

// Rows of the sessions table to records and back.

// clang-format off
#define LATCHKEY_COLUMNS                                                                                  \
  "subject, revision, issuer, resource_server, token_endpoint, revocation_endpoint, par_endpoint, "       \
  "client_id, client_auth_method, client_auth_kid, redirect_uri, scope, token_type, dpop_jkt, handle, "   \
  "issued_at, expires_at, refresh_expires_at, session_started_at, login_id, state, state_cause, "         \
  "state_changed_at, box"
// clang-format on

namespace latchkey {

const char* const kSelectRecord = "SELECT " LATCHKEY_COLUMNS " FROM sessions WHERE subject = ?1";

const char* const kFindRecord =
    "SELECT id, " LATCHKEY_COLUMNS " FROM sessions WHERE subject = ?1 OR id = ?2";

const char* const kCopyAside =
    "INSERT INTO quarantined (name, quarantined_at, why, " LATCHKEY_COLUMNS
    ") SELECT ?2, ?3, ?4, " LATCHKEY_COLUMNS " FROM sessions WHERE id = ?1";

const char* const kListRecords =
    "SELECT id, " LATCHKEY_COLUMNS " FROM sessions WHERE id > ?1 ORDER BY id LIMIT ?2";

const char* const kInsertRecord = "INSERT INTO sessions (" LATCHKEY_COLUMNS
                                  ") VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, "
                                  "?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, "
                                  "?22, ?23, ?24) ON CONFLICT (subject) DO NOTHING";

const char* const kUpdateRecord = "UPDATE sessions SET (" LATCHKEY_COLUMNS
                                  ") = (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, "
                                  "?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, "
                                  "?22, ?23, ?24) WHERE subject = ?1 AND revision = ?25";

namespace {

std::int64_t number(std::uint64_t bits) {
  return static_cast<std::int64_t>(bits);
}
std::int64_t number(TimePoint time) {
  return time.time_since_epoch().count();
}
std::optional<std::int64_t> number(const std::optional<TimePoint>& time) {
  return time ? std::optional(number(*time)) : std::nullopt;
}

// Reads columns one after the other and remembers whether each had the type that it must have.
class RowReader {
 public:
  RowReader(const SqliteQuery& row, int first) : row_(row), column_(first) {}

  std::string text() {
    const auto value = row_.text_at(column_++);
    fine_ = fine_ && value.has_value();
    return std::string(value.value_or(std::string_view()));
  }
  std::int64_t integer() {
    const auto value = row_.integer_at(column_++);
    fine_ = fine_ && value.has_value();
    return value.value_or(0);
  }
  std::uint64_t bits() { return static_cast<std::uint64_t>(integer()); }
  TimePoint time() { return in_range(integer()); }
  std::optional<TimePoint> time_or_null() {
    if (!row_.is_null_at(column_)) return time();
    ++column_;
    return std::nullopt;
  }
  template <class T>
  T name(std::optional<T> (*from)(std::string_view) noexcept, T otherwise) {
    const auto value = row_.text_at(column_++);
    const auto known = value ? from(*value) : std::nullopt;
    fine_ = fine_ && known.has_value();
    return known.value_or(otherwise);
  }
  Bytes blob() {
    const auto value = row_.blob_at(column_++);
    fine_ = fine_ && value && value->size() <= kMaxBoxSize;
    return fine_ ? Bytes(value->begin(), value->end()) : Bytes();
  }
  [[nodiscard]] bool fine() const noexcept { return fine_; }

 private:
  // As in text: what is no time of the years 1 to 9999 counts as expired.
  static TimePoint in_range(std::int64_t millis) {
    constexpr std::int64_t end_of_9999 = 253'402'300'799'999;
    const TimePoint time{Duration(millis)};
    return time >= kMalformedTime && millis <= end_of_9999 ? time : kMalformedTime;
  }
  const SqliteQuery& row_;
  int column_;
  bool fine_ = true;
};

}  // namespace

void bind_record(SqliteQuery& query, const SealedRecord& record) {
  const auto& s = record.summary;
  int at = 0;
  query.text(++at, s.subject).integer(++at, number(s.revision.value));
  for (const auto* text : {&s.issuer, &s.resource_server, &s.token_endpoint, &s.revocation_endpoint,
                           &s.par_endpoint, &s.client_id}) {
    query.text(++at, *text);
  }
  query.text(++at, to_string(s.client_auth_method));
  for (const auto* text :
       {&s.client_auth_kid, &s.redirect_uri, &s.scope, &s.token_type, &s.dpop_jkt, &s.handle}) {
    query.text(++at, *text);
  }
  query.integer(++at, number(s.issued_at)).integer_or_null(++at, number(s.expires_at));
  query.integer_or_null(++at, number(s.refresh_expires_at))
      .integer(++at, number(s.session_started_at));
  query.integer(++at, number(s.login_id)).text(++at, to_string(s.state)).text(++at, s.state_cause);
  query.integer_or_null(++at, number(s.state_changed_at)).blob(++at, record.box);
}

Result<SealedRecord> read_record(const SqliteQuery& row, int first) {
  RowReader in(row, first);
  SealedRecord record;
  auto& s = record.summary;
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
  record.box = in.blob();
  if (in.fine() && !s.revision.is_none() && check_subject(s.subject)) return record;
  return make_error(
      ErrorCode::corrupt, "sqlite.column",
      "cannot read the session of " + printable(s.subject, 100) +
          ": a column does not hold what it should; restore the database from a backup, or "
          "remove the row and log in again");
}

}  // namespace latchkey
