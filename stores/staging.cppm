// SPDX-License-Identifier: MIT
module;
#include <cstddef>
#include <filesystem>
#include <memory>
#include <string_view>
export module latchkey.store.staging;
import latchkey.core.error;
import latchkey.core.os.files;

// Files that are written under a name that belongs to the holder of a lock: what lies there was
// left by an earlier holder that died, and is taken away.

export namespace latchkey {

/// A file to be put in place later, with room for `room` bytes.
[[nodiscard]] Result<std::unique_ptr<StagedFile>> stage_owned(
    const std::shared_ptr<FileSystem>& files, const std::filesystem::path& path, std::size_t room);

/// Replaces `target` by way of the file `staging` beside it; durable when it returns.
[[nodiscard]] Result<void> replace_owned(const std::shared_ptr<FileSystem>& files,
                                         const std::filesystem::path& target,
                                         std::string_view staging, std::string_view text);

}  // namespace latchkey
