// SPDX-License-Identifier: MIT
module;
#include <cstddef>
#include <string>
#include <string_view>
export module latchkey.store.record_file;
import latchkey.core.error;
import latchkey.store;
import latchkey.store.record;

// The contents of the file store's files, as docs/formats.md has them. Readers accept exactly what
// the writers make: what another reader could understand differently is corrupt.

export namespace latchkey {

inline constexpr int kFileStoreFormat = 1;
/// The largest file that is read.
inline constexpr std::size_t kMaxRecordFile = 1024 * 1024;

/// {"format":1,"summary":{…},"box":"…"} and a line feed.
[[nodiscard]] std::string encode_record_file(const SealedRecord& record);
/// Errors: corrupt ("record.empty", "record.malformed", "record.truncated", "record.too_large" and
/// those of summary_from_json), schema_too_new ("record.format").
[[nodiscard]] Result<SealedRecord> decode_record_file(std::string_view text);

[[nodiscard]] std::string encode_claim_file(const RefreshClaim& claim);
/// Errors: corrupt, "claim.malformed"; schema_too_new, "claim.format".
[[nodiscard]] Result<RefreshClaim> decode_claim_file(std::string_view text);

[[nodiscard]] std::string encode_pending_file(const PendingRecord& pending);
/// Errors: corrupt, "pending.malformed"; schema_too_new, "pending.format".
[[nodiscard]] Result<PendingRecord> decode_pending_file(std::string_view text);

/// The file that says which format the whole folder has.
[[nodiscard]] std::string encode_marker_file();
/// Errors: corrupt, "store.marker"; schema_too_new, "store.format".
[[nodiscard]] Result<void> check_marker_file(std::string_view text);

}  // namespace latchkey
