// SPDX-License-Identifier: MIT
module;
#include <filesystem>
#include <memory>
export module latchkey.store.filesystem;
import latchkey.core.crypto;
import latchkey.core.error;
import latchkey.core.os.files;
import latchkey.core.time;
import latchkey.store;
import latchkey.store.vault;

// One JSON file a session in a folder of its own; names are a digest of the subject with a readable
// prefix, so that no two subjects share a file. See docs/formats.md.

export namespace latchkey {

struct FilesystemStoreOptions {
  std::shared_ptr<FileSystem> files{};  ///< default: the real one
  std::shared_ptr<Clock> clock{};
};

/// Thread-safe, and safe between processes.
class FilesystemOAuthTokenStore {
 public:
  /// Opens the folder, creating it (0700) if it is not there; O(1) in the number of sessions.
  /// Errors: insecure_location, io, schema_too_new.
  [[nodiscard]] static Result<std::shared_ptr<OAuthTokenStore>> open(
      const std::filesystem::path& folder, std::shared_ptr<Sealer> sealer,
      FilesystemStoreOptions options = {});
};

}  // namespace latchkey
