// SPDX-License-Identifier: MIT
#include <sys/wait.h>
#include <unistd.h>
#include <array>
#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

import latchkey.core;
import latchkey.test.support;

using namespace latchkey;
using namespace latchkey::test;
using namespace std::chrono_literals;

namespace {

struct Locks {
  TemporaryFolder folder;
  std::shared_ptr<SystemClock> clock = std::make_shared<SystemClock>();
  std::filesystem::path path = folder.path() / "locks";
  std::shared_ptr<LockFile> file = LockFile::open(path, clock).value();

  Result<std::unique_ptr<HeldLock>> try_lease(std::string_view name) {
    return file->acquire(LockKind::lease, name, {clock->steady_now()});
  }
};

// A child with the lock file open; see lock_holder.cpp.
class Holder {
 public:
  explicit Holder(const std::filesystem::path& path)
      : child_({LATCHKEY_LOCK_HOLDER, path.string()}) {
    REQUIRE(child_.read_line() == "ok");
  }
  std::string ask(std::string_view command) {
    child_.write_line(command);
    return child_.read_line();
  }
  ChildProcess& process() { return child_; }

 private:
  ChildProcess child_;
};

bool has_open(pid_t process, const std::filesystem::path& path) {
  for (const auto& entry :
       std::filesystem::directory_iterator("/proc/" + std::to_string(process) + "/fd")) {
    std::error_code fault;
    if (std::filesystem::read_symlink(entry.path(), fault) == path) return true;
  }
  return false;
}

}  // namespace

TEST_CASE("lock between processes: held there is held here", "[locks][concurrency]") {
  Locks locks;
  Holder holder(locks.path);
  REQUIRE(holder.ask("try lease alice") == "ok");
  CHECK(outcome(locks.try_lease("alice")) == "locked lock.held");
  CHECK(outcome(locks.try_lease("bob")) == "ok");
  CHECK(holder.ask("release") == "ok");
  CHECK(outcome(locks.try_lease("alice")) == "ok");
}

TEST_CASE("lock between processes: held here is held there", "[locks][concurrency]") {
  Locks locks;
  Holder holder(locks.path);
  const auto held = locks.try_lease("alice");
  REQUIRE(outcome(held) == "ok");
  CHECK(holder.ask("try lease alice") == "locked lock.held");
  CHECK(holder.ask("try write alice") == "ok");
}

TEST_CASE("lock between processes: a waiter gets it after the release", "[locks][concurrency]") {
  Locks locks;
  Holder holder(locks.path);
  auto held = locks.try_lease("alice").value();
  holder.process().write_line("wait lease alice");
  held.reset();
  CHECK(holder.process().read_line() == "ok");
  CHECK(outcome(locks.try_lease("alice")) == "locked lock.held");
}

TEST_CASE("lock between processes: the system lets it go when its holder is killed",
          "[locks][concurrency]") {
  Locks locks;
  Holder holder(locks.path);
  REQUIRE(holder.ask("try lease alice") == "ok");
  REQUIRE(holder.ask("try whole x") == "ok");
  REQUIRE(outcome(locks.try_lease("alice")) == "locked lock.held");
  holder.process().kill();
  CHECK(outcome(locks.try_lease("alice")) == "ok");
  CHECK(outcome(locks.file->acquire(LockKind::whole, "x", {locks.clock->steady_now()})) == "ok");
}

TEST_CASE("lock between processes: a program started meanwhile does not inherit it",
          "[locks][concurrency]") {
  Locks locks;
  auto held = locks.try_lease("alice").value();
  ChildProcess cat({"/bin/cat"});
  cat.write_line("running");
  REQUIRE(cat.read_line() == "running");
  CHECK(has_open(getpid(), locks.path));
  CHECK_FALSE(has_open(cat.id(), locks.path));
  held.reset();
  CHECK(outcome(locks.try_lease("alice")) == "ok");
}

TEST_CASE("lock between processes: a child forked and not yet exec'd does not keep it", "[locks]") {
  Locks locks;
  auto held = locks.try_lease("alice").value();
  std::array<int, 2> wait{};
  REQUIRE(pipe(wait.data()) == 0);
  const pid_t child = fork();
  if (child == 0) {
    close(wait[1]);
    char byte = 0;
    _exit(read(wait[0], &byte, 1) == 0 ? 0 : 1);
  }
  close(wait[0]);
  held.reset();
  CHECK(outcome(locks.try_lease("alice")) == "ok");
  close(wait[1]);
  int status = -1;
  CHECK(waitpid(child, &status, 0) == child);
  CHECK(status == 0);
}

TEST_CASE("lock between processes: no update of a shared number is lost", "[locks][concurrency]") {
  Locks locks;
  const auto number = locks.folder.path() / "number";
  write_text(number, "0");
  constexpr int processes = 3;
  std::vector<std::unique_ptr<Holder>> holders;
  for (int i = 0; i < processes; ++i) holders.push_back(std::make_unique<Holder>(locks.path));
  for (auto& holder : holders)
    holder->process().write_line("bump " + number.string() + " 25 alice");
  for (auto& holder : holders) CHECK(holder->process().read_line() == "ok");
  CHECK(read_text(number) == "75");
}

TEST_CASE("change counter: what another process announces is seen at once",
          "[locks][concurrency]") {
  Locks locks;
  Holder holder(locks.path);
  const auto before = locks.file->change_count("alice");
  CHECK(holder.ask("count alice") == std::to_string(before));
  REQUIRE(holder.ask("announce alice") == "ok");
  CHECK(locks.file->change_count("alice") == before + 1);
  CHECK(locks.file->change_count("bob") == 0);
  locks.file->announce_change("bob");
  CHECK(holder.ask("count bob") == "1");
}

TEST_CASE("change counter: survives the death of all who have it open", "[locks][concurrency]") {
  const TemporaryFolder folder;
  const auto path = folder.path() / "locks";
  Holder holder(path);
  REQUIRE(holder.ask("announce alice") == "ok");
  holder.process().kill();
  const auto file = LockFile::open(path, std::make_shared<SystemClock>()).value();
  CHECK(file->change_count("alice") == 1);
}

TEST_CASE("lock file: processes that create it at the same time share one",
          "[locks][concurrency]") {
  const TemporaryFolder folder;
  const auto path = folder.path() / "locks";
  std::vector<std::unique_ptr<ChildProcess>> children;
  for (int i = 0; i < 4; ++i) {
    children.push_back(std::make_unique<ChildProcess>(
        std::vector<std::string>{LATCHKEY_LOCK_HOLDER, path.string()}));
    children.back()->write_line("announce alice");
  }
  for (auto& child : children) {
    CHECK(child->read_line() == "ok");
    CHECK(child->read_line() == "ok");
  }
  CHECK(LockFile::open(path, std::make_shared<SystemClock>()).value()->change_count("alice") == 4);
}
