// SPDX-License-Identifier: MIT
#include <chrono>
#include <cstddef>
#include <fstream>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

import latchkey.core;
import latchkey.test.outcome;

// Another process for the lock tests: `lock_holder LOCKFILE`, then one command a line on standard
// input, one answer a line on standard output:
//   try|wait lease|write|whole NAME   take a lock, now or within a minute: "ok", or the error
//   release                           let the last one go
//   announce NAME, count NAME         the change counter
//   bump FILE TIMES NAME              TIMES times: take the write lock of NAME, add one to the
//   number in FILE

using namespace latchkey;

namespace {

LockKind kind_of(const std::string& word) {
  if (word == "lease") return LockKind::lease;
  return word == "write" ? LockKind::write : LockKind::whole;
}

LockWait a_minute(Clock& clock) {
  return {clock.steady_now() + std::chrono::minutes(1)};
}

std::string bump(LockFile& locks, Clock& clock, const std::string& path, int times,
                 const std::string& name) {
  for (int i = 0; i < times; ++i) {
    const auto held = locks.acquire(LockKind::write, name, a_minute(clock));
    if (!held) return test::outcome(held);
    long number = 0;
    std::ifstream(path) >> number;
    std::ofstream(path) << number + 1;
  }
  return "ok";
}

}  // namespace

int main(int, char** words) {
  const auto clock = std::make_shared<SystemClock>();
  const auto locks = LockFile::open(words[1], clock);
  std::cout << test::outcome(locks) << std::endl;
  if (!locks) return 1;
  std::vector<std::unique_ptr<HeldLock>> held;
  for (std::string verb; std::cin >> verb;) {
    std::string name, kind;
    if (verb == "try" || verb == "wait") {
      std::cin >> kind >> name;
      auto lock = (*locks)->acquire(
          kind_of(kind), name, verb == "try" ? LockWait{clock->steady_now()} : a_minute(*clock));
      std::cout << test::outcome(lock) << std::endl;
      if (lock) held.push_back(std::move(*lock));
    } else if (verb == "release") {
      held.pop_back();
      std::cout << "ok" << std::endl;
    } else if (verb == "announce") {
      std::cin >> name;
      (*locks)->announce_change(name);
      std::cout << "ok" << std::endl;
    } else if (verb == "count") {
      std::cin >> name;
      std::cout << (*locks)->change_count(name) << std::endl;
    } else if (verb == "bump") {
      std::string path;
      int times = 0;
      std::cin >> path >> times >> name;
      std::cout << bump(**locks, *clock, path, times, name) << std::endl;
    }
  }
  return 0;
}
