// SPDX-License-Identifier: MIT
module;
#include <cstddef>
#include <filesystem>
#include <memory>
#include <string_view>
#include <utility>
module latchkey.store.staging;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.os.files;

namespace latchkey {

Result<std::unique_ptr<StagedFile>> stage_owned(const std::shared_ptr<FileSystem>& files,
                                                const std::filesystem::path& path,
                                                std::size_t room) {
  auto created = files->create(path);
  if (!created && created.error().detail == "file.exists") {
    if (auto removed = files->remove(path); !removed) return std::move(removed).error();
    created = files->create(path);
  }
  if (!created) return std::move(created).error();
  auto& file = **created;
  auto staged = std::make_unique<StagedFile>(files, path, std::move(*created));
  if (room == 0) return staged;
  if (auto allocated = file.allocate(room); !allocated) return std::move(allocated).error();
  return staged;
}

Result<void> replace_owned(const std::shared_ptr<FileSystem>& files,
                           const std::filesystem::path& target, std::string_view staging,
                           std::string_view text) {
  const auto staged = stage_owned(files, target.parent_path() / staging, 0);
  if (!staged) return staged.error();
  return (*staged)->commit(as_bytes(text), target);
}

}  // namespace latchkey
