// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>

import latchkey.core;

using namespace latchkey;

namespace {

Error broken() {
  return make_error(ErrorCode::corrupt, "file.truncated", "cannot read x: it ends early");
}

Result<int> parsed(int value) {
  return value;
}
Result<int> failed() {
  return broken();
}

}  // namespace

TEST_CASE("error codes: at most forty, each with a name of its own", "[error]") {
  std::set<std::string_view> names;
  constexpr int last = static_cast<int>(ErrorCode::rate_limited);
  for (int code = 0; code <= last; ++code) names.insert(to_string(static_cast<ErrorCode>(code)));
  CHECK(names.size() == static_cast<std::size_t>(last) + 1);
  CHECK(names.size() <= 40);
  CHECK(names.count("unknown") == 0);
  CHECK(to_string(static_cast<ErrorCode>(last + 1)) == "unknown");
}

TEST_CASE("error: make_error fills three members and leaves the others at rest", "[error]") {
  const auto error = broken();
  CHECK(error.code == ErrorCode::corrupt);
  CHECK(error.detail == "file.truncated");
  CHECK(error.message == "cannot read x: it ends early");
  CHECK_FALSE(error.oauth.has_value());
  CHECK(error.http_status == 0);
  CHECK_FALSE(error.retry_after.has_value());
  CHECK(error.delivery == Delivery::not_sent);
}

TEST_CASE("result: a value is a value", "[error]") {
  auto result = parsed(7);
  CHECK(result.has_value());
  CHECK(static_cast<bool>(result));
  CHECK(*result == 7);
  CHECK(result.value() == 7);
  CHECK(std::move(result).value_or(9) == 7);
}

TEST_CASE("result: an error is an error, and value() throws it", "[error]") {
  const auto result = failed();
  CHECK_FALSE(result.has_value());
  CHECK_FALSE(static_cast<bool>(result));
  CHECK(result.error().detail == "file.truncated");
  CHECK_THROWS_AS(result.value(), Exception);
  try {
    static_cast<void>(failed().value());
    FAIL("value() of an error returned");
  } catch (const Exception& exception) {
    CHECK(exception.error().code == ErrorCode::corrupt);
    CHECK(std::string_view(exception.what()) == "cannot read x: it ends early (file.truncated)");
  }
}

TEST_CASE("result: value_or gives the other one for an error", "[error]") {
  CHECK(failed().value_or(9) == 9);
}

TEST_CASE("result: carries what can only be moved", "[error]") {
  Result<std::unique_ptr<int>> result(std::make_unique<int>(3));
  auto taken = std::move(result).value();
  CHECK(*taken == 3);
}

TEST_CASE("result: an empty optional is a value, not an error", "[error]") {
  const Result<std::optional<int>> absent = std::optional<int>();
  CHECK(absent.has_value());
  CHECK_FALSE(absent->has_value());
}

TEST_CASE("result: and_then goes on after a value and stops at the first error", "[error]") {
  int calls = 0;
  const auto twice = [&](int value) -> Result<int> {
    ++calls;
    return value * 2;
  };
  CHECK(parsed(4).and_then(twice).value() == 8);
  CHECK(calls == 1);
  CHECK(failed().and_then(twice).error().detail == "file.truncated");
  CHECK(calls == 1);
  CHECK(parsed(4).and_then([](int) { return failed(); }).error().detail == "file.truncated");
}

TEST_CASE("result: transform converts a value and keeps an error", "[error]") {
  const auto text = [](int value) { return std::to_string(value); };
  CHECK(parsed(4).transform(text).value() == "4");
  CHECK(failed().transform(text).error().code == ErrorCode::corrupt);
}

TEST_CASE("result<void>: done, or an error that value() throws", "[error]") {
  const Result<void> done;
  CHECK(done.has_value());
  CHECK_NOTHROW(done.value());
  const Result<void> not_done = broken();
  CHECK_FALSE(static_cast<bool>(not_done));
  CHECK(not_done.error().code == ErrorCode::corrupt);
  CHECK_THROWS_AS(not_done.value(), Exception);
}

TEST_CASE("result<void>: and_then goes on only when done", "[error]") {
  CHECK(Result<void>().and_then([] { return parsed(1); }).value() == 1);
  bool called = false;
  const auto next = [&]() -> Result<int> {
    called = true;
    return 1;
  };
  CHECK(Result<void>(broken()).and_then(next).error().detail == "file.truncated");
  CHECK_FALSE(called);
}
