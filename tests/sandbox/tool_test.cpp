// SPDX-License-Identifier: MIT
#include <signal.h>
#include <catch2/catch_test_macros.hpp>
#include <string>
#include <vector>

import latchkey.core;
import latchkey.core.json;
import latchkey.test.child;
import latchkey.test.folder;
import latchkey.test.proof_key;
import latchkey.test.registered_clients;
import latchkey.test.wire_client;

using namespace latchkey;
using namespace latchkey::test;

TEST_CASE("latchkey sandbox: says in one line where it is, and ends when it is asked to",
          "[sandbox]") {
  for (const int ending : {SIGTERM, SIGINT}) {
    ChildProcess tool({LATCHKEY_TOOL, "sandbox", "--auto-approve", "--nonce-rotation", "5"});
    const auto line =
        JsonObject::parse(tool.read_line(), ErrorCode::invalid_response, "line").value();
    const auto pds = line.required_string("pds").value();
    const auto accounts = line.objects("accounts").value().value();
    REQUIRE(accounts.size() == 2);
    CHECK(accounts[0].required_string("handle").value() == "alice.test");
    CHECK(accounts[0].required_string("password").value() != "");
    const auto did = accounts[0].required_string("did").value();
    CHECK(exchange(pds, "GET", "/xrpc/com.atproto.identity.resolveHandle?handle=alice.test")
              .text("did") == did);
    CHECK(exchange(line.required_string("plc").value(), "GET", '/' + did).text("id") == did);
    REQUIRE(::kill(tool.id(), ending) == 0);
    CHECK(tool.wait() == 0);
  }
}

TEST_CASE("latchkey sandbox: a port that is taken or impossible is an error", "[sandbox]") {
  ChildProcess first({LATCHKEY_TOOL, "sandbox"});
  const auto line =
      JsonObject::parse(first.read_line(), ErrorCode::invalid_response, "line").value();
  const auto port = line.required_string("pds").value().substr(17);
  CHECK(ChildProcess({LATCHKEY_TOOL, "sandbox", "--port", port}).wait() == 1);
  CHECK(ChildProcess({LATCHKEY_TOOL, "sandbox", "--port", "70000"}).wait() == 2);
  CHECK(ChildProcess({LATCHKEY_TOOL, "sandbox", "--nonce-rotation", "0"}).wait() == 2);
}

TEST_CASE("latchkey sandbox: registers the clients whose documents it is given", "[sandbox]") {
  const TemporaryFolder folder;
  const auto file = (folder.path() / "client.json").string();
  auto metadata = openid_metadata();
  metadata["client_secret"] = quoted(kSecret);
  write_text(file, to_json(metadata));
  ChildProcess tool({LATCHKEY_TOOL, "sandbox", "--client", file});
  const auto line =
      JsonObject::parse(tool.read_line(), ErrorCode::invalid_response, "line").value();
  auto headers = basic("books app");
  headers.emplace_back("Content-Type", "application/x-www-form-urlencoded");
  CHECK(exchange(line.required_string("issuer").value(), "POST", "/oauth/device", headers,
                 "scope=openid")
            .text("user_code") != "");

  CHECK(ChildProcess({LATCHKEY_TOOL, "sandbox", "--client", file + "x"}).wait() == 1);
  write_text(file, "{}");
  CHECK(ChildProcess({LATCHKEY_TOOL, "sandbox", "--client", file}).wait() == 1);
}

TEST_CASE("latchkey sandbox: with --data the accounts are the same the next time", "[sandbox]") {
  TemporaryFolder folder;
  const auto data = (folder.path() / "sandbox.db").string();
  const auto accounts = [&] {
    ChildProcess tool({LATCHKEY_TOOL, "sandbox", "--data", data});
    const auto line =
        JsonObject::parse(tool.read_line(), ErrorCode::invalid_response, "line").value();
    CHECK(::kill(tool.id(), SIGTERM) == 0);
    CHECK(tool.wait() == 0);
    return line.json_text("accounts").value();
  };
  const auto first = accounts();
  CHECK(first.find("did:plc:") != std::string::npos);
  CHECK(accounts() == first);
  write_text(data, "something else");
  CHECK(ChildProcess({LATCHKEY_TOOL, "sandbox", "--data", data}).wait() == 1);
}

TEST_CASE("latchkey sandbox: the control port is there when it is asked for", "[sandbox]") {
  ChildProcess plain({LATCHKEY_TOOL, "sandbox"});
  CHECK(plain.read_line().find("control") == std::string::npos);
  ChildProcess tool({LATCHKEY_TOOL, "sandbox", "--control"});
  const auto line =
      JsonObject::parse(tool.read_line(), ErrorCode::invalid_response, "line").value();
  const auto control = line.object("control").value().value();
  const auto url = control.required_string("url").value();
  CHECK(exchange(url, "GET", "/counts").status == 401);
  const auto pass = "Bearer " + control.required_string("token").value();
  CHECK(exchange(url, "GET", "/counts", {{"Authorization", pass}}).status == 200);
}
