// SPDX-License-Identifier: MIT
#include <sys/stat.h>
#include <unistd.h>
#include <array>
#include <atomic>
#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

import latchkey.core;
import latchkey.test.support;

using namespace latchkey;
using namespace latchkey::test;
using namespace std::chrono_literals;

namespace {

constexpr std::string_view kAlice = "did:plc:alice";
constexpr std::string_view kBob = "did:plc:bob";

// Time stands still but for sleeps; before each sleep it does what the test says, as if another
// thread had done it.
class ScriptedClock final : public Clock {
 public:
  std::function<void()> before_sleep = [] {};
  std::vector<Duration> pauses;

  TimePoint now() const override { return clock_.now(); }
  std::chrono::steady_clock::time_point steady_now() const override { return clock_.steady_now(); }
  bool sleep_for(Duration duration, std::stop_token stop) override {
    pauses.push_back(duration);
    before_sleep();
    return clock_.sleep_for(duration, stop);
  }

 private:
  ManualClock clock_{TimePoint{}};
};

struct Locks {
  TemporaryFolder folder;
  std::shared_ptr<ScriptedClock> clock = std::make_shared<ScriptedClock>();
  std::filesystem::path path = folder.path() / "locks";
  std::shared_ptr<LockFile> file = LockFile::open(path, clock).value();

  Result<std::unique_ptr<HeldLock>> take(LockKind kind, std::string_view name,
                                         Duration patience = 0ms, std::stop_token stop = {}) {
    return file->acquire(kind, name, {clock->steady_now() + patience, stop});
  }
  ~Locks() {
    clock->before_sleep = [] {};
  }
};

}  // namespace

TEST_CASE("lock: one holder at a time, and free again when it goes", "[locks]") {
  Locks locks;
  {
    const auto held = locks.take(LockKind::lease, kAlice);
    REQUIRE(outcome(held) == "ok");
    CHECK(outcome(locks.take(LockKind::lease, kAlice)) == "locked lock.held");
  }
  CHECK(outcome(locks.take(LockKind::lease, kAlice)) == "ok");
}

TEST_CASE("lock: holds between two open lock files of one process", "[locks]") {
  Locks locks;
  const auto other = LockFile::open(locks.path, locks.clock).value();
  const auto held = locks.take(LockKind::lease, kAlice);
  REQUIRE(outcome(held) == "ok");
  CHECK(outcome(other->acquire(LockKind::lease, kAlice, {locks.clock->steady_now()})) ==
        "locked lock.held");
}

TEST_CASE("lock: closing another descriptor of the file does not let it go", "[locks]") {
  // POSIX record locks, unlike OFD locks, would be lost here.
  Locks locks;
  const auto held = locks.take(LockKind::lease, kAlice);
  REQUIRE(outcome(held) == "ok");
  {
    const auto other = LockFile::open(locks.path, locks.clock).value();
  }
  CHECK(read_text(locks.path).has_value());
  ChildProcess child({LATCHKEY_LOCK_HOLDER, locks.path.string()});
  REQUIRE(child.read_line() == "ok");
  child.write_line("try lease did:plc:alice");
  CHECK(child.read_line() == "locked lock.held");
}

TEST_CASE("lock: other names and other kinds do not wait", "[locks]") {
  Locks locks;
  const auto alice = locks.take(LockKind::lease, kAlice);
  REQUIRE(outcome(alice) == "ok");
  const auto bob = locks.take(LockKind::lease, kBob);
  CHECK(outcome(bob) == "ok");
  const auto write = locks.take(LockKind::write, kAlice);
  CHECK(outcome(write) == "ok");
  const auto whole = locks.take(LockKind::whole, kAlice);
  CHECK(outcome(whole) == "ok");
  const auto empty = locks.take(LockKind::lease, "");
  CHECK(outcome(empty) == "ok");
}

