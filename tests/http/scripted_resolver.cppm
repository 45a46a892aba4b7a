// SPDX-License-Identifier: MIT
module;
#include <cstddef>
#include <string>
#include <vector>
export module latchkey.test.scripted_resolver;
import latchkey.core.error;
import latchkey.http.policy;
import latchkey.http.resolver;

// A resolver that a test (or the attacker whom it plays) owns.

export namespace latchkey::test {

/// Leads every name to the answers given, one after the other; the last one stays. No answers: it
/// is silent until the limits end the look-up. Thread-safe only as far as one look-up at a time.
class ScriptedResolver final : public NameResolver {
 public:
  explicit ScriptedResolver(std::vector<std::vector<std::string>> answers);
  [[nodiscard]] Result<std::vector<IpAddress>> addresses(const std::string& name,
                                                         const LookupLimits& limits) override;
  /// The names it was asked for.
  [[nodiscard]] const std::vector<std::string>& asked() const { return asked_; }

 private:
  std::vector<std::vector<std::string>> answers_;
  std::vector<std::string> asked_;
};

}  // namespace latchkey::test
