// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <exception>
#include <iostream>
#include <memory>
#include <stop_token>
#include <utility>
module latchkey.examples.web_backend.housekeeping;
import latchkey.core;
import latchkey.examples.web_backend.visitors;
import latchkey.store;

namespace web_backend {
namespace {

constexpr std::chrono::hours kInterval{1};

// What fails now is done the next time.
void sweep(latchkey::OAuthTokenStore& store, Visitors& visitors, latchkey::TimePoint now) {
  try {
    const auto swept = store.sweep(now);
    if (!swept) std::cerr << "web_backend: " << swept.error().message << '\n';
    visitors.sweep();
  } catch (const std::exception&) {
    std::cerr << "web_backend: can't remove old visitors\n";
  }
}

}  // namespace

Housekeeping::Housekeeping(std::shared_ptr<latchkey::OAuthTokenStore> store,
                           std::shared_ptr<Visitors> visitors)
    : thread_([store = std::move(store), visitors = std::move(visitors)](std::stop_token stop) {
        latchkey::SystemClock clock;
        while (clock.sleep_for(kInterval, stop)) sweep(*store, *visitors, clock.now());
      }) {}

}  // namespace web_backend
