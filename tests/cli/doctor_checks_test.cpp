// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

import latchkey.cli.doctor.checks;
import latchkey.cli.doctor.findings;
import latchkey.core;

// What no healthy machine shows: locks that do not lock, repairs that fail.

using namespace latchkey;
using namespace latchkey::cli;

namespace {

// Gives whatever it is told to.
class FakeLocks final : public LockFile {
 public:
  explicit FakeLocks(std::optional<Error> error = std::nullopt) : error_(std::move(error)) {}
  Result<std::unique_ptr<HeldLock>> acquire(LockKind, std::string_view, const LockWait&) override {
    if (error_) return *error_;
    return std::make_unique<HeldLock>();
  }
  std::uint64_t change_count(std::string_view) const noexcept override { return 0; }
  void announce_change(std::string_view) noexcept override {}

 private:
  std::optional<Error> error_;
};

std::string seen(LockFile&& one, LockFile&& other) {
  Findings findings(false);
  check_locks(one, other, SystemClock(), "there", findings);
  REQUIRE(findings.all().size() == 1);
  const auto& finding = findings.all()[0];
  return std::string(to_string(finding.severity)) + ' ' + finding.id;
}

const Error kHeld = make_error(ErrorCode::locked, "lock.held", "held");
const Error kRefused = make_error(ErrorCode::io, "io.failed", "no locks here");

}  // namespace

TEST_CASE("check_locks: two holders of one lock are a problem", "[cli]") {
  CHECK(seen(FakeLocks(), FakeLocks()) == "problem locks.broken");
  CHECK(seen(FakeLocks(), FakeLocks(kHeld)) == "ok locks.work");
}

TEST_CASE("check_locks: a lock that can't be tried is no lock that works", "[cli]") {
  CHECK(seen(FakeLocks(kHeld), FakeLocks(kHeld)) == "note locks.busy");
  CHECK(seen(FakeLocks(kRefused), FakeLocks()) == "problem io.failed");
  CHECK(seen(FakeLocks(), FakeLocks(kRefused)) == "problem io.failed");
}

TEST_CASE("findings: a repair is named, carried out when asked for, and says when it failed",
          "[cli]") {
  const Finding finding{Severity::problem, "x.y", "z", "is broken"};
  int runs = 0;
  const Repair good{"mend it", "mended", [&]() -> Result<void> {
                      ++runs;
                      return {};
                    }};
  Findings named(false);
  named.add(finding, good);
  CHECK(runs == 0);
  CHECK(!named.healthy());
  CHECK(named.all()[0].text == "is broken; latchkey doctor --fix can mend it");
  Findings mended(true);
  mended.add(finding, good);
  CHECK(runs == 1);
  CHECK(mended.healthy());
  CHECK(mended.all()[0].fixed);
  CHECK(mended.all()[0].text == "is broken; mended");
  Findings failed(true);
  failed.add(finding, {"mend it", "mended", []() -> Result<void> { return kRefused; }});
  CHECK(!failed.healthy());
  CHECK(!failed.all()[0].fixed);
  CHECK(failed.all()[0].text == "is broken; could not mend it: no locks here");
}
