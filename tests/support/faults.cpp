// SPDX-License-Identifier: MIT
module;
#include <cstddef>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <utility>
#include <vector>
module latchkey.test.faults;
import latchkey.core.error;
import latchkey.core.os.files;
import latchkey.core.secret;
import latchkey.core.time;

namespace latchkey::test {

class FaultyFileSystem::Plan {
 public:
  void at(std::size_t n, bool onwards, Error error) {
    const std::scoped_lock lock(mutex_);
    first_ = changes_ + n;
    onwards_ = onwards;
    error_ = std::move(error);
  }
  void every(FileOperation operation, Error error) {
    const std::scoped_lock lock(mutex_);
    every_.insert_or_assign(operation, std::move(error));
  }
  void heal() {
    const std::scoped_lock lock(mutex_);
    error_.reset();
    every_.clear();
  }
  [[nodiscard]] std::size_t changes() const {
    const std::scoped_lock lock(mutex_);
    return changes_;
  }
  // Counts the operation, and says how it must fail.
  [[nodiscard]] std::optional<Error> fault(FileOperation operation) {
    const std::scoped_lock lock(mutex_);
    const bool changing = operation < FileOperation::read;
    if (changing) ++changes_;
    if (const auto found = every_.find(operation); found != every_.end()) return found->second;
    if (changing && error_ && (onwards_ ? changes_ >= first_ : changes_ == first_)) return error_;
    return std::nullopt;
  }

 private:
  mutable std::mutex mutex_;
  std::size_t changes_ = 0, first_ = 0;
  bool onwards_ = false;
  std::optional<Error> error_;
  std::map<FileOperation, Error> every_;
};

namespace {

class FaultyFile final : public WritableFile {
 public:
  FaultyFile(std::unique_ptr<WritableFile> inner, std::shared_ptr<FaultyFileSystem::Plan> plan)
      : inner_(std::move(inner)), plan_(std::move(plan)) {}

  Result<void> allocate(std::size_t size) override {
    if (auto fault = plan_->fault(FileOperation::allocate)) return *fault;
    return inner_->allocate(size);
  }
  Result<void> write(std::span<const unsigned char> bytes) override {
    auto fault = plan_->fault(FileOperation::write);
    if (!fault) return inner_->write(bytes);
    if (auto half = inner_->write(bytes.first(bytes.size() / 2)); !half) return half;
    return *fault;
  }
  Result<void> sync() override {
    if (auto fault = plan_->fault(FileOperation::sync_file)) return *fault;
    return inner_->sync();
  }

 private:
  std::unique_ptr<WritableFile> inner_;
  std::shared_ptr<FaultyFileSystem::Plan> plan_;
};

}  // namespace

Error no_space() {
  return make_error(ErrorCode::io, "io.no_space", "cannot write: the test filled the disk");
}

Error read_only() {
  return make_error(ErrorCode::io, "io.read_only",
                    "cannot write: the test made the disk read-only");
}

FaultyFileSystem::FaultyFileSystem(std::shared_ptr<FileSystem> inner)
    : inner_(std::move(inner)), plan_(std::make_shared<Plan>()) {}
FaultyFileSystem::~FaultyFileSystem() {}

void FaultyFileSystem::fail_nth(std::size_t n, Error error) {
  plan_->at(n, false, std::move(error));
}
void FaultyFileSystem::fail_from(std::size_t n, Error error) {
  plan_->at(n, true, std::move(error));
}
void FaultyFileSystem::fail_every(FileOperation operation, Error error) {
  plan_->every(operation, std::move(error));
}
void FaultyFileSystem::heal() {
  plan_->heal();
}
std::size_t FaultyFileSystem::changes() const {
  return plan_->changes();
}

Result<std::optional<SecretBytes>> FaultyFileSystem::read(const std::filesystem::path& path,
                                                          std::size_t max_size) {
  if (auto fault = plan_->fault(FileOperation::read)) return *fault;
  return inner_->read(path, max_size);
}

Result<std::unique_ptr<WritableFile>> FaultyFileSystem::create(const std::filesystem::path& path) {
  if (auto fault = plan_->fault(FileOperation::create)) return *fault;
  auto file = inner_->create(path);
  if (!file) return file;
  return std::unique_ptr<WritableFile>(std::make_unique<FaultyFile>(std::move(*file), plan_));
}

Result<void> FaultyFileSystem::rename(const std::filesystem::path& from,
                                      const std::filesystem::path& to) {
  if (auto fault = plan_->fault(FileOperation::rename)) return *fault;
  return inner_->rename(from, to);
}

Result<void> FaultyFileSystem::remove(const std::filesystem::path& path) {
  if (auto fault = plan_->fault(FileOperation::remove)) return *fault;
  return inner_->remove(path);
}

Result<void> FaultyFileSystem::sync_folder(const std::filesystem::path& folder) {
  if (auto fault = plan_->fault(FileOperation::sync_folder)) return *fault;
  return inner_->sync_folder(folder);
}

Result<void> FaultyFileSystem::make_folder(const std::filesystem::path& folder) {
  if (auto fault = plan_->fault(FileOperation::make_folder)) return *fault;
  return inner_->make_folder(folder);
}

Result<std::vector<FolderEntry>> FaultyFileSystem::list(const std::filesystem::path& folder) {
  if (auto fault = plan_->fault(FileOperation::list)) return *fault;
  return inner_->list(folder);
}

Result<std::optional<TimePoint>> FaultyFileSystem::modified_at(const std::filesystem::path& path) {
  if (auto fault = plan_->fault(FileOperation::modified_at)) return *fault;
  return inner_->modified_at(path);
}

Result<void> FaultyFileSystem::check_private(const std::filesystem::path& path) {
  if (auto fault = plan_->fault(FileOperation::check_private)) return *fault;
  return inner_->check_private(path);
}

Result<void> FaultyFileSystem::check_local(const std::filesystem::path& path) {
  if (auto fault = plan_->fault(FileOperation::check_local)) return *fault;
  return inner_->check_local(path);
}

}  // namespace latchkey::test
