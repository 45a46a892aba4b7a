// SPDX-License-Identifier: MIT
module;
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>
export module latchkey.test.conformance;
import latchkey.core.error;
import latchkey.core.time;
import latchkey.store;

// What every session store must do, as rules that can be run over any backend, also over one of
// yours: it needs no test framework. Write a StorePlace for the backend, run the rules, and look at
// what did not pass.

export namespace latchkey::test {

/// Somewhere to keep sessions; empty when made, gone when destroyed.
class StorePlace {
 public:
  StorePlace() = default;
  StorePlace(const StorePlace&) = delete;
  StorePlace& operator=(const StorePlace&) = delete;
  virtual ~StorePlace();

  /// An instance over this place: each time another one, as another process would have; the same
  /// one where there can be only one. Instances of one place can unseal each other's sessions.
  [[nodiscard]] virtual Result<std::shared_ptr<OAuthTokenStore>> open() = 0;
  /// The clock that its instances wait by.
  [[nodiscard]] virtual std::shared_ptr<Clock> clock();
  /// How long a change by one instance may be unknown to the change counters of others, which then
  /// move by the clock alone. Zero: they are told.
  [[nodiscard]] virtual Duration staleness();
  /// Makes this subject's record unreadable, behind the store's back. False: that cannot happen
  /// here.
  [[nodiscard]] virtual bool damage(std::string_view subject);
  /// The places that a power cut at this moment may leave. None: not simulated here.
  [[nodiscard]] virtual std::vector<std::unique_ptr<StorePlace>> after_power_cut();
};

using MakeStorePlace = std::function<std::unique_ptr<StorePlace>()>;

enum class RuleOutcome { passed, failed, skipped };

struct RuleResult {
  std::string rule;  ///< stable, e.g. "save.compares_revisions"
  RuleOutcome outcome = RuleOutcome::passed;
  std::string explanation;  ///< of what failed, or of why it was skipped
};

/// Runs every rule, each in a place of its own.
[[nodiscard]] std::vector<RuleResult> run_store_conformance(const MakeStorePlace& make_place);
/// Runs one of them.
[[nodiscard]] RuleResult run_store_rule(std::string_view rule, const MakeStorePlace& make_place);
/// Their names.
[[nodiscard]] std::vector<std::string> store_rules();

}  // namespace latchkey::test
