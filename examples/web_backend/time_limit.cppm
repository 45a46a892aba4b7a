// SPDX-License-Identifier: MIT
module;
#include <stop_token>
#include <thread>
export module latchkey.examples.web_backend.time_limit;
import latchkey.core;

export namespace web_backend {

/// Asks whoever has its token to stop, once the time is over.
class TimeLimit {
 public:
  explicit TimeLimit(latchkey::Duration limit);

  [[nodiscard]] std::stop_token token() const { return over_.get_token(); }

 private:
  std::stop_source over_;
  std::jthread timer_;  // last: it uses the other
};

}  // namespace web_backend
