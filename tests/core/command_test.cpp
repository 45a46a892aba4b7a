// SPDX-License-Identifier: MIT
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <catch2/catch_test_macros.hpp>
#include <cerrno>
#include <chrono>
#include <string>
#include <string_view>
#include <vector>

import latchkey.core;
import latchkey.test.support;

using namespace latchkey;
using namespace latchkey::test;
using namespace std::chrono_literals;

namespace {

constexpr CommandLimits kPatient{.timeout = 60'000ms};
// Killed long before its time; if it is not, it is not left behind for ever. (tail -f would end
// with the pipe, by itself.)
const std::string kLongRun = "sleep 600";

Result<CommandOutput> shell(const std::string& script, const CommandLimits& limits = kPatient) {
  return run_command({"sh", "-c", script}, limits);
}

std::string text_of(const Result<CommandOutput>& run) {
  return run ? std::string(as_text(run->out.expose())) : outcome(run);
}

// Waits for its end, whether or not init has taken its leave of it: that one does so when it likes.
bool is_gone(int process) {
  const auto descriptor = static_cast<int>(syscall(SYS_pidfd_open, process, 0));
  if (descriptor < 0) return errno == ESRCH;
  pollfd waiting{descriptor, POLLIN, 0};
  const bool ended = poll(&waiting, 1, 20'000) == 1;
  close(descriptor);
  return ended;
}

}  // namespace

TEST_CASE("run_command: gives what the program prints, and its exit status", "[command]") {
  CHECK(text_of(run_command({"printf", "%s|", "a b", "$HOME", ""}, kPatient)) == "a b|$HOME||");
  CHECK(text_of(run_command({"true"}, kPatient)).empty());
  const auto failed = shell("printf half; exit 3").value();
  CHECK(failed.status == 3);
  CHECK(as_text(failed.out.expose()) == "half");
  CHECK(shell("kill -TERM $$").value().status == 128 + SIGTERM);
}

TEST_CASE("run_command: standard error comes with the output when asked for", "[command]") {
  const CommandLimits both{.timeout = 60'000ms, .errors = CommandErrors::with_output};
  CHECK(text_of(shell("echo one; echo two >&2; echo three", both)) == "one\ntwo\nthree\n");
  const CommandLimits small{
      .timeout = 60'000ms, .max_output = 3, .errors = CommandErrors::with_output};
  CHECK(shell("echo much >&2", small).error().detail == "process.output_too_large");
}

TEST_CASE("run_command: has nothing to read, and none of our descriptors", "[command]") {
  CHECK(text_of(shell("cat; echo read")) == "read\n");
  CHECK(text_of(shell("ls /proc/self/fd | tr '\\n' ' '")) == "0 1 2 3 ");  // 3 is the folder
}

TEST_CASE("run_command: a program that cannot be started says so", "[command]") {
  for (const std::vector<std::string>& words : {std::vector<std::string>{},
                                                {""},
                                                {"latchkey-no-such-program"},
                                                {"/"},
                                                {std::string("a\0b", 3)}}) {
    CHECK(outcome(run_command(words, kPatient)) == "io process.not_started");
  }
}

TEST_CASE("run_command: a program that does not end is killed, with what it started", "[command]") {
  const TemporaryFolder folder;
  const auto note = (folder.path() / "pid").string();
  const auto began = std::chrono::steady_clock::now();
  const auto run = shell(kLongRun + " & echo $! >" + note + "; wait", {.timeout = 300ms});
  CHECK(outcome(run) == "timeout process.timeout");
  CHECK(std::chrono::steady_clock::now() - began < 20s);
  CHECK(is_gone(std::stoi(read_text(note).value())));
}

TEST_CASE("run_command: closing its output is not the end of a program", "[command]") {
  CHECK(outcome(shell("exec >&-; exec " + kLongRun, {.timeout = 300ms})) ==
        "timeout process.timeout");
  CHECK(shell("printf x; exec >&-; exit 4").value().status == 4);
}

TEST_CASE("run_command: what it leaves in the background is not waited for, and is killed",
          "[command]") {
  const TemporaryFolder folder;
  const auto note = (folder.path() / "pid").string();
  CHECK(text_of(shell(kLongRun + " & echo $! >" + note + "; echo done")) == "done\n");
  CHECK(is_gone(std::stoi(read_text(note).value())));
}

TEST_CASE("run_command: output is capped, and all of it up to the cap is read", "[command]") {
  const std::string fill = "head -c 4096 /dev/zero";
  CHECK(shell(fill).value().out.size() == 4096);
  CHECK(outcome(shell(fill + "; printf x")) == "corrupt process.output_too_large");
  CHECK(outcome(shell("cat /dev/zero")) == "corrupt process.output_too_large");
  CHECK(outcome(shell("printf xx", {.timeout = 60'000ms, .max_output = 1})) ==
        "corrupt process.output_too_large");
}
