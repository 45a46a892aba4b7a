// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>

import latchkey.core.os.files;
import latchkey.core.os.locks;
import latchkey.core.time;
import latchkey.store.nonce_files;
import latchkey.test.disk;
import latchkey.test.faults;
import latchkey.test.folder;

using namespace latchkey;
using namespace latchkey::test;

namespace {

struct Setting {
  TemporaryFolder folder{};
  std::shared_ptr<Clock> clock = std::make_shared<SystemClock>();
  std::shared_ptr<LockFile> locks = LockFile::open(folder.path() / "lock", clock).value();
  std::filesystem::path nonces = make(folder.path() / "nonces");

  static std::filesystem::path make(std::filesystem::path path) {
    posix_file_system()->make_folder(path).value();
    return path;
  }
  NonceFiles over(std::shared_ptr<FileSystem> files) {
    return NonceFiles(std::move(files), clock, locks, nonces);
  }
};

}  // namespace

TEST_CASE("nonce files: are 0600 and never synced", "[store]") {
  Setting setting;
  const auto recording =
      std::make_shared<RecordingFileSystem>(posix_file_system(), setting.folder.path());
  const auto nonces = setting.over(recording);
  nonces.save("https://a.example", "key", "nonce");
  CHECK(nonces.load("https://a.example", "key") == "nonce");
  const auto names = names_in(setting.nonces);
  REQUIRE(names.size() == 1);
  CHECK(mode_of(setting.nonces / names[0]) == 0600);
  for (const auto& change : recording->log()) CHECK(change.find("sync") == std::string::npos);
}

TEST_CASE("nonce files: never become more than the slots", "[store]") {
  Setting setting;
  const auto nonces = setting.over(posix_file_system());
  for (int i = 0; i < 50; ++i)
    nonces.save("https://a.example", "key", "nonce " + std::to_string(i));
  CHECK(names_in(setting.nonces).size() == 1);
}

TEST_CASE("nonce files: what cannot be read, written or is another's is absent", "[store]") {
  Setting setting;
  const auto nonces = setting.over(posix_file_system());
  nonces.save("https://a.example", "key", "nonce");
  const auto file = setting.nonces / names_in(setting.nonces).at(0);
  for (const auto* text : {"", "{}", "[1,2,3]", "[\"https://a.example\",\"key\"]",
                           "[\"https://b.example\",\"key\",\"n\"]"}) {
    write_text(file, text);
    CHECK(!nonces.load("https://a.example", "key"));
  }
  nonces.save("https://a.example", "key", "\xFF");
  nonces.save("https://a.example", "key", std::string(10'000, 'x'));
  CHECK(!nonces.load("https://a.example", "key"));
}

TEST_CASE("nonce files: a full disk and a lock that is held are ignored", "[store]") {
  Setting setting;
  const auto faulty = std::make_shared<FaultyFileSystem>(posix_file_system());
  const auto nonces = setting.over(faulty);
  faulty->fail_every(FileOperation::write, no_space());
  nonces.save("https://a.example", "key", "nonce");
  CHECK(!nonces.load("https://a.example", "key"));
  faulty->heal();
  nonces.save("https://a.example", "key", "nonce");
  CHECK(nonces.load("https://a.example", "key") == "nonce");
}
