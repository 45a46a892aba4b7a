// SPDX-License-Identifier: MIT
module;
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
module latchkey.test.broken_stores;
import latchkey.core.error;
import latchkey.core.os.files;
import latchkey.core.os.locks;
import latchkey.core.secret;
import latchkey.core.time;
import latchkey.session;
import latchkey.store;
import latchkey.store.quarantine;
import latchkey.store.record;
import latchkey.store.vault;

namespace latchkey::test {
namespace {

using Path = std::filesystem::path;

class UnsyncedFile final : public WritableFile {
 public:
  explicit UnsyncedFile(std::unique_ptr<WritableFile> inner) : inner_(std::move(inner)) {}
  // No allocation either: sync() is what would cut the file to size.
  Result<void> allocate(std::size_t) override { return {}; }
  Result<void> write(std::span<const unsigned char> bytes) override { return inner_->write(bytes); }
  Result<void> sync() override { return {}; }

 private:
  std::unique_ptr<WritableFile> inner_;
};

class UnsyncedFileSystem final : public FileSystem {
 public:
  explicit UnsyncedFileSystem(std::shared_ptr<FileSystem> inner) : inner_(std::move(inner)) {}
  Result<std::unique_ptr<WritableFile>> create(const Path& path) override {
    auto file = inner_->create(path);
    if (!file) return file;
    return std::unique_ptr<WritableFile>(std::make_unique<UnsyncedFile>(std::move(*file)));
  }
  Result<void> sync_folder(const Path&) override { return {}; }
  Result<std::optional<SecretBytes>> read(const Path& path, std::size_t max_size) override {
    return inner_->read(path, max_size);
  }
  Result<void> rename(const Path& from, const Path& to) override {
    return inner_->rename(from, to);
  }
  Result<void> remove(const Path& path) override { return inner_->remove(path); }
  Result<void> make_folder(const Path& folder) override { return inner_->make_folder(folder); }
  Result<std::vector<FolderEntry>> list(const Path& folder) override {
    return inner_->list(folder);
  }
  Result<std::optional<TimePoint>> modified_at(const Path& path) override {
    return inner_->modified_at(path);
  }
  Result<void> check_private(const Path& path) override { return inner_->check_private(path); }
  Result<void> check_local(const Path& path) override { return inner_->check_local(path); }

 private:
  std::shared_ptr<FileSystem> inner_;
};

}  // namespace

std::shared_ptr<FileSystem> without_sync(std::shared_ptr<FileSystem> inner) {
  return std::make_shared<UnsyncedFileSystem>(std::move(inner));
}

}  // namespace latchkey::test
