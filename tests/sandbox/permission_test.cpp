// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <memory>
#include <string>
#include <vector>

import latchkey.core;
import latchkey.sandbox;
import latchkey.sandbox.permission_scope;
import latchkey.sandbox.permissions;
import latchkey.test.wire_client;

using namespace latchkey;
using namespace latchkey::sandbox;
using namespace latchkey::test;

TEST_CASE("permission scopes: what follows the grammar is read", "[sandbox]") {
  for (const char* good : {"repo:*",
                           "repo:app.bsky.feed.post",
                           "repo:app.bsky.feed.post?action=create",
                           "repo?collection=a.b.c&collection=d.e.f&action=update&action=delete",
                           "rpc:a.b.c?aud=*",
                           "rpc:*?aud=did:web:api.example.com%23svc",
                           "rpc?lxm=a.b.c&lxm=d.e.f&aud=*",
                           "rpc:a.b.c?aud=did:web:api.example.com#svc",
                           "blob:*/*",
                           "blob:image/*",
                           "blob:image/png",
                           "blob?accept=image/*&accept=video/mp4",
                           "blob:image/svg%2Bxml",
                           "account:email",
                           "account:repo?action=manage",
                           "account?attr=email&action=read",
                           "identity:handle",
                           "identity:*",
                           "include:a.b.c",
                           "include:a.b.c?aud=did:web:api.example.com%23svc"}) {
    INFO(good);
    CHECK(parse_permission_scope(good).has_value());
  }
  const auto scope = parse_permission_scope("repo?collection=a.b.c&action=create&collection=d.e.f");
  CHECK(scope->all("collection") == std::vector<std::string>{"a.b.c", "d.e.f"});
  CHECK(parse_permission_scope("rpc:a.b.c?aud=*")->all("lxm") == std::vector<std::string>{"a.b.c"});
}

TEST_CASE("permission scopes: what breaks a rule is nothing", "[sandbox]") {
  for (const char* bad : {"",
                          "repo",
                          "repo:",
                          "repo:app.bsky.*",
                          "repo:post",
                          "repo:a.b.c?action=read",
                          "repo:a.b.c?action",
                          "repo:a.b.c?collection=d.e.f",
                          "repo:a.b.c?verb=create",
                          "repo:a.b.c?action=%zz",
                          "repo:%zz",
                          "Repo:a.b.c",
                          "rpc:a.b.c",
                          "rpc:*?aud=*",
                          "rpc?lxm=a.b.c&lxm=*&aud=*",
                          "rpc:a.b.c?aud=*&aud=*",
                          "rpc:a.b.c?aud=did:web:example.com",
                          "rpc:a.b.c?aud=example.com%23svc",
                          "rpc:a.b.c?aud=did:web:example.com%23a%23b",
                          "blob",
                          "blob:image",
                          "blob:*/png",
                          "blob:image/",
                          "blob:/png",
                          "blob:image/p*",
                          "blob:image/*?accept=video/*",
                          "account:",
                          "account:handle",
                          "account:email?action=create",
                          "account:email?action=read&action=manage",
                          "identity",
                          "identity:email",
                          "identity:handle?action=manage",
                          "include:*",
                          "include:a.b.c?aud=*",
                          "include:a.b.c?x=y",
                          "unknown:a.b.c",
                          ":a.b.c",
                          "?action=create"}) {
    INFO(bad);
    CHECK_FALSE(parse_permission_scope(bad).has_value());
  }
}

TEST_CASE("granted scope: malformed permissions and sets that can't be fetched are dropped",
          "[sandbox]") {
  CHECK(known_scope("atproto blob:image blob:image/* include:a.b.c rpc:*?aud=* identity:*") ==
        "atproto blob:image/* identity:*");
}

TEST_CASE("getSession: the e-mail address only for who may see it", "[sandbox]") {
  const auto servers = Sandbox::start().value();
  static_cast<void>(servers->add_account("alice.test", "secret", true).value());
  const auto email = [&](const std::string& scope) {
    WireClient client(*servers, scope);
    const auto token = client.log_in().text("access_token");
    return client.call("GET", "/xrpc/com.atproto.server.getSession", token).text("email");
  };
  CHECK(email("atproto") == "");
  CHECK(email("atproto transition:generic") == "");
  CHECK(email("atproto account:repo") == "");
  CHECK(email("atproto account:email?action=delete") == "");
  CHECK(email("atproto account:email") == "owner@alice.test");
  CHECK(email("atproto account:email?action=manage") == "owner@alice.test");
  CHECK(email("atproto transition:email") == "owner@alice.test");
}
