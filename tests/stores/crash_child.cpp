// SPDX-License-Identifier: MIT
#include <sqlite3.h>
#include <sys/resource.h>
#include <unistd.h>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

import latchkey.core.error;
import latchkey.core.os.files;
import latchkey.core.os.locks;
import latchkey.core.secret;
import latchkey.core.time;
import latchkey.session;
import latchkey.store;
import latchkey.store.filesystem;
import latchkey.store.record;
import latchkey.store.sqlite;
import latchkey.store.sqlite_connection;
import latchkey.store.vault;
import latchkey.test.outcome;
import latchkey.test.rules;

// A process that changes a store and kills itself at the n-th change of the disk, and other things
// that a test needs another process for. See crash_test.cpp and sqlite_test.cpp.

using namespace latchkey;
using namespace latchkey::test;
namespace fs = std::filesystem;

namespace {

std::atomic<long> steps_left = 0;  // 0: not counting

void step() {
  if (steps_left > 0 && --steps_left == 0) std::raise(SIGKILL);
}

class DyingFile final : public WritableFile {
 public:
  explicit DyingFile(std::unique_ptr<WritableFile> inner) : inner_(std::move(inner)) {}
  Result<void> allocate(std::size_t size) override { return step(), inner_->allocate(size); }
  Result<void> write(std::span<const unsigned char> bytes) override {
    step();
    auto half = inner_->write(bytes.first(bytes.size() / 2));
    step();
    return half ? inner_->write(bytes.subspan(bytes.size() / 2)) : half;
  }
  Result<void> sync() override { return step(), inner_->sync(); }

 private:
  std::unique_ptr<WritableFile> inner_;
};

class DyingFileSystem final : public FileSystem {
 public:
  Result<std::unique_ptr<WritableFile>> create(const fs::path& path) override {
    step();
    auto file = inner_->create(path);
    if (!file) return file;
    return std::unique_ptr<WritableFile>(std::make_unique<DyingFile>(std::move(*file)));
  }
  Result<void> rename(const fs::path& from, const fs::path& to) override {
    return step(), inner_->rename(from, to);
  }
  Result<void> remove(const fs::path& path) override { return step(), inner_->remove(path); }
  Result<void> sync_folder(const fs::path& folder) override {
    return step(), inner_->sync_folder(folder);
  }
  Result<void> make_folder(const fs::path& folder) override {
    return step(), inner_->make_folder(folder);
  }
  Result<std::optional<SecretBytes>> read(const fs::path& path, std::size_t max) override {
    return inner_->read(path, max);
  }
  Result<std::vector<FolderEntry>> list(const fs::path& folder) override {
    return inner_->list(folder);
  }
  Result<std::optional<TimePoint>> modified_at(const fs::path& path) override {
    return inner_->modified_at(path);
  }
  Result<void> check_private(const fs::path& path) override { return inner_->check_private(path); }
  Result<void> check_local(const fs::path& path) override { return inner_->check_local(path); }

 private:
  std::shared_ptr<FileSystem> inner_ = posix_file_system();
};

// SQLite's own writes, by replacing the system calls of its default VFS.
using Pwrite = ssize_t (*)(int, const void*, size_t, off_t);
Pwrite real_pwrite = nullptr;
ssize_t dying_pwrite(int file, const void* bytes, size_t size, off_t offset) {
  step();
  return real_pwrite(file, bytes, size, offset);
}

void watch_sqlite() {
  auto* const vfs = sqlite3_vfs_find(nullptr);
  for (const char* name : {"pwrite", "pwrite64"}) {
    const auto real = vfs->xGetSystemCall(vfs, name);
    if (real == nullptr) continue;
    real_pwrite = reinterpret_cast<Pwrite>(real);
    vfs->xSetSystemCall(vfs, name, reinterpret_cast<sqlite3_syscall_ptr>(dying_pwrite));
  }
}

Store open_store(std::string_view kind, const fs::path& path) {
  auto files = std::make_shared<DyingFileSystem>();
  if (kind == "files")
    return FilesystemOAuthTokenStore::open(path, store_sessions_unsealed(), {.files = files})
        .value();
  watch_sqlite();
  return SqliteOAuthTokenStore::open(path, store_sessions_unsealed(), {.files = files}).value();
}

void say(const std::string& line) {
  std::cout << line << std::endl;
}

LockWait soon() {
  return {.deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10)};
}

// One refresh as the keeper does it, and a logout.
void refresh_and_log_out(std::string_view kind, const fs::path& path, long steps,
                         bool from_the_start) {
  if (from_the_start) steps_left = steps;
  const auto store = open_store(kind, path);
  if (from_the_start) put(*store, kAlice, 1).value();
  say("opened");
  steps_left = steps;
  const auto held = store->lease(kAlice, soon()).value();
  store->reserve_room(kAlice, 4096).value();
  store->save_claim({.subject = std::string(kAlice), .revision = {1}, .id = 1, .host = {}}).value();
  say("claimed");
  put(*store, kAlice, 2, {1}).value();
  say("saved");
  store->remove(kAlice, {2}).value();
  say("removed");
}

void try_to_write(const fs::path& database) {
  const auto connection = SqliteConnection::open(database).value();
  connection->execute("PRAGMA busy_timeout = 0").value();
  say(outcome(SqliteTransaction::begin(*connection)));
}

// From here on the log does not grow any more.
void fill_disk(const fs::path& database) {
  const auto size = fs::file_size(fs::path(database) += "-wal");
  std::signal(SIGXFSZ, SIG_IGN);
  const rlimit limit{size, size};
  if (setrlimit(RLIMIT_FSIZE, &limit) != 0) std::abort();
}

void save_on_full_disk(const fs::path& database, bool with_room) {
  const auto store = open_store("sqlite", database);
  put(*store, kAlice, 1).value();
  auto record = record_of(kAlice, 2);
  record.box.resize(50'000);
  const auto held = store->lease(kAlice, soon()).value();
  // The worst case: a log that has nothing to spare.
  SqliteConnection::open(database).value()->execute("PRAGMA wal_checkpoint(TRUNCATE)").value();
  if (with_room) store->reserve_room(kAlice, 50'000).value();
  store->save_claim({.subject = std::string(kAlice), .revision = {1}, .id = 1, .host = {}}).value();
  fill_disk(database);
  say(outcome(store->save_record(record, {1})));
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> words(argv + 1, argv + argc);
  if (words.at(0) == "write") {
    try_to_write(words.at(1));
  } else if (words.at(0) == "full" || words.at(0) == "full-without-room") {
    save_on_full_disk(words.at(1), words.at(0) == "full");
  } else {
    refresh_and_log_out(words.at(0), words.at(1), std::stol(words.at(2)), words.at(3) == "new");
  }
}
