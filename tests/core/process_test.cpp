// SPDX-License-Identifier: MIT
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <catch2/catch_test_macros.hpp>
#include <cerrno>
#include <chrono>
#include <fstream>
#include <ios>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

import latchkey.core;
import latchkey.test.support;

using namespace latchkey;
using namespace latchkey::test;
using namespace std::chrono_literals;

namespace {

constexpr auto kLong = 60'000ms;

Result<std::optional<int>> shell(const std::string& script,
                                 std::chrono::milliseconds grace = kLong) {
  return start_program({"sh", "-c", script}, grace);
}

}  // namespace

TEST_CASE("start_program: gives the exit status of what ends in time", "[process]") {
  CHECK(start_program({"true"}, kLong).value() == 0);
  CHECK(start_program({"false"}, kLong).value() == 1);
  CHECK(shell("exit 42").value() == 42);
  CHECK(shell("kill -KILL $$").value() == 128 + SIGKILL);
}

TEST_CASE("start_program: passes words as they are, without a shell", "[process]") {
  CHECK(start_program({"test", "$HOME; `x` 'y'", "=", "$HOME; `x` 'y'"}, kLong).value() == 0);
  CHECK(start_program({"test", "", "=", ""}, kLong).value() == 0);
}

TEST_CASE("start_program: says when a program cannot be started", "[process]") {
  const TemporaryFolder folder;
  write_text(folder.path() / "not-executable", "#!/bin/sh\n");
  for (const std::vector<std::string>& words : {std::vector<std::string>{},
                                                {""},
                                                {"latchkey-no-such-program"},
                                                {"/no/such/program"},
                                                {folder.path().string()},
                                                {(folder.path() / "not-executable").string()},
                                                {std::string("tr\0ue", 5)},
                                                {"true", std::string("a\0b", 3)}}) {
    INFO((words.empty() ? std::string("nothing") : words[0]));
    CHECK(outcome(start_program(words, kLong)) == "io process.not_started");
  }
}

TEST_CASE("start_program: a message names the program and never its arguments", "[process]") {
  const auto result =
      start_program({"latchkey-no-such-program", "https://as.example/?state=hunter2"}, kLong);
  REQUIRE_FALSE(result.has_value());
  CHECK(result.error().message.find("latchkey-no-such-program") != std::string::npos);
  CHECK(result.error().message.find("hunter2") == std::string::npos);
}

TEST_CASE("start_program: does not wait beyond the grace time, and leaves no zombie", "[process]") {
  const TemporaryFolder folder;
  const auto fifo = folder.path() / "fifo";
  REQUIRE(mkfifo(fifo.c_str(), 0600) == 0);
  const auto ended = shell("echo $$ > '" + fifo.string() + "'; exec tail -f /dev/null", 0ms);
  REQUIRE(outcome(ended) == "ok");
  CHECK_FALSE(ended->has_value());
  pid_t child = 0;
  std::ifstream(fifo) >> child;  // waits until it has started
  REQUIRE(child > 0);
  CHECK(getsid(child) == child);  // out of reach of Ctrl-C
  REQUIRE(kill(child, SIGKILL) == 0);
  while (kill(child, 0) == 0) std::this_thread::yield();  // a zombie would be there for ever
  CHECK(errno == ESRCH);
}

TEST_CASE("start_program: gives the program /dev/null and no other descriptor", "[process]") {
  const TemporaryFolder folder;
  const auto out = folder.path() / "out";
  const int inheritable = open("/dev/zero", O_RDONLY);
  REQUIRE(inheritable >= 0);
  REQUIRE(dup2(inheritable, 77) == 77);
  const auto ended = shell(
      "own=$(readlink /proc/$$/fd/0 /proc/$$/fd/1 /proc/$$/fd/2); test -e /proc/$$/fd/77 "
      "&& own=inherited; echo \"$own\" > '" +
      out.string() + "'");
  close(inheritable);
  close(77);
  CHECK(ended.value() == 0);
  CHECK(read_text(out).value_or("(none)") == "/dev/null\n/dev/null\n/dev/null\n");
}

TEST_CASE("start_program: resets signals that the host program blocks or ignores", "[process]") {
  const TemporaryFolder folder;
  const auto out = folder.path() / "out";
  sigset_t blocked, before;
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGTERM);
  REQUIRE(sigprocmask(SIG_BLOCK, &blocked, &before) == 0);
  const auto handler = signal(SIGHUP, SIG_IGN);
  const auto ended = shell("grep -E '^SigBlk' /proc/self/status > '" + out.string() +
                           "'; grep -E '^SigIgn' /proc/self/status >> '" + out.string() + "'");
  signal(SIGHUP, handler);
  sigprocmask(SIG_SETMASK, &before, nullptr);
  CHECK(ended.value() == 0);
  std::ifstream file(out);
  std::string word;
  unsigned long long mask = 0;
  REQUIRE(file >> word >> std::hex >> mask);
  CHECK(mask == 0);
  REQUIRE(file >> word >> std::hex >> mask);
  CHECK((mask & 1ull << (SIGHUP - 1)) == 0);  // the C library itself ignores two real-time signals
}

TEST_CASE("start_program: leaves the caller's signal mask as it was", "[process]") {
  REQUIRE(start_program({"true"}, kLong).has_value());
  sigset_t now;
  REQUIRE(sigprocmask(SIG_SETMASK, nullptr, &now) == 0);
  CHECK(sigismember(&now, SIGINT) == 0);
  CHECK(sigismember(&now, SIGTERM) == 0);
}

TEST_CASE("find_program: looks in PATH, or at the path itself; only what may be run", "[process]") {
  const TemporaryFolder folder;
  const auto program = folder.path() / "latchkey-program";
  write_text(program, "#!/bin/sh\n");
  CHECK(!find_program(program.native()));
  REQUIRE(chmod(program.c_str(), 0700) == 0);
  CHECK(find_program(program.native()) == program.native());
  CHECK(find_program("sh"));
  for (const auto& name : {std::string(), std::string("latchkey-program"), folder.path().native(),
                           std::string("/nowhere/sh")}) {
    CHECK(!find_program(name));
  }
}

TEST_CASE("environment_variable: unset and empty are the same", "[process]") {
  setenv("LATCHKEY_TEST_VARIABLE", "value", 1);
  CHECK(environment_variable("LATCHKEY_TEST_VARIABLE") == "value");
  setenv("LATCHKEY_TEST_VARIABLE", "", 1);
  CHECK_FALSE(environment_variable("LATCHKEY_TEST_VARIABLE").has_value());
  unsetenv("LATCHKEY_TEST_VARIABLE");
  CHECK_FALSE(environment_variable("LATCHKEY_TEST_VARIABLE").has_value());
}

TEST_CASE("process: knows its number and its host", "[process]") {
  CHECK(process_id() == getpid());
  CHECK_FALSE(host_name().empty());
}

TEST_CASE("forbid_core_dumps: no core, and not dumpable", "[process]") {
  forbid_core_dumps();
  const int dumpable = prctl(PR_GET_DUMPABLE);
  prctl(PR_SET_DUMPABLE, 1);  // other tests of this program look into their own memory
  rlimit core{1, 1};
  REQUIRE(getrlimit(RLIMIT_CORE, &core) == 0);
  CHECK(dumpable == 0);
  CHECK(core.rlim_cur == 0);
  CHECK(core.rlim_max == 0);
}
