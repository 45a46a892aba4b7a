// SPDX-License-Identifier: MIT
module;
#include <functional>
#include <string>
#include <vector>
export module latchkey.test.sample;
import latchkey.session;

// A session with every member set, and a change for every member: for tests that must not forget
// one.

export namespace latchkey::test {

[[nodiscard]] SessionSummary sample_summary();
/// The sample summary with the tokens "access-token", "refresh-token" and "id-token".
[[nodiscard]] OAuthSession sample_session();

struct MemberChange {
  std::string member;
  std::function<void(SessionSummary&)> apply;  ///< gives the member another value
};

/// One for each of the 23 members, and one more for each that can be absent.
[[nodiscard]] std::vector<MemberChange> member_changes();

}  // namespace latchkey::test
