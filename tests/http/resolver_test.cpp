// SPDX-License-Identifier: MIT
#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <chrono>
#include <stop_token>
#include <string>
#include <vector>

import latchkey.core.error;
import latchkey.core.url;
import latchkey.http.policy;
import latchkey.http.resolver;
import latchkey.test.outcome;
import latchkey.test.scripted_resolver;

using namespace std::chrono_literals;
using latchkey::AddressRule;
using latchkey::ErrorCode;
using latchkey::LookupLimits;
using latchkey::Url;
using latchkey::test::outcome;
using latchkey::test::ScriptedResolver;

namespace {

LookupLimits within(std::chrono::milliseconds time, std::stop_token stop = {}) {
  return {.deadline = std::chrono::steady_clock::now() + time, .stop = std::move(stop)};
}

std::vector<std::string> called(std::vector<std::string> found, AddressRule rule,
                                const std::string& url = "https://alice.example/") {
  ScriptedResolver resolver({std::move(found)});
  const auto addresses =
      latchkey::addresses_to_call(resolver, Url::parse(url).value(), rule, within(20s));
  if (!addresses) return {outcome(addresses)};
  std::vector<std::string> out;
  for (const auto& address : *addresses) out.push_back(address.text());
  return out;
}

using Texts = std::vector<std::string>;

}  // namespace

TEST_CASE("system_resolver: leads localhost to this machine", "[http.resolver]") {
  const auto found = latchkey::system_resolver()->addresses("localhost", within(20s));
  REQUIRE(found.has_value());
  REQUIRE_FALSE(found->empty());
  CHECK(std::all_of(found->begin(), found->end(), [](const auto& address) {
    return address.text().starts_with("127.") || address.text() == "::1";
  }));
}

TEST_CASE("system_resolver: a name that is nobody's is unreachable", "[http.resolver]") {
  const auto found = latchkey::system_resolver()->addresses("no-such-host.invalid", within(20s));
  CHECK(outcome(found) == "unreachable http.name");
  CHECK(found.error().message.find("no-such-host.invalid") != std::string::npos);
}

TEST_CASE("addresses_to_call: leaves out what the rule forbids", "[http.resolver]") {
  CHECK(called({"127.0.0.1", "8.8.8.8", "10.0.0.1"}, AddressRule::public_only) == Texts{"8.8.8.8"});
  CHECK(called({"127.0.0.1", "8.8.8.8"}, AddressRule::any) == Texts{"127.0.0.1", "8.8.8.8"});
  CHECK(called({"127.0.0.1", "fd00::1"}, AddressRule::public_only) ==
        Texts{"insecure_address address.not_public"});
  CHECK(called({"8.8.8.8", "::ffff:7f00:1", "::1"}, AddressRule::any, "http://localhost/") ==
        Texts{"::1"});
  CHECK(called({"8.8.8.8", "::ffff:7f00:1"}, AddressRule::any, "http://localhost/") ==
        Texts{"insecure_address address.not_loopback"});
  CHECK(called({}, AddressRule::any) == Texts{"unreachable http.name"});
}

TEST_CASE("addresses_to_call: takes IPv6 and IPv4 in turns, the resolver's first first",
          "[http.resolver]") {
  CHECK(called({"2606::1", "2606::2", "2606::3", "8.8.8.8", "8.8.4.4"}, AddressRule::any) ==
        Texts{"2606::1", "8.8.8.8", "2606::2", "8.8.4.4", "2606::3"});
  CHECK(called({"8.8.8.8", "2606::1"}, AddressRule::any) == Texts{"8.8.8.8", "2606::1"});
}

TEST_CASE("addresses_to_call: tries no more than eight", "[http.resolver]") {
  Texts many(1000, "8.8.8.8");
  CHECK(called(std::move(many), AddressRule::public_only).size() == 8);
}

TEST_CASE("addresses_to_call: a literal is not looked up", "[http.resolver]") {
  CHECK(called({"9.9.9.9"}, AddressRule::public_only, "https://8.8.8.8/") == Texts{"8.8.8.8"});
  CHECK(called({"9.9.9.9"}, AddressRule::any, "https://[::1]/") == Texts{"::1"});
  CHECK(called({"9.9.9.9"}, AddressRule::public_only, "https://[::1]/") ==
        Texts{"insecure_address address.not_public"});
}
