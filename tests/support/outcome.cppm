// SPDX-License-Identifier: MIT
module;
#include <string>
export module latchkey.test.outcome;
import latchkey.core.error;

// Results as text, so that one CHECK compares code and detail and a failing one shows both.

export namespace latchkey::test {

/// "conflict file.exists".
[[nodiscard]] std::string outcome(const Error& error) {
  return std::string(to_string(error.code)) + ' ' + error.detail;
}

/// "ok", or the error's code and detail.
template <class T>
[[nodiscard]] std::string outcome(const Result<T>& result) {
  return result.has_value() ? std::string("ok") : outcome(result.error());
}

/// The error's detail, or "" if there is none.
template <class T>
[[nodiscard]] std::string detail_of(const Result<T>& result) {
  return result.has_value() ? std::string() : result.error().detail;
}

}  // namespace latchkey::test
