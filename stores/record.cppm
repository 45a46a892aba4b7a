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
import latchkey.store.vault;

// The one place that seals: OAuthSession <-> SealedRecord. Backends persist SealedRecords only and never see a token.

export namespace latchkey {

/// A session as it is kept: the summary in clear, the tokens in a box whose associated data is the summary.
struct SealedRecord {
  SessionSummary summary;
  Bytes box;
  [[nodiscard]] bool operator==(const SealedRecord&) const = default;
};

/// Length-prefixed encoding of every member of the summary, in fixed order: the associated data of the box. Made here
/// for all backends, so that nothing in the clear part can be edited or swapped between records.
[[nodiscard]] std::string canonical_summary(const SessionSummary& summary);

[[nodiscard]] Result<SealedRecord> seal_session(const OAuthSession& session, Sealer& sealer);
/// Errors: those of Sealer::open; corrupt, "record.malformed".
[[nodiscard]] Result<OAuthSession> unseal_session(const SealedRecord& record, Sealer& sealer);

/// Checks what a key must be: 1 to 2048 bytes, no control characters. Error: invalid_argument, "subject.invalid".
[[nodiscard]] Result<void> check_subject(std::string_view subject);
/// The largest box that is read back; larger ones are corrupt.
inline constexpr std::size_t kMaxBoxSize = 256 * 1024;

/// The clear part as JSON text and back, for backends that keep text. Strict: every member must be there, of its type,
/// once; unknown members are refused (corrupt, "record.unknown_member"); a time that does not parse is kMalformedTime.
[[nodiscard]] std::string summary_to_json(const SessionSummary& summary);
[[nodiscard]] Result<SessionSummary> summary_from_json(std::string_view json);

}  // namespace latchkey
