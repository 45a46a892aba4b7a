// SPDX-License-Identifier: MIT
module;
#include <cstddef>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>
module latchkey.test.disk;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.os.files;
import latchkey.core.secret;
import latchkey.core.time;
import latchkey.test.folder;

namespace latchkey::test {

using Path = std::filesystem::path;
using Kind = DiskChange::Kind;

class RecordingFileSystem::Record {
 public:
  explicit Record(Path root) : root_(std::move(root)) {
    for (const auto& entry : std::filesystem::recursive_directory_iterator(root_)) {
      auto& contents = initial_[name_of(entry.path()).value()];
      if (entry.is_regular_file()) contents = read_text(entry.path());
    }
  }

  // Relative to the root; the root itself is "".
  [[nodiscard]] std::optional<std::string> name_of(const Path& path) const {
    const auto name = path.lexically_normal().lexically_relative(root_.lexically_normal()).string();
    if (name.empty() || name.starts_with("..")) return std::nullopt;
    return name == "." ? std::string() : name;
  }

  std::size_t next_file() { return files_++; }
  void add(DiskChange change) { changes_.push_back(std::move(change)); }

  // Held around an operation and its note, so that the order noted is the order done.
  std::recursive_mutex mutex;
  [[nodiscard]] const std::vector<DiskChange>& changes() const { return changes_; }
  [[nodiscard]] const auto& initial() const { return initial_; }

 private:
  Path root_;
  std::map<std::string, std::optional<std::string>> initial_;
  std::vector<DiskChange> changes_;
  std::size_t files_ = 0;
};

namespace {

class RecordingFile final : public WritableFile {
 public:
  RecordingFile(std::unique_ptr<WritableFile> inner,
                std::shared_ptr<RecordingFileSystem::Record> record, std::string name,
                std::size_t file)
      : inner_(std::move(inner)), record_(std::move(record)), name_(std::move(name)), file_(file) {}

  Result<void> allocate(std::size_t size) override {
    const std::scoped_lock lock(record_->mutex);
    auto result = inner_->allocate(size);
    if (result) record_->add({.kind = Kind::allocate, .path = name_, .file = file_, .size = size});
    return result;
  }
  Result<void> write(std::span<const unsigned char> bytes) override {
    const std::scoped_lock lock(record_->mutex);
    auto result = inner_->write(bytes);
    if (!result) return result;
    record_->add(
        {.kind = Kind::write, .path = name_, .file = file_, .bytes = std::string(as_text(bytes))});
    return result;
  }
  Result<void> sync() override {
    const std::scoped_lock lock(record_->mutex);
    auto result = inner_->sync();
    if (result) record_->add({.kind = Kind::sync_file, .path = name_, .file = file_});
    return result;
  }

 private:
  std::unique_ptr<WritableFile> inner_;
  std::shared_ptr<RecordingFileSystem::Record> record_;
  std::string name_;
  std::size_t file_;
};

}  // namespace

std::string to_string(const DiskChange& change) {
  switch (change.kind) {
    case Kind::create:
      return "create " + change.path;
    case Kind::allocate:
      return "allocate " + change.path + ' ' + std::to_string(change.size);
    case Kind::write:
      return "write " + change.path + ' ' + std::to_string(change.bytes.size());
    case Kind::sync_file:
      return "sync " + change.path;
    case Kind::rename:
      return "rename " + change.path + " -> " + change.to;
    case Kind::remove:
      return "remove " + change.path;
    case Kind::sync_folder:
      return "sync folder " + change.path;
    case Kind::make_folder:
      return "make folder " + change.path;
  }
  return {};
}

RecordingFileSystem::RecordingFileSystem(std::shared_ptr<FileSystem> inner, Path root)
    : inner_(std::move(inner)), record_(std::make_shared<Record>(std::move(root))) {}
RecordingFileSystem::~RecordingFileSystem() {}

std::size_t RecordingFileSystem::changes() const {
  const std::scoped_lock lock(record_->mutex);
  return record_->changes().size();
}

std::vector<std::string> RecordingFileSystem::log() const {
  const std::scoped_lock lock(record_->mutex);
  std::vector<std::string> lines;
  for (const auto& change : record_->changes()) lines.push_back(to_string(change));
  return lines;
}

std::vector<CrashState> RecordingFileSystem::crash_states() const {
  const std::scoped_lock lock(record_->mutex);
  return simulate_crashes(record_->initial(), record_->changes());
}

Result<std::unique_ptr<WritableFile>> RecordingFileSystem::create(const Path& path) {
  const std::scoped_lock lock(record_->mutex);
  auto file = inner_->create(path);
  const auto name = record_->name_of(path);
  if (!file || !name) return file;
  const auto number = record_->next_file();
  record_->add({.kind = Kind::create, .path = *name, .file = number});
  return std::unique_ptr<WritableFile>(
      std::make_unique<RecordingFile>(std::move(*file), record_, *name, number));
}

Result<void> RecordingFileSystem::rename(const Path& from, const Path& to) {
  const std::scoped_lock lock(record_->mutex);
  auto result = inner_->rename(from, to);
  const auto old_name = record_->name_of(from), new_name = record_->name_of(to);
  if (result && old_name && new_name) {
    record_->add({.kind = Kind::rename, .path = *old_name, .to = *new_name});
  }
  return result;
}

Result<void> RecordingFileSystem::remove(const Path& path) {
  const std::scoped_lock lock(record_->mutex);
  auto result = inner_->remove(path);
  const auto name = record_->name_of(path);
  if (result && name) record_->add({.kind = Kind::remove, .path = *name});
  return result;
}

Result<void> RecordingFileSystem::sync_folder(const Path& folder) {
  const std::scoped_lock lock(record_->mutex);
  auto result = inner_->sync_folder(folder);
  const auto name = record_->name_of(folder);
  if (result && name) record_->add({.kind = Kind::sync_folder, .path = *name});
  return result;
}

Result<void> RecordingFileSystem::make_folder(const Path& folder) {
  const std::scoped_lock lock(record_->mutex);
  std::vector<Path> missing;
  for (auto at = folder.lexically_normal(); !std::filesystem::exists(at); at = at.parent_path()) {
    missing.push_back(at);
  }
  auto result = inner_->make_folder(folder);
  if (!result) return result;
  for (auto it = missing.rbegin(); it != missing.rend(); ++it) {
    if (const auto name = record_->name_of(*it)) {
      record_->add({.kind = Kind::make_folder, .path = *name});
    }
  }
  return result;
}

Result<std::optional<SecretBytes>> RecordingFileSystem::read(const Path& path,
                                                             std::size_t max_size) {
  return inner_->read(path, max_size);
}
Result<std::vector<FolderEntry>> RecordingFileSystem::list(const Path& folder) {
  return inner_->list(folder);
}
Result<std::optional<TimePoint>> RecordingFileSystem::modified_at(const Path& path) {
  return inner_->modified_at(path);
}
Result<void> RecordingFileSystem::check_private(const Path& path) {
  return inner_->check_private(path);
}
Result<void> RecordingFileSystem::check_local(const Path& path) {
  return inner_->check_local(path);
}

}  // namespace latchkey::test