TEST_CASE("lock: many names have ranges of their own", "[locks]") {
  Locks locks;
  std::vector<std::unique_ptr<HeldLock>> held;
  for (int i = 0; i < 300; ++i) {
    auto lock = locks.take(LockKind::lease, "did:plc:" + std::to_string(i));
    REQUIRE(outcome(lock) == "ok");
    held.push_back(std::move(*lock));
  }
  CHECK(outcome(locks.take(LockKind::lease, "did:plc:299")) == "locked lock.held");
}

TEST_CASE("lock: whole ignores the name", "[locks]") {
  Locks locks;
  const auto held = locks.take(LockKind::whole, "a");
  REQUIRE(outcome(held) == "ok");
  CHECK(outcome(locks.take(LockKind::whole, "b")) == "locked lock.held");
}

TEST_CASE("lock: waits up to the deadline and not beyond, with growing pauses", "[locks]") {
  Locks locks;
  const auto held = locks.take(LockKind::lease, kAlice);
  REQUIRE(outcome(held) == "ok");
  CHECK(outcome(locks.take(LockKind::lease, kAlice, 200ms)) == "locked lock.held");
  CHECK(locks.clock->pauses ==
        std::vector<Duration>{1ms, 2ms, 4ms, 8ms, 16ms, 32ms, 50ms, 50ms, 37ms});
}

TEST_CASE("lock: a deadline in the past still tries once", "[locks]") {
  Locks locks;
  CHECK(outcome(locks.take(LockKind::lease, kAlice, -1h)) == "ok");
  CHECK(locks.clock->pauses.empty());
}

TEST_CASE("lock: a waiter gets it as soon as it looks after the release", "[locks]") {
  Locks locks;
  auto held = locks.take(LockKind::lease, kAlice).value();
  locks.clock->before_sleep = [&] {
    if (locks.clock->pauses.size() == 3) held.reset();
  };
  CHECK(outcome(locks.take(LockKind::lease, kAlice, 1h)) == "ok");
  CHECK(locks.clock->pauses.size() == 3);
}

TEST_CASE("lock: a waiter that is stopped is cancelled", "[locks]") {
  Locks locks;
  const auto held = locks.take(LockKind::lease, kAlice);
  REQUIRE(outcome(held) == "ok");
  std::stop_source stop;
  locks.clock->before_sleep = [&] { stop.request_stop(); };
  CHECK(outcome(locks.take(LockKind::lease, kAlice, 1h, stop.get_token())) ==
        "cancelled lock.cancelled");
  CHECK(locks.clock->pauses.size() == 1);
}

TEST_CASE("lock: who is stopped already does not take a free lock", "[locks]") {
  Locks locks;
  std::stop_source stop;
  stop.request_stop();
  CHECK(outcome(locks.take(LockKind::lease, kAlice, 1h, stop.get_token())) ==
        "cancelled lock.cancelled");
  CHECK(outcome(locks.take(LockKind::lease, kAlice)) == "ok");
}

TEST_CASE("lock: outlives the lock file object it came from", "[locks]") {
  Locks locks;
  const auto held = locks.take(LockKind::lease, kAlice);
  REQUIRE(outcome(held) == "ok");
  locks.file = LockFile::open(locks.path, locks.clock).value();
  CHECK(outcome(locks.take(LockKind::lease, kAlice)) == "locked lock.held");
}

TEST_CASE("lock: a lock file that was deleted or replaced is an error, never a second lock",
          "[locks]") {
  Locks locks;
  const auto held = locks.take(LockKind::lease, kAlice);
  REQUIRE(outcome(held) == "ok");
  std::filesystem::remove(locks.path);
  CHECK(outcome(locks.take(LockKind::lease, kAlice)) == "io lock.file_replaced");
  write_text(locks.path, "");
  CHECK(outcome(locks.take(LockKind::lease, kAlice)) == "io lock.file_replaced");
}

TEST_CASE("lock file: is private from its creation", "[locks]") {
  const auto before = umask(0);
  const Locks locks;
  umask(before);
  CHECK(mode_of(locks.path) == 0600);
}

