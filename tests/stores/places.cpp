// SPDX-License-Identifier: MIT
module;
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
module latchkey.test.places;
import latchkey.core.error;
import latchkey.core.os.files;
import latchkey.core.time;
import latchkey.store;
import latchkey.store.file_names;
import latchkey.store.filesystem;
import latchkey.store.memory;
import latchkey.store.sqlite;
import latchkey.store.sqlite_connection;
import latchkey.store.vault;
import latchkey.test.conformance;
import latchkey.test.disk;
import latchkey.test.folder;

namespace latchkey::test {

MemoryPlace::MemoryPlace(std::shared_ptr<Clock> clock)
    : clock_(std::move(clock)),
      store_(MemoryOAuthTokenStore::create(memory_vault()->sealer(), clock_)) {}

FilePlace::FilePlace(Wrap wrap) : FilePlace(TemporaryFolder(), memory_vault()->sealer()) {
  if (wrap != nullptr) files_ = wrap(files_);
}

FilePlace::FilePlace(TemporaryFolder folder, std::shared_ptr<Sealer> sealer)
    : folder_(std::move(folder)),
      recording_(std::make_shared<RecordingFileSystem>(posix_file_system(), folder_.path())),
      files_(recording_),
      sealer_(std::move(sealer)) {}

Result<std::shared_ptr<OAuthTokenStore>> FilePlace::open() {
  return FilesystemOAuthTokenStore::open(folder(), sealer_, {.files = files_});
}

std::filesystem::path FilePlace::session_file(std::string_view subject) const {
  return folder() / "sessions" / session_file_name(subject);
}

bool FilePlace::damage(std::string_view subject) {
  write_text(session_file(subject), "{}");
  return true;
}

std::vector<std::unique_ptr<StorePlace>> FilePlace::after_power_cut() {
  std::vector<std::unique_ptr<StorePlace>> places;
  for (const auto& state : recording_->crash_states()) {
    if (state.changes != recording_->changes()) continue;
    places.push_back(std::make_unique<FilePlace>(state.materialise(), sealer_));
  }
  return places;
}

SqlitePlace::SqlitePlace() : sealer_(memory_vault()->sealer()) {}

Result<std::shared_ptr<OAuthTokenStore>> SqlitePlace::open() {
  return SqliteOAuthTokenStore::open(database(), sealer_);
}

bool SqlitePlace::damage(std::string_view subject) {
  const auto connection = SqliteConnection::open(database());
  if (!connection) return false;
  auto change = (*connection)->query("UPDATE sessions SET state = 'asleep' WHERE subject = ?1");
  return change && change->text(1, subject).run() && change->changes() == 1;
}

}  // namespace latchkey::test
