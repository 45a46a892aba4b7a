// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <memory>
#include <set>
#include <string>

import latchkey.test.conformance;
import latchkey.test.postgres_store_place;

using namespace latchkey::test;

TEST_CASE("postgres store: keeps every promise of a store", "[postgres][store][concurrency]") {
  const std::set<std::string> power_cuts{"durable.save", "durable.remove", "durable.claim",
                                         "durable.pending", "durable.quarantine"};
  for (const auto& rule : store_rules()) {
    const auto result = run_store_rule(rule, [] { return std::make_unique<PostgresStorePlace>(); });
    INFO(result.rule << ": " << result.explanation);
    CHECK((result.outcome == RuleOutcome::skipped) == power_cuts.contains(rule));
    CHECK(result.outcome != RuleOutcome::failed);
  }
}
