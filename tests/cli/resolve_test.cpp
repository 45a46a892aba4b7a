// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

import latchkey.core;
import latchkey.sandbox;
import latchkey.test.folder;
import latchkey.test.tool;
import latchkey.test.tool_places;

// latchkey resolve, against the sandbox.

using namespace latchkey;
using namespace latchkey::test;
using Json = nlohmann::json;

namespace {

struct World {
  std::unique_ptr<sandbox::Sandbox> servers = sandbox::Sandbox::start().value();
  sandbox::Account alice = servers->add_account("alice.test", {}, true).value();
  Home home{};

  [[nodiscard]] ToolRun resolve(const std::string& who, std::vector<std::string> more = {}) const {
    more.insert(more.begin(), {"resolve", who});
    ToolStart start = home.start(std::move(more));
    start.environment["LATCHKEY_PLC_URL"] = servers->plc();
    start.environment["LATCHKEY_RESOLVE_HANDLES_AT"] = servers->pds();
    start.environment["LATCHKEY_ALLOW_HTTP_FOR_LOOPBACK"] = "1";
    return run(std::move(start));
  }
};

}  // namespace

TEST_CASE("C2.1: for latchkey resolve a handle, a DID and a URL lead where a login would go",
          "[cli]") {
  const World world;
  const std::string account = "did\t" + world.alice.did + "\nhandle\talice.test\n";
  const std::string server =
      "pds\t" + world.servers->pds() + "\nissuer\t" + world.servers->issuer() + "\n";
  CHECK(world.resolve("@Alice.test").out == account + server);
  CHECK(world.resolve(world.alice.did).out == account + server);
  CHECK(world.resolve(world.servers->pds()).out == server);
  const auto json = Json::parse(world.resolve("alice.test", {"--json"}).out);
  CHECK(json == Json{{"did", world.alice.did},
                     {"handle", "alice.test"},
                     {"pds", world.servers->pds()},
                     {"issuer", world.servers->issuer()}});
  CHECK(Json::parse(world.resolve(world.servers->pds(), {"--json"}).out)["did"].is_null());
}

TEST_CASE("resolve: what leads nowhere fails and says why", "[cli]") {
  const World world;
  const ToolRun nobody = world.resolve("nobody.test", {"--json"});
  CHECK(nobody.status == 1);
  CHECK(nobody.out.empty());
  CHECK(Json::parse(nobody.err)["error"]["detail"] == "handle.not_found");
  CHECK(world.resolve("did:plc:aaaaaaaaaaaaaaaaaaaaaaaa").status == 1);
  for (const char* malformed : {"", "alice", "alice.local", "did:key:z"}) {
    CHECK(world.resolve(malformed).status == 2);
  }
}
