// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
export module latchkey.test.rules;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.os.locks;
import latchkey.core.time;
import latchkey.session;
import latchkey.store;
import latchkey.store.record;
import latchkey.test.conformance;

// What the rules of latchkey.test.conformance are made of.

export namespace latchkey::test {

/// Thrown by a rule that is broken, and by one that cannot be checked in a place.
struct Broken {
  std::string why;
};
struct Skipped {
  std::string why;
};

/// Throws Broken if it does not hold.
void expect(bool holds, std::string_view what);
/// Throws Broken unless the result is an error of this code.
void expect_error(const Error* error, ErrorCode code, std::string_view what);

template <class T>
const Error* error_of(const Result<T>& result) {
  return result.has_value() ? nullptr : &result.error();
}

[[noreturn]] void fail(std::string_view what, const Error& error);

/// The value, or Broken.
template <class T>
T need(Result<T> result, std::string_view what) {
  if (!result) fail(what, result.error());
  return std::move(*result);
}
inline void need(const Result<void>& result, std::string_view what) {
  if (!result) fail(what, result.error());
}

using Store = std::shared_ptr<OAuthTokenStore>;
[[nodiscard]] Store open(StorePlace& place);

inline constexpr std::string_view kAlice = "did:plc:alice";
inline constexpr std::string_view kBob = "did:plc:bob";
inline constexpr Revision kNone{};

/// A record with every member filled, different for each revision; its box is no real one.
[[nodiscard]] SealedRecord record_of(std::string_view subject, std::uint64_t revision);
/// Saves record_of(subject, revision) over `expected`.
[[nodiscard]] Result<void> put(OAuthTokenStore& store, std::string_view subject,
                               std::uint64_t revision, Revision expected = {});
/// The stored revision; 0 if there is no record. Throws Broken on an error.
[[nodiscard]] std::uint64_t stored(OAuthTokenStore& store, std::string_view subject);

/// Waits as long as a correct store can ever need; waits a moment.
[[nodiscard]] LockWait patiently(StorePlace& place);
[[nodiscard]] LockWait briefly(StorePlace& place);

/// Runs `work` on that many threads at once; what one of them throws is thrown here.
void on_threads(int count, const std::function<void(int)>& work);

struct Rule {
  std::string_view name;
  void (*check)(StorePlace& place);
};

[[nodiscard]] std::vector<Rule> record_rules();
[[nodiscard]] std::vector<Rule> list_rules();
[[nodiscard]] std::vector<Rule> lease_rules();
[[nodiscard]] std::vector<Rule> refresh_rules();
[[nodiscard]] std::vector<Rule> login_rules();
[[nodiscard]] std::vector<Rule> aside_rules();
[[nodiscard]] std::vector<Rule> sweep_rules();
[[nodiscard]] std::vector<Rule> durability_rules();

}  // namespace latchkey::test
