// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <condition_variable>
#include <cstddef>
#include <mutex>
#include <string>
#include <utility>
#include <vector>
module latchkey.test.scripted_resolver;
import latchkey.core.error;
import latchkey.http.policy;
import latchkey.http.resolver;

namespace latchkey::test {
namespace {

Error silence(const LookupLimits& limits) {
  std::mutex mutex;
  std::condition_variable_any changed;
  std::unique_lock lock(mutex);
  changed.wait_until(lock, limits.stop, limits.deadline, [] { return false; });
  if (limits.stop.stop_requested())
    return make_error(ErrorCode::cancelled, "http.cancelled", "the test was cancelled");
  return make_error(ErrorCode::timeout, "http.connect_timeout", "the test's resolver is silent");
}

}  // namespace

ScriptedResolver::ScriptedResolver(std::vector<std::vector<std::string>> answers)
    : answers_(std::move(answers)) {}

Result<std::vector<IpAddress>> ScriptedResolver::addresses(const std::string& name,
                                                           const LookupLimits& limits) {
  asked_.push_back(name);
  if (answers_.empty()) return silence(limits);
  std::vector<IpAddress> out;
  for (const auto& text : answers_[std::min(asked_.size(), answers_.size()) - 1])
    out.push_back(IpAddress::parse(text).value());
  return out;
}

}  // namespace latchkey::test
