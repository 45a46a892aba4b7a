// SPDX-License-Identifier: MIT
module;
#include <cstddef>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <utility>
module latchkey.core.os.files;
import latchkey.core.crypto;
import latchkey.core.error;

// Replacing a file, in terms of the FileSystem contract alone.

namespace latchkey {

StagedFile::StagedFile(std::shared_ptr<FileSystem> files, std::filesystem::path temporary,
                       std::unique_ptr<WritableFile> file)
    : files_(std::move(files)), temporary_(std::move(temporary)), file_(std::move(file)) {}

StagedFile::~StagedFile() {
  if (temporary_.empty()) return;
  file_.reset();
  // What cannot be removed now is removed by the next holder of the folder's lock: see
  // kTemporaryPrefix.
  static_cast<void>(files_->remove(temporary_));
}

Result<void> StagedFile::commit(std::span<const unsigned char> bytes,
                                const std::filesystem::path& target) {
  if (!file_) {
    return make_error(ErrorCode::invalid_argument, "file.already_committed",
                      "cannot write a staged file: it has been used before; stage another");
  }
  const auto file = std::move(file_);
  if (auto written = file->write(bytes); !written) return written;
  if (auto synced = file->sync(); !synced) return synced;
  if (auto renamed = files_->rename(temporary_, target); !renamed) return renamed;
  temporary_.clear();
  auto durable = files_->sync_folder(target.parent_path());
  if (durable) return durable;
  auto error = std::move(durable).error();
  error.code = ErrorCode::io;
  error.detail = "io.folder_not_synced";
  return error;
}

Result<std::unique_ptr<StagedFile>> stage_file(std::shared_ptr<FileSystem> files,
                                               const std::filesystem::path& target,
                                               std::size_t size) {
  SystemRandom random;
  auto temporary =
      target.parent_path() / (std::string(kTemporaryPrefix) + random_token(random, 12));
  auto created = files->create(temporary);
  if (!created) return std::move(created).error();
  WritableFile& file = **created;
  auto staged =
      std::make_unique<StagedFile>(std::move(files), std::move(temporary), std::move(*created));
  if (auto allocated = file.allocate(size); !allocated) return std::move(allocated).error();
  return staged;
}

Result<void> replace_file(const std::shared_ptr<FileSystem>& files,
                          const std::filesystem::path& target,
                          std::span<const unsigned char> bytes) {
  auto staged = stage_file(files, target, bytes.size());
  if (!staged) return std::move(staged).error();
  return (*staged)->commit(bytes, target);
}

}  // namespace latchkey
