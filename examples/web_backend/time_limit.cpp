// SPDX-License-Identifier: MIT
module;
#include <stop_token>
#include <thread>
#include <utility>
module latchkey.examples.web_backend.time_limit;
import latchkey.core;

namespace web_backend {

TimeLimit::TimeLimit(latchkey::Duration limit)
    : timer_([this, limit](std::stop_token done) {
        if (latchkey::SystemClock{}.sleep_for(limit, std::move(done))) over_.request_stop();
      }) {}

}  // namespace web_backend