TEST_CASE("lock file: refuses places that are not private files", "[locks]") {
  const TemporaryFolder folder;
  const auto clock = std::make_shared<SystemClock>();
  const auto opened = [&](std::string_view name) {
    return outcome(LockFile::open(folder.path() / name, clock));
  };
  write_text(folder.path() / "open", "");
  REQUIRE(chmod((folder.path() / "open").c_str(), 0640) == 0);
  CHECK(opened("open") == "insecure_location location.permissions");
  std::filesystem::create_symlink(folder.path() / "target", folder.path() / "link");
  CHECK(opened("link") == "insecure_location location.symlink");
  CHECK_FALSE(std::filesystem::exists(folder.path() / "target"));
  std::filesystem::create_directory(folder.path() / "folder");
  CHECK(opened("folder") == "insecure_location location.not_a_file");
  REQUIRE(mkfifo((folder.path() / "fifo").c_str(), 0600) == 0);
  CHECK(opened("fifo") == "insecure_location location.not_a_file");
  CHECK(opened("absent/locks") == "io io.failed");
}

TEST_CASE("change counter: counts what is announced under a name", "[locks]") {
  Locks locks;
  const auto before = locks.file->change_count(kAlice);
  const auto other = locks.file->change_count(kBob);
  locks.file->announce_change(kAlice);
  CHECK(locks.file->change_count(kAlice) == before + 1);
  locks.file->announce_change(kAlice);
  CHECK(locks.file->change_count(kAlice) == before + 2);
  CHECK(locks.file->change_count(kBob) == other);
}

TEST_CASE("change counter: opening the file again does not reset it", "[locks]") {
  Locks locks;
  locks.file->announce_change(kAlice);
  const auto again = LockFile::open(locks.path, locks.clock).value();
  CHECK(again->change_count(kAlice) == locks.file->change_count(kAlice));
  again->announce_change(kAlice);
  CHECK(again->change_count(kAlice) == locks.file->change_count(kAlice));
}

TEST_CASE("change counter: names of all lengths have counters that stay apart", "[locks]") {
  Locks locks;
  const std::string subject = "did:plc:abcdefghijklmnopqrstuvwx-0123456789";
  for (std::size_t size = 0; size < subject.size(); ++size) {
    locks.file->announce_change(subject.substr(0, size));
  }
  std::size_t shared = 0;
  for (std::size_t size = 0; size < subject.size(); ++size) {
    const auto count = locks.file->change_count(subject.substr(0, size));
    CHECK(count >= 1);
    shared += count > 1;
  }
  CHECK(shared <= 4);  // of 43 names on 4096 counters, none is expected
}

TEST_CASE("change counter: no announcement of many threads is lost", "[locks][concurrency]") {
  Locks locks;
  constexpr int threads = 4, each = 5000;
  const auto before = locks.file->change_count(kAlice);
  std::vector<std::thread> workers;
  for (int i = 0; i < threads; ++i) {
    workers.emplace_back([&] {
      for (int n = 0; n < each; ++n) locks.file->announce_change(kAlice);
    });
  }
  for (auto& worker : workers) worker.join();
  CHECK(locks.file->change_count(kAlice) == before + threads * each);
}

TEST_CASE("lock: threads exclude each other", "[locks][concurrency]") {
  const TemporaryFolder folder;
  const auto clock = std::make_shared<SystemClock>();
  const auto locks = LockFile::open(folder.path() / "locks", clock).value();
  std::atomic<int> inside = 0, together = 0, refused = 0, done = 0;
  std::vector<std::thread> workers;
  for (int i = 0; i < 4; ++i) {
    workers.emplace_back([&] {
      for (int n = 0; n < 20; ++n) {
        const auto held = locks->acquire(LockKind::write, kAlice, {clock->steady_now() + 60s});
        if (!held) ++refused;
        if (inside.fetch_add(1) != 0) ++together;
        std::this_thread::yield();
        inside.fetch_sub(1);
        ++done;
      }
    });
  }
  for (auto& worker : workers) worker.join();
  CHECK(refused == 0);
  CHECK(together == 0);
  CHECK(done == 80);
}
