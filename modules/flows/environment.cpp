// SPDX-License-Identifier: MIT
module;
#include <memory>
#include <utility>
module latchkey.flows.environment;
import latchkey.core.crypto;
import latchkey.core.error;
import latchkey.core.time;
import latchkey.http;
import latchkey.http.cpprest;
import latchkey.flows.tracing;
import latchkey.http.policy;
import latchkey.http.trace;
import latchkey.loopback.browser;

namespace latchkey {

Result<void> fill_defaults(FlowEnvironment& environment) {
  if (!environment.transport) {
    auto made = CpprestTransport::open({.address_rule = environment.address_rule,
                                        .http_rule = environment.http_rule,
                                        .extra_ca_file = environment.extra_ca_file,
                                        .proxy = environment.proxy.clone()});
    if (!made) return std::move(made).error();
    environment.transport = *std::move(made);
  }
  if (!environment.clock) environment.clock = std::make_shared<SystemClock>();
  if (!environment.random) environment.random = std::make_shared<SystemRandom>();
  if (!environment.browser) environment.browser = system_browser();
  environment.transport = traced(std::move(environment.transport), environment.tracer);
  environment.browser = traced(std::move(environment.browser), environment.tracer);
  return {};
}

}  // namespace latchkey
