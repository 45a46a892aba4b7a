// SPDX-License-Identifier: MIT
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>
#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <cstddef>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

import latchkey.core;
import latchkey.test.support;

using namespace latchkey;
using namespace latchkey::test;

namespace {

struct Files {
  TemporaryFolder folder;
  std::shared_ptr<FileSystem> files = posix_file_system();
  [[nodiscard]] std::filesystem::path at(std::string_view name) const {
    return folder.path() / name;
  }
};

// The umask for as long as it lives.
class Umask {
 public:
  explicit Umask(mode_t mask) : before_(umask(mask)) {}
  Umask(const Umask&) = delete;
  Umask& operator=(const Umask&) = delete;
  ~Umask() { umask(before_); }

 private:
  mode_t before_;
};

}  // namespace

TEST_CASE("create: the file is 0600 whatever the umask allows", "[files]") {
  const Files f;
  const Umask open_to_all(0);
  const auto file = f.files->create(f.at("a"));
  REQUIRE(outcome(file) == "ok");
  CHECK(mode_of(f.at("a")) == 0600);
}

TEST_CASE("create: a name that is taken is a conflict, also by a link to nowhere", "[files]") {
  const Files f;
  write_text(f.at("file"), "old");
  std::filesystem::create_directory(f.at("folder"));
  std::filesystem::create_symlink(f.at("nowhere"), f.at("link"));
  for (const std::string_view name : {"file", "folder", "link"}) {
    INFO(name);
    CHECK(outcome(f.files->create(f.at(name))) == "conflict file.exists");
  }
  CHECK(read_text(f.at("file")) == "old");
  CHECK_FALSE(std::filesystem::exists(f.at("nowhere")));
}

TEST_CASE("create: needs a folder to be in", "[files]") {
  const Files f;
  write_text(f.at("file"), "");
  CHECK(outcome(f.files->create(f.at("absent/a"))) == "io io.failed");
  CHECK(outcome(f.files->create(f.at("file/a"))) == "insecure_location location.not_a_folder");
}

TEST_CASE("create: says when too many files are open", "[files]") {
  const Files f;
  // UBSan's check of an object's type needs a descriptor the first time: let that be now.
  REQUIRE(f.files->list(f.folder.path()));
  rlimit before{};
  REQUIRE(getrlimit(RLIMIT_NOFILE, &before) == 0);
  const rlimit none{0, before.rlim_max};
  REQUIRE(setrlimit(RLIMIT_NOFILE, &none) == 0);
  const auto created = outcome(f.files->create(f.at("a")));
  const auto read = outcome(f.files->read(f.at("a"), 1));
  const auto synced = outcome(f.files->sync_folder(f.folder.path()));
  REQUIRE(setrlimit(RLIMIT_NOFILE, &before) == 0);
  CHECK(created == "io io.too_many_files");
  CHECK(read == "io io.too_many_files");
  CHECK(synced == "io io.too_many_files");
}

TEST_CASE("write: appends, and sync keeps exactly what was written", "[files]") {
  const Files f;
  auto file = f.files->create(f.at("a")).value();
  CHECK(outcome(file->write(as_bytes("one "))) == "ok");
  CHECK(outcome(file->write({})) == "ok");
  CHECK(outcome(file->write(as_bytes("two"))) == "ok");
  CHECK(outcome(file->sync()) == "ok");
  CHECK(read_text(f.at("a")) == "one two");
  CHECK(outcome(file->write(as_bytes("!"))) == "ok");
  CHECK(outcome(file->sync()) == "ok");
  CHECK(read_text(f.at("a")) == "one two!");
}

