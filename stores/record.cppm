// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>
export module latchkey.store.record;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.secret;
import latchkey.session;
import latchkey.session.json;
import latchkey.store.vault;

// The one place that seals: OAuthSession <-> SealedRecord. Backends persist SealedRecords only and
// never see a token.

export namespace latchkey {

/// A session as it is kept: the summary in clear, the tokens in a box whose associated data is the
/// summary.
struct SealedRecord {
  SessionSummary summary;
  Bytes box;
  [[nodiscard]] bool operator==(const SealedRecord&) const = default;
};

/// Length-prefixed encoding of every member of the summary, in fixed order: the associated data of
/// the box. Made here for all backends, so that nothing in the clear part can be edited or swapped
/// between records.
[[nodiscard]] std::string canonical_summary(const SessionSummary& summary);

/// Errors: those of Sealer::seal; invalid_argument, "subject.invalid", "record.text" (a member is
/// not UTF-8), "record.time_range" (a time outside the years 0000 to 9999), "record.too_large".
/// What is refused here could not be read back.
[[nodiscard]] Result<SealedRecord> seal_session(const OAuthSession& session, Sealer& sealer);
/// Errors: those of Sealer::open; corrupt, "record.too_large", "record.malformed"; schema_too_new,
/// "record.version".
[[nodiscard]] Result<OAuthSession> unseal_session(const SealedRecord& record, Sealer& sealer);

/// Checks what a key must be: 1 to 2048 bytes of UTF-8, no control characters. Error:
/// invalid_argument, "subject.invalid".
[[nodiscard]] Result<void> check_subject(std::string_view subject);
/// The largest box that is read back; larger ones are corrupt.
inline constexpr std::size_t kMaxBoxSize = 256 * 1024;

/// The clear part as JSON text and back, for backends that keep text: see latchkey.session.json.
using latchkey::summary_from_json;
using latchkey::summary_to_json;

}  // namespace latchkey
