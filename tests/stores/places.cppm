// SPDX-License-Identifier: MIT
module;
#include <filesystem>
#include <memory>
#include <string_view>
#include <vector>
export module latchkey.test.places;
import latchkey.core.error;
import latchkey.core.os.files;
import latchkey.core.time;
import latchkey.store;
import latchkey.store.vault;
import latchkey.test.conformance;
import latchkey.test.disk;
import latchkey.test.folder;

// Our own backends as places for the conformance rules.

export namespace latchkey::test {

class MemoryPlace : public StorePlace {
 public:
  MemoryPlace() : MemoryPlace(std::make_shared<SystemClock>()) {}
  explicit MemoryPlace(std::shared_ptr<Clock> clock);
  [[nodiscard]] Result<std::shared_ptr<OAuthTokenStore>> open() override { return store_; }
  [[nodiscard]] std::shared_ptr<Clock> clock() override { return clock_; }

 private:
  std::shared_ptr<Clock> clock_;
  std::shared_ptr<OAuthTokenStore> store_;
};

/// Records what happens to its files, and so knows what a power cut leaves.
class FilePlace : public StorePlace {
 public:
  /// `wrap` puts a decorator between the store and the recorded file system.
  using Wrap = std::shared_ptr<FileSystem> (*)(std::shared_ptr<FileSystem>);
  explicit FilePlace(Wrap wrap = nullptr);
  [[nodiscard]] Result<std::shared_ptr<OAuthTokenStore>> open() override;
  [[nodiscard]] bool damage(std::string_view subject) override;
  [[nodiscard]] std::vector<std::unique_ptr<StorePlace>> after_power_cut() override;

  [[nodiscard]] std::filesystem::path folder() const { return folder_.path() / "store"; }
  [[nodiscard]] std::filesystem::path session_file(std::string_view subject) const;
  [[nodiscard]] RecordingFileSystem& recording() { return *recording_; }
  /// Over what is left by one power cut.
  FilePlace(TemporaryFolder folder, std::shared_ptr<Sealer> sealer);

 private:
  TemporaryFolder folder_;
  std::shared_ptr<RecordingFileSystem> recording_;
  std::shared_ptr<FileSystem> files_;
  std::shared_ptr<Sealer> sealer_;
};

class SqlitePlace : public StorePlace {
 public:
  SqlitePlace();
  [[nodiscard]] Result<std::shared_ptr<OAuthTokenStore>> open() override;
  [[nodiscard]] bool damage(std::string_view subject) override;
  [[nodiscard]] std::filesystem::path database() const { return folder_.path() / "sessions.db"; }

 private:
  TemporaryFolder folder_;
  std::shared_ptr<Sealer> sealer_;
};

}  // namespace latchkey::test
