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

ForwardingStore::ForwardingStore(std::shared_ptr<OAuthTokenStore> inner)
    : OAuthTokenStore(std::shared_ptr<Sealer>(inner, &inner->sealer())), inner_(std::move(inner)) {}

Result<std::optional<SealedRecord>> ForwardingStore::load_record(std::string_view subject) {
  return inner().load_record(subject);
}
Result<void> ForwardingStore::save_record(const SealedRecord& record, Revision expected) {
  return inner().save_record(record, expected);
}
Result<void> ForwardingStore::remove(std::string_view subject, Revision expected) {
  return inner().remove(subject, expected);
}
Result<SessionPage> ForwardingStore::list(std::string_view cursor, std::size_t limit) {
  return inner().list(cursor, limit);
}
Result<std::unique_ptr<Lease>> ForwardingStore::lease(std::string_view subject,
                                                      const LockWait& wait) {
  return inner().lease(subject, wait);
}
Result<void> ForwardingStore::reserve_room(std::string_view subject, std::size_t size) {
  return inner().reserve_room(subject, size);
}
void ForwardingStore::release_room(std::string_view subject) noexcept {
  inner().release_room(subject);
}
Result<void> ForwardingStore::save_claim(const RefreshClaim& claim) {
  return inner().save_claim(claim);
}
Result<std::optional<RefreshClaim>> ForwardingStore::load_claim(std::string_view subject) {
  return inner().load_claim(subject);
}
Result<void> ForwardingStore::clear_claim(std::string_view subject, std::uint64_t id) {
  return inner().clear_claim(subject, id);
}
std::optional<std::string> ForwardingStore::load_nonce(std::string_view origin,
                                                       std::string_view jkt) {
  return inner().load_nonce(origin, jkt);
}
void ForwardingStore::save_nonce(std::string_view origin, std::string_view jkt,
                                 std::string_view nonce) {
  inner().save_nonce(origin, jkt, nonce);
}
Result<void> ForwardingStore::save_pending(const PendingRecord& pending, TimePoint now) {
  return inner().save_pending(pending, now);
}
Result<SideRecords> ForwardingStore::side_records() {
  return inner().side_records();
}
Result<Quarantined> ForwardingStore::quarantine(std::string_view name) {
  return inner().quarantine(name);
}
Result<std::vector<Quarantined>> ForwardingStore::quarantined() {
  return inner().quarantined();
}
Result<std::optional<PendingRecord>> ForwardingStore::take_pending(std::string_view key,
                                                                   TimePoint now) {
  return inner().take_pending(key, now);
}
std::uint64_t ForwardingStore::change_count(std::string_view subject) const noexcept {
  return inner().change_count(subject);
}

}  // namespace latchkey::test
