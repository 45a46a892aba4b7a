// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <exception>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
module latchkey.test.conformance;
import latchkey.core.time;
import latchkey.test.rules;

namespace latchkey::test {
namespace {

std::vector<Rule> all_rules() {
  std::vector<Rule> rules;
  for (auto part : {record_rules(), list_rules(), lease_rules(), refresh_rules(), login_rules(),
                    aside_rules(), sweep_rules(), durability_rules()}) {
    rules.insert(rules.end(), part.begin(), part.end());
  }
  return rules;
}

RuleResult run(const Rule& rule, const MakeStorePlace& make_place) {
  RuleResult result{.rule = std::string(rule.name), .explanation = {}};
  try {
    const auto place = make_place();
    rule.check(*place);
  } catch (const Broken& broken) {
    result.outcome = RuleOutcome::failed;
    result.explanation = broken.why;
  } catch (const Skipped& skipped) {
    result.outcome = RuleOutcome::skipped;
    result.explanation = skipped.why;
  } catch (const std::exception& fault) {
    result.outcome = RuleOutcome::failed;
    result.explanation = std::string("the store threw an exception: ") + fault.what();
  }
  return result;
}

}  // namespace

StorePlace::~StorePlace() {}
std::shared_ptr<Clock> StorePlace::clock() {
  return std::make_shared<SystemClock>();
}
Duration StorePlace::staleness() {
  return Duration::zero();
}
bool StorePlace::damage(std::string_view) {
  return false;
}
std::vector<std::unique_ptr<StorePlace>> StorePlace::after_power_cut() {
  return {};
}

std::vector<RuleResult> run_store_conformance(const MakeStorePlace& make_place) {
  std::vector<RuleResult> results;
  for (const auto& rule : all_rules()) results.push_back(run(rule, make_place));
  return results;
}

RuleResult run_store_rule(std::string_view name, const MakeStorePlace& make_place) {
  const auto rules = all_rules();
  const auto found =
      std::find_if(rules.begin(), rules.end(), [&](const Rule& rule) { return rule.name == name; });
  if (found != rules.end()) return run(*found, make_place);
  return {std::string(name), RuleOutcome::failed, "there is no such rule"};
}

std::vector<std::string> store_rules() {
  std::vector<std::string> names;
  for (const auto& rule : all_rules()) names.emplace_back(rule.name);
  return names;
}

}  // namespace latchkey::test
