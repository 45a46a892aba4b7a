// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <string>
#include <utility>

import latchkey.atproto.client;
import latchkey.core;
import latchkey.session;
import latchkey.store;
import latchkey.test.outcome;
import latchkey.test.raw_server;
import latchkey.test.refresh_world;

// Whom a client calls over its own transports, with nothing put in their place.

using namespace latchkey;
using namespace latchkey::test;

namespace {

// A client with a session whose PDS was discovered at `origin`.
std::string request_to_pds_at(const std::string& origin, HttpRule rule) {
  World world;
  OAuthSession session = sample_session(world.jkt);
  session.resource_server = origin;
  session.revision = Revision{1};
  REQUIRE(world.store->save(session, Revision{}));
  const auto client = AtprotoClient::create({.client = loopback_client_of(std::string(kClientId)),
                                             .store = world.store,
                                             .vault = world.vault,
                                             .http_rule = rule,
                                             .clock = world.clock,
                                             .random = world.random});
  REQUIRE(client.has_value());
  return outcome(client->request(kSubject, "GET", "/xrpc/com.atproto.server.getSession", "", ""));
}

}  // namespace

TEST_CASE("C3.14: a PDS that was discovered at a private address gets no request", "[client]") {
  RawServer server([](Peer& peer) { peer.wait_for_close(); });
  const auto port = ":" + std::to_string(server.port());
  for (const std::string host : {"127.0.0.1", "[::1]", "[::ffff:7f00:1]", "localhost"}) {
    CAPTURE(host);
    CHECK(request_to_pds_at("https://" + host + port, HttpRule::https_only) ==
          "insecure_address address.not_public");
  }
  CHECK(server.connections() == 0);
}

TEST_CASE("C3.14: a development server on this machine is called when that is allowed",
          "[client]") {
  RawServer server([](Peer& peer) {
    while (!peer.read_request().empty()) peer.write(ok_answer("{}"));
  });
  CHECK(request_to_pds_at(server.origin(), HttpRule::allow_http_for_loopback) == "ok");
}
