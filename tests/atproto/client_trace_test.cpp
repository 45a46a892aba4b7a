// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

import latchkey.atproto.client;
import latchkey.core;
import latchkey.http.dns;
import latchkey.http.trace;
import latchkey.session;
import latchkey.test.login_world;
import latchkey.test.refresh_world;

// What the whole client tells a tracer beside its requests.

using namespace latchkey;
using namespace latchkey::test;

namespace {

class EmptyDns final : public DnsResolver {
 public:
  Result<std::vector<std::string>> txt(const std::string&, const DnsOptions&) override {
    return std::vector<std::string>{};
  }
};

}  // namespace

TEST_CASE("G-46: a web login's steps are in the client's trace, and DNS is", "[client][web]") {
  LoginWorld w;
  std::string steps;
  const auto tracer = std::make_shared<Tracer>(
      [&](const TraceEvent& event) {
        const auto* step = std::get_if<TracedStep>(&event.what);
        // What becomes of sessions is told by a thread of its own.
        if (step != nullptr && !step->name.text().starts_with("session_"))
          steps += std::string(step->name.text()) + " " + step->detail.text() + ";";
      },
      w.world.clock, *w.world.random);
  AtprotoClient client =
      AtprotoClient::create({.client = loopback_client("atproto transition:generic"),
                             .store = w.world.store,
                             .vault = w.world.vault,
                             .transport = w.server,
                             .strangers = w.strangers,
                             .dns = std::make_shared<EmptyDns>(),
                             .clock = w.world.clock,
                             .random = w.world.random,
                             .tracer = tracer})
          .value();
  const auto traced = [&] { return std::exchange(steps, {}); };

  CHECK_FALSE(client.authorize("not a handle", {}));
  CHECK(traced() == "login_failed handle.malformed;");
  const auto begun =
      client.authorize("alice.test", {.redirect_uri = std::string(kRedirect)}).value();
  CHECK(traced() == "dns_empty ;login_begun ;");
  CHECK(client.callback(LoginWorld::callback(begun.state), begun.browser_binding).session);
  CHECK(traced() == "callback ;logged_in ;");
  CHECK_FALSE(client.callback(LoginWorld::callback(begun.state), begun.browser_binding).session);
  CHECK(traced() == "callback ;login_failed callback.unknown_state;");
}
