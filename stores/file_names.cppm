// SPDX-License-Identifier: MIT
module;
#include <optional>
#include <string>
#include <string_view>
export module latchkey.store.file_names;
import latchkey.core.error;
import latchkey.core.time;

// The names of the file store's files. A name holds a digest of what it stands for, so that no two
// subjects share a file, whatever the file system does with case, length or special characters.

export namespace latchkey {

/// "<readable prefix>-<64 hex digits of SHA-256(subject)>.json"; the prefix is the subject's first
/// 40 characters of a-z, 0-9, "." and "-", in lower case, other characters left out.
[[nodiscard]] std::string session_file_name(std::string_view subject);
/// True if the name looks like one that session_file_name makes.
[[nodiscard]] bool is_session_file_name(std::string_view name) noexcept;

/// The name under which a subject's files are written before they are put in place: one for room
/// that is held under the lease, one for files that are written under the short write lock. Whoever
/// holds that lock may remove what an earlier holder left there.
enum class StagingPlace { room, write };
[[nodiscard]] std::string staging_name(std::string_view subject, StagingPlace place);

/// What the name of a pending login's file says.
struct PendingName {
  std::string digest;      ///< hex of the key's 32 bytes
  TimePoint expires_at{};  ///< not before the epoch
};
/// "<expiry in milliseconds>-<64 hex digits>.json": expired ones are found without reading them.
[[nodiscard]] std::string pending_file_name(const PendingName& name);
[[nodiscard]] std::optional<PendingName> parse_pending_file_name(std::string_view name);

}  // namespace latchkey
