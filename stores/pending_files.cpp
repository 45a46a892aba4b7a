// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
module latchkey.store.pending_files;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.os.files;
import latchkey.core.os.locks;
import latchkey.core.secret;
import latchkey.core.time;
import latchkey.store;
import latchkey.store.backend;
import latchkey.store.file_names;
import latchkey.store.record_file;
import latchkey.store.staging;

namespace latchkey {
namespace {

constexpr std::string_view kLock = "\npending";  // a name that no subject can have

}  // namespace

PendingFiles::PendingFiles(std::shared_ptr<FileSystem> files, std::shared_ptr<Clock> clock,
                           std::shared_ptr<LockFile> locks, std::filesystem::path folder)
    : files_(std::move(files)),
      clock_(std::move(clock)),
      locks_(std::move(locks)),
      folder_(std::move(folder)) {}

Result<void> PendingFiles::save(const PendingRecord& pending, TimePoint now) const {
  if (auto fine = check_pending(pending); !fine) return fine;
  const auto lock = take_write_lock(*locks_, *clock_, kLock);
  if (!lock) return lock.error();
  const auto entries = files_->list(folder_);
  if (!entries) return entries.error();
  const auto digest = hex_encode(*base64url_decode(pending.key));
  for (const auto& entry : *entries) {
    const auto name = parse_pending_file_name(entry.name);
    if (!name) continue;
    if (now >= name->expires_at) {
      static_cast<void>(files_->remove(folder_ / entry.name));  // the next login tries again
    } else if (name->digest == digest) {
      return pending_exists();
    }
  }
  return replace_owned(files_, folder_ / pending_file_name({digest, pending.expires_at}),
                       staging_name(kLock, StagingPlace::write), encode_pending_file(pending));
}

Result<std::optional<PendingRecord>> PendingFiles::read(const std::filesystem::path& path) const {
  if (auto checked = files_->check_private(path); !checked) return std::move(checked).error();
  const auto bytes = files_->read(path, kMaxRecordFile);
  if (!bytes) return bytes.error();
  if (!*bytes) return std::optional<PendingRecord>();
  auto pending = decode_pending_file(as_text((*bytes)->expose()));
  if (!pending) return std::move(pending).error();
  return std::optional<PendingRecord>(std::move(*pending));
}

Result<std::optional<PendingRecord>> PendingFiles::take(std::string_view key, TimePoint now) const {
  const auto decoded = base64url_decode(key);
  if (!decoded) return std::optional<PendingRecord>();
  const auto digest = hex_encode(*decoded);
  const auto lock = take_write_lock(*locks_, *clock_, kLock);
  if (!lock) return lock.error();
  const auto entries = files_->list(folder_);
  if (!entries) return entries.error();
  const auto found = std::find_if(entries->begin(), entries->end(), [&](const FolderEntry& entry) {
    const auto name = parse_pending_file_name(entry.name);
    return name && name->digest == digest;
  });
  if (found == entries->end()) return std::optional<PendingRecord>();
  const auto path = folder_ / found->name;
  auto pending = read(path);
  if (!pending || !*pending) return pending;
  if ((*pending)->key != key) {
    return make_error(ErrorCode::corrupt, "pending.swapped",
                      "cannot read the pending login " + printable(path.native(), 300) +
                          ": it is another one's; remove the file and begin the login again");
  }
  // Gone for good before anybody uses it, also across a power cut.
  if (auto removed = files_->remove(path); !removed) return std::move(removed).error();
  if (auto durable = files_->sync_folder(folder_); !durable) return std::move(durable).error();
  if (now < (*pending)->expires_at) return pending;
  return std::optional<PendingRecord>();
}

Result<std::size_t> PendingFiles::sweep(TimePoint now) const {
  const auto lock = take_write_lock(*locks_, *clock_, kLock);
  if (!lock) return lock.error();
  const auto entries = files_->list(folder_);
  if (!entries) return entries.error();
  std::size_t swept = 0;
  for (const auto& entry : *entries) {
    const auto name = parse_pending_file_name(entry.name);
    if (!name || now < name->expires_at) continue;
    if (auto removed = files_->remove(folder_ / entry.name); !removed) {
      return std::move(removed).error();
    }
    ++swept;
  }
  return swept;
}

Result<std::vector<ListedPending>> PendingFiles::list() const {
  const auto entries = files_->list(folder_);
  if (!entries) return entries.error();
  std::vector<ListedPending> rows;
  for (const auto& entry : *entries) {
    if (entry.name.starts_with(kTemporaryPrefix)) continue;
    ListedPending row{.name = entry.name, .pending = {}, .error = {}};
    auto pending = read(folder_ / entry.name);
    if (pending && !*pending) continue;  // taken since the folder was read
    if (pending) {
      row.name = (*pending)->key;
      row.pending = std::move(*pending);
    } else {
      row.error = std::move(pending).error();
    }
    rows.push_back(std::move(row));
  }
  return rows;
}

}  // namespace latchkey
