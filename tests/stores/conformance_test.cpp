// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <memory>
#include <set>
#include <string>
#include <vector>

import latchkey.test.conformance;
import latchkey.test.places;

using namespace latchkey::test;

namespace {

// Everything holds, and nothing was left out but what is named here.
void check_conformance(const MakeStorePlace& make_place,
                       const std::set<std::string>& not_applicable) {
  for (const auto& result : run_store_conformance(make_place)) {
    INFO(result.rule << ": " << result.explanation);
    CHECK((result.outcome == RuleOutcome::skipped) == not_applicable.contains(result.rule));
    CHECK(result.outcome != RuleOutcome::failed);
  }
}

const std::set<std::string> kPowerCuts{"durable.save", "durable.remove", "durable.claim",
                                       "durable.pending", "durable.quarantine"};

}  // namespace

TEST_CASE("memory store: keeps every promise of a store", "[store][concurrency]") {
  auto skipped = kPowerCuts;
  skipped.insert({"load.unreadable_is_an_error", "list.reports_unreadable_records",
                  "quarantine.moves_what_cannot_be_read"});
  check_conformance([] { return std::make_unique<MemoryPlace>(); }, skipped);
}

TEST_CASE("file store: keeps every promise of a store", "[store][concurrency]") {
  check_conformance([] { return std::make_unique<FilePlace>(); }, {});
}

TEST_CASE("sqlite store: keeps every promise of a store", "[store][concurrency]") {
  check_conformance([] { return std::make_unique<SqlitePlace>(); }, kPowerCuts);
}

TEST_CASE("conformance: a rule that does not exist fails", "[store]") {
  CHECK(run_store_rule("no.such_rule", [] { return std::make_unique<MemoryPlace>(); }).outcome ==
        RuleOutcome::failed);
}

TEST_CASE("conformance: no two rules have the same name", "[store]") {
  const auto rules = store_rules();
  CHECK(std::set<std::string>(rules.begin(), rules.end()).size() == rules.size());
}