TEST_CASE("allocate: sync cuts off the room that was not needed", "[files]") {
  const Files f;
  auto file = f.files->create(f.at("a")).value();
  REQUIRE(outcome(file->allocate(100'000)) == "ok");
  struct stat status{};
  REQUIRE(stat(f.at("a").c_str(), &status) == 0);
  CHECK(status.st_blocks * 512 >= 100'000);
  REQUIRE(outcome(file->write(as_bytes("short"))) == "ok");
  REQUIRE(outcome(file->sync()) == "ok");
  CHECK(read_text(f.at("a")) == "short");
}

TEST_CASE("allocate: nothing, less than before, and less than is written are all fine", "[files]") {
  const Files f;
  auto file = f.files->create(f.at("a")).value();
  CHECK(outcome(file->allocate(0)) == "ok");
  CHECK(outcome(file->allocate(10)) == "ok");
  CHECK(outcome(file->allocate(3)) == "ok");
  CHECK(outcome(file->write(as_bytes("longer than ten"))) == "ok");
  CHECK(outcome(file->sync()) == "ok");
  CHECK(read_text(f.at("a")) == "longer than ten");
}

TEST_CASE("allocate: says when the disk is full", "[files]") {
  struct statfs status{};
  if (statfs("/dev/shm", &status) != 0 || status.f_type != TMPFS_MAGIC ||
      access("/dev/shm", W_OK) != 0) {
    SKIP("no small file system to fill");
  }
  const auto path =
      std::filesystem::path("/dev/shm") / ("latchkey-test-" + std::to_string(getpid()));
  const auto files = posix_file_system();
  {
    auto file = files->create(path).value();
    CHECK(outcome(file->allocate(std::size_t{1} << 44)) == "io io.no_space");
  }
  CHECK(outcome(files->remove(path)) == "ok");
}

TEST_CASE("read: a file, an empty file, and none are three answers", "[files]") {
  const Files f;
  write_text(f.at("full"), std::string_view("a\0b", 3));
  write_text(f.at("empty"), "");
  const auto full = f.files->read(f.at("full"), 100).value();
  REQUIRE(full.has_value());
  CHECK(as_text(full->expose()) == std::string_view("a\0b", 3));
  const auto empty = f.files->read(f.at("empty"), 100).value();
  REQUIRE(empty.has_value());
  CHECK(empty->empty());
  CHECK_FALSE(f.files->read(f.at("absent"), 100).value().has_value());
  CHECK_FALSE(f.files->read(f.at("absent/too"), 100).value().has_value());
}

TEST_CASE("read: a file of the greatest size, and one byte more", "[files]") {
  const Files f;
  write_text(f.at("a"), std::string(100, 'x'));
  CHECK(f.files->read(f.at("a"), 100).value()->size() == 100);
  CHECK(outcome(f.files->read(f.at("a"), 99)) == "corrupt file.too_large");
  CHECK(outcome(f.files->read(f.at("a"), 0)) == "corrupt file.too_large");
}

TEST_CASE("read: refuses links, folders and pipes, and does not wait for a pipe", "[files]") {
  const Files f;
  write_text(f.at("file"), "secret");
  std::filesystem::create_symlink(f.at("file"), f.at("link"));
  std::filesystem::create_symlink(f.at("nowhere"), f.at("dangling"));
  std::filesystem::create_directory(f.at("folder"));
  REQUIRE(mkfifo(f.at("fifo").c_str(), 0600) == 0);
  CHECK(outcome(f.files->read(f.at("link"), 100)) == "insecure_location location.symlink");
  CHECK(outcome(f.files->read(f.at("dangling"), 100)) == "insecure_location location.symlink");
  CHECK(outcome(f.files->read(f.at("folder"), 100)) == "insecure_location location.not_a_file");
  CHECK(outcome(f.files->read(f.at("fifo"), 100)) == "insecure_location location.not_a_file");
  CHECK(outcome(f.files->read(f.at("file/a"), 100)) == "insecure_location location.not_a_folder");
}

TEST_CASE("rename: replaces, and needs something to rename", "[files]") {
  const Files f;
  write_text(f.at("a"), "new");
  write_text(f.at("b"), "old");
  CHECK(outcome(f.files->rename(f.at("a"), f.at("b"))) == "ok");
  CHECK(read_text(f.at("b")) == "new");
  CHECK_FALSE(read_text(f.at("a")).has_value());
  CHECK(outcome(f.files->rename(f.at("a"), f.at("b"))) == "io io.failed");
  std::filesystem::create_directory(f.at("folder"));
  CHECK(outcome(f.files->rename(f.at("b"), f.at("folder"))) ==
        "insecure_location location.not_a_file");
}

TEST_CASE("remove: takes a file, or a link itself, and is content when there is none", "[files]") {
  const Files f;
  write_text(f.at("a"), "");
  std::filesystem::create_symlink(f.at("a"), f.at("link"));
  CHECK(outcome(f.files->remove(f.at("link"))) == "ok");
  CHECK(read_text(f.at("a")).has_value());
  CHECK(outcome(f.files->remove(f.at("a"))) == "ok");
  CHECK(outcome(f.files->remove(f.at("a"))) == "ok");
  std::filesystem::create_directory(f.at("folder"));
  CHECK(outcome(f.files->remove(f.at("folder"))) == "insecure_location location.not_a_file");
}

TEST_CASE("sync_folder: needs a folder", "[files]") {
  const Files f;
  write_text(f.at("a"), "");
  CHECK(outcome(f.files->sync_folder(f.folder.path())) == "ok");
  CHECK(outcome(f.files->sync_folder("")) == "ok");
  CHECK(outcome(f.files->sync_folder(f.at("a"))) == "insecure_location location.not_a_folder");
  CHECK(outcome(f.files->sync_folder(f.at("absent"))) == "io io.failed");
}

TEST_CASE("make_folder: makes all that is missing, 0700, and leaves what is there", "[files]") {
  const Files f;
  const Umask open_to_all(0);
  REQUIRE(outcome(f.files->make_folder(f.at("a/b/c/"))) == "ok");
  for (const std::string_view name : {"a", "a/b", "a/b/c"}) CHECK(mode_of(f.at(name)) == 0700);
  REQUIRE(chmod(f.at("a").c_str(), 0755) == 0);
  CHECK(outcome(f.files->make_folder(f.at("a/b/c"))) == "ok");
  CHECK(outcome(f.files->make_folder(f.at("a"))) == "ok");
  CHECK(mode_of(f.at("a")) == 0755);
}

TEST_CASE("make_folder: refuses a file or a link in its place, but follows links on the way",
          "[files]") {
  const Files f;
  write_text(f.at("file"), "");
  std::filesystem::create_directory(f.at("real"));
  std::filesystem::create_directory_symlink(f.at("real"), f.at("link"));
  std::filesystem::create_symlink(f.at("nowhere"), f.at("dangling"));
  CHECK(outcome(f.files->make_folder(f.at("file"))) == "insecure_location location.not_a_folder");
  CHECK(outcome(f.files->make_folder(f.at("file/a"))) == "insecure_location location.not_a_folder");
  CHECK(outcome(f.files->make_folder(f.at("link"))) == "insecure_location location.symlink");
  CHECK(outcome(f.files->make_folder(f.at("dangling"))) == "insecure_location location.symlink");
  CHECK(outcome(f.files->make_folder(f.at("link/a"))) == "ok");
  CHECK(std::filesystem::is_directory(f.at("real/a")));
}

TEST_CASE("list: names and kinds; an absent folder has none", "[files]") {
  const Files f;
  write_text(f.at("file"), "");
  std::filesystem::create_directory(f.at("folder"));
  std::filesystem::create_symlink(f.at("folder"), f.at("link"));
  REQUIRE(mkfifo(f.at("fifo").c_str(), 0600) == 0);
  auto entries = f.files->list(f.folder.path()).value();
  std::sort(entries.begin(), entries.end(),
            [](const auto& a, const auto& b) { return a.name < b.name; });
  REQUIRE(entries.size() == 4);
  CHECK((entries[0].name == "fifo" && entries[0].kind == FolderEntry::Kind::other));
  CHECK((entries[1].name == "file" && entries[1].kind == FolderEntry::Kind::file));
  CHECK((entries[2].name == "folder" && entries[2].kind == FolderEntry::Kind::folder));
  CHECK((entries[3].name == "link" && entries[3].kind == FolderEntry::Kind::link));
  CHECK(f.files->list(f.at("absent")).value().empty());
  CHECK(f.files->list(f.at("folder")).value().empty());
  CHECK(outcome(f.files->list(f.at("link"))) == "insecure_location location.symlink");
  CHECK(outcome(f.files->list(f.at("file"))) == "insecure_location location.not_a_folder");
}

TEST_CASE("check_private: each bit for group or others is refused, with the remedy", "[files]") {
  const Files f;
  write_text(f.at("file"), "");
  std::filesystem::create_directory(f.at("folder"));
  for (const mode_t bit : {040u, 020u, 010u, 04u, 02u, 01u}) {
    INFO(bit);
    REQUIRE(chmod(f.at("file").c_str(), 0600 | bit) == 0);
    REQUIRE(chmod(f.at("folder").c_str(), 0700 | bit) == 0);
    const auto file = f.files->check_private(f.at("file"));
    const auto folder = f.files->check_private(f.at("folder"));
    REQUIRE(outcome(file) == "insecure_location location.permissions");
    REQUIRE(outcome(folder) == "insecure_location location.permissions");
    CHECK(file.error().message.ends_with("run chmod 600 " + f.at("file").string()));
    CHECK(folder.error().message.ends_with("run chmod 700 " + f.at("folder").string()));
  }
  REQUIRE(chmod(f.at("file").c_str(), 0400) == 0);
  REQUIRE(chmod(f.at("folder").c_str(), 0700) == 0);
  CHECK(outcome(f.files->check_private(f.at("file"))) == "ok");
  CHECK(outcome(f.files->check_private(f.at("folder"))) == "ok");
  CHECK(outcome(f.files->check_private(f.at("absent"))) == "ok");
}

TEST_CASE("check_private: refuses links, pipes and what belongs to others", "[files]") {
  const Files f;
  write_text(f.at("file"), "");
  std::filesystem::create_symlink(f.at("file"), f.at("link"));
  REQUIRE(mkfifo(f.at("fifo").c_str(), 0600) == 0);
  CHECK(outcome(f.files->check_private(f.at("link"))) == "insecure_location location.symlink");
  CHECK(outcome(f.files->check_private(f.at("fifo"))) == "insecure_location location.not_a_file");
  std::filesystem::path foreign = "/etc/passwd";
  if (geteuid() == 0) {
    foreign = f.at("file");
    REQUIRE(chown(foreign.c_str(), 12345, 12345) == 0);
  }
  CHECK(outcome(f.files->check_private(foreign)) == "insecure_location location.owner");
}

TEST_CASE("modified_at: the time of a file, a folder and a link, and none of nothing", "[files]") {
  const Files f;
  const auto before = SystemClock().now() - std::chrono::seconds(1);
  write_text(f.at("file"), "");
  std::filesystem::create_symlink("nowhere", f.at("link"));
  for (const auto& path : {f.at("file"), f.at("link"), f.folder.path()}) {
    const auto time = f.files->modified_at(path).value();
    REQUIRE(time);
    CHECK(*time >= before);
    CHECK(*time <= SystemClock().now());
  }
  CHECK(!f.files->modified_at(f.at("nothing")).value());
  CHECK(outcome(f.files->modified_at(f.at("file") / "x")) ==
        "insecure_location location.not_a_folder");
}

TEST_CASE("make_private: takes a file and a folder from others", "[files]") {
  const Files f;
  write_text(f.at("file"), "text");
  std::filesystem::create_directory(f.at("folder"));
  for (const auto& path : {f.at("file"), f.at("folder")}) {
    std::filesystem::permissions(path, std::filesystem::perms(0777));
    REQUIRE(make_private(path));
    CHECK(f.files->check_private(path));
  }
  CHECK(mode_of(f.at("file")) == 0600);
  CHECK(mode_of(f.at("folder")) == 0700);
}

TEST_CASE("make_private: touches no link, no pipe, and nothing of others", "[files]") {
  const Files f;
  write_text(f.at("file"), "");
  std::filesystem::permissions(f.at("file"), std::filesystem::perms(0644));
  std::filesystem::create_symlink(f.at("file"), f.at("link"));
  REQUIRE(mkfifo(f.at("fifo").c_str(), 0644) == 0);
  CHECK(outcome(make_private(f.at("link"))) == "insecure_location location.symlink");
  CHECK(outcome(make_private(f.at("fifo"))) == "insecure_location location.not_a_file");
  CHECK(outcome(make_private(f.at("nothing"))) == "io io.failed");
  CHECK(mode_of(f.at("file")) == 0644);
  if (geteuid() != 0) return;
  REQUIRE(chown(f.at("file").c_str(), 12345, 12345) == 0);
  CHECK(outcome(make_private(f.at("file"))) == "insecure_location location.owner");
  CHECK(mode_of(f.at("file")) == 0644);
}

TEST_CASE("check_local: a local disk is fine, also for paths that are not there yet", "[files]") {
  const Files f;
  CHECK(outcome(f.files->check_local(f.folder.path())) == "ok");
  CHECK(outcome(f.files->check_local(f.at("absent/too/deep"))) == "ok");
  CHECK(outcome(f.files->check_local("")) == "ok");
}

TEST_CASE("check_local: knows network and user-space file systems by their number", "[files]") {
  CHECK(network_file_system(0x6969) == "NFS");
  CHECK(network_file_system(0xFF534D42) == "SMB");
  CHECK(network_file_system(0xFE534D42) == "SMB");
  CHECK(network_file_system(0x01021997) == "9p");
  CHECK(network_file_system(0x65735546) == "FUSE");
  for (const unsigned local : {0xEF53u, 0x01021994u, 0x58465342u, 0x9123683Eu, 0x794C7630u, 0u}) {
    CHECK(network_file_system(local).empty());
  }
}
