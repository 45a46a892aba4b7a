// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <string>
#include <string_view>
#include <vector>

import latchkey.atproto.permission;
import latchkey.core.error;
import latchkey.test.outcome;

// The grammar of permissions, as tables: what a word of a scope is, and what it is not.

using namespace latchkey;
using namespace latchkey::test;

namespace {

struct Row {
  std::string_view word;
  std::string_view written;  // as text() gives it back
};

constexpr Row kValid[] = {
    // repo
    {"repo:app.bsky.feed.post", "repo:app.bsky.feed.post"},
    {"repo:*", "repo:*"},
    {"repo:*?action=delete", "repo:*?action=delete"},
    {"repo:app.bsky.feed.post?action=create", "repo:app.bsky.feed.post?action=create"},
    {"repo:a.b.c?action=create&action=update", "repo:a.b.c?action=create&action=update"},
    {"repo:a.b.c?action=update&action=create&action=delete",
     "repo:a.b.c?action=update&action=create&action=delete"},
    {"repo?collection=a.b.c", "repo:a.b.c"},
    {"repo?collection=a.b.c&collection=d.e.f", "repo?collection=a.b.c&collection=d.e.f"},
    {"repo?action=create&collection=a.b.c&collection=d.e.f",
     "repo?collection=a.b.c&collection=d.e.f&action=create"},
    {"repo?collection=*&action=update", "repo:*?action=update"},
    {"repo?collection=%2A", "repo:*"},
    {"repo:%2A", "repo:*"},
    {"repo:app.bsky.feed%2Epost", "repo:app.bsky.feed.post"},
    {"repo:app.bsky.feed.post?", "repo:app.bsky.feed.post"},
    {"repo:a.b.c?&action=create&", "repo:a.b.c?action=create"},
    {"repo:a.b.c?%61ction=create", "repo:a.b.c?action=create"},
    {"repo:a.b.cD", "repo:a.b.cD"},
    // rpc
    {"rpc:app.bsky.feed.getTimeline?aud=*", "rpc:app.bsky.feed.getTimeline?aud=*"},
    {"rpc:*?aud=did:web:api.bsky.app%23bsky_appview",
     "rpc:*?aud=did:web:api.bsky.app%23bsky_appview"},
    {"rpc:a.b.c?aud=did:web:api.bsky.app#bsky_appview",
     "rpc:a.b.c?aud=did:web:api.bsky.app%23bsky_appview"},
    {"rpc:a.b.c?aud=did%3Aweb%3Aapi.bsky.app%23x", "rpc:a.b.c?aud=did:web:api.bsky.app%23x"},
    {"rpc:a.b.c?aud=did:plc:ewvi7nxzyoun6zhxrhs64oiz%23x",
     "rpc:a.b.c?aud=did:plc:ewvi7nxzyoun6zhxrhs64oiz%23x"},
    {"rpc?lxm=a.b.c&aud=*", "rpc:a.b.c?aud=*"},
    {"rpc?aud=*&lxm=a.b.c&lxm=d.e.f", "rpc?lxm=a.b.c&lxm=d.e.f&aud=*"},
    {"rpc?lxm=*&aud=did:web:api.bsky.app%23x", "rpc:*?aud=did:web:api.bsky.app%23x"},
    {"rpc:a.b.c?aud=%2A", "rpc:a.b.c?aud=*"},
    // blob
    {"blob:image/png", "blob:image/png"},
    {"blob:image/*", "blob:image/*"},
    {"blob:*/*", "blob:*/*"},
    {"blob:image%2Fpng", "blob:image/png"},
    {"blob:image/svg+xml", "blob:image/svg+xml"},
    {"blob?accept=image/svg%2Bxml", "blob:image/svg+xml"},
    {"blob?accept=video/*&accept=text/html", "blob?accept=video/*&accept=text/html"},
    {"blob?accept=image/svg%2Bxml&accept=a/b", "blob?accept=image/svg%2Bxml&accept=a/b"},
    {"blob:application/vnd.ms-excel", "blob:application/vnd.ms-excel"},
    // account
    {"account:email", "account:email"},
    {"account:email?action=read", "account:email?action=read"},
    {"account:email?action=manage", "account:email?action=manage"},
    {"account:repo", "account:repo"},
    {"account:repo?action=manage", "account:repo?action=manage"},
    {"account?attr=email", "account:email"},
    {"account?action=manage&attr=repo", "account:repo?action=manage"},
    // identity
    {"identity:handle", "identity:handle"},
    {"identity:*", "identity:*"},
    {"identity:*?", "identity:*"},
    {"identity?attr=handle", "identity:handle"},
    // include
    {"include:app.bsky.authFull", "include:app.bsky.authFull"},
    {"include?nsid=app.bsky.authFull", "include:app.bsky.authFull"},
    {"include:app.bsky.authFull?aud=did:web:api.bsky.app%23bsky_appview",
     "include:app.bsky.authFull?aud=did:web:api.bsky.app%23bsky_appview"},
    {"include:app.bsky.authFull?aud=did:web:api.bsky.app#bsky_appview",
     "include:app.bsky.authFull?aud=did:web:api.bsky.app%23bsky_appview"},
    {"include?aud=did:web:api.bsky.app%23x&nsid=a.b.c",
     "include:a.b.c?aud=did:web:api.bsky.app%23x"},
};

constexpr std::string_view kUnknownResource[] = {
    "",
    "atproto",
    "transition:generic",
    "scope",
    "email",
    "Repo:a.b.c",
    "REPO:a.b.c",
    "Rpc:a.b.c?aud=*",
    "Blob:image/png",
    "Account:email",
    "Identity:handle",
    "Include:a.b.c",
    "repos:a.b.c",
    "notrpc:a.b.c?aud=*",
    " repo:a.b.c",
    "repo%3Aa.b.c",
    "space:a.b.c",
    ":repo",
    "?repo",
    "include#a.b.c",
};

constexpr std::string_view kBadEncoding[] = {
    "repo:%",          "repo:a.b.%2", "repo:a.b.c?action=%zz", "blob:image%2",
    "rpc:a.b.c?aud=%", "account:%G0", "identity:%-1",          "repo:a.b.c?%=create",
};

constexpr std::string_view kBadParameter[] = {
    // repo
    "repo",
    "repo:",
    "repo?",
    "repo:a",
    "repo:a.b",
    "repo:.a.b",
    "repo:a.b.",
    "repo:a..b.c",
    "repo:123",
    "repo:app.bsky.feed.*",
    "repo:app.*",
    "repo:**",
    "repo:a.b.c,d.e.f",
    "repo:a.b.c d.e.f",
    "repo:a.b.c+d",
    "repo:a.b.c?action=*",
    "repo:a.b.c?action=",
    "repo:a.b.c?action",
    "repo:a.b.c?action=read",
    "repo:a.b.c?action=Create",
    "repo:a.b.c?action=create,update",
    "repo:a.b.c?action=create+update",
    "repo:a.b.c?Action=create",
    "repo:a.b.c?actions=create",
    "repo:a.b.c?aud=*",
    "repo:a.b.c?collection=a.b.c",
    "repo:a.b.c?collection=d.e.f",
    "repo:a.b.c?action=create&collection=d.e.f",
    "repo:?collection=a.b.c",
    "repo?action=create",
    "repo?collection=",
    "repo?collection=a.b.c&collection=d",
    "repo:*?=create",
    // rpc
    "rpc",
    "rpc:",
    "rpc:*",
    "rpc:a.b.c",
    "rpc?aud=*",
    "rpc:*?aud=*",
    "rpc?lxm=*&aud=*",
    "rpc?lxm=a.b.c&lxm=*&aud=*",
    "rpc:a.b.*?aud=*",
    "rpc:a.b?aud=*",
    "rpc:a.b.c?aud=",
    "rpc:a.b.c?aud=did:web:api.bsky.app",
    "rpc:a.b.c?aud=did:web:api.bsky.app%23",
    "rpc:a.b.c?aud=did:web:api.bsky.app%23a%23b",
    "rpc:a.b.c?aud=did:web:%23x",
    "rpc:a.b.c?aud=did:plc:111%23x",
    "rpc:a.b.c?aud=did:key:z6Mk%23x",
    "rpc:a.b.c?aud=api.bsky.app%23x",
    "rpc:a.b.c?aud=%23x",
    "rpc:a.b.c?aud=**",
    "rpc:a.b.c?aud=*&aud=*",
    "rpc:a.b.c?Aud=*",
    "rpc:a.b.c?aud=*&lxm=a.b.c",
    "rpc:a.b.c?aud=*&x=y",
    "rpc:a.b.c?aud=did:web:api.bsky.app%23x y",
    // blob
    "blob",
    "blob:",
    "blob:image",
    "blob:image/",
    "blob:/png",
    "blob:*",
    "blob:*/png",
    "blob:*/**",
    "blob:image/p*",
    "blob:image/png/x",
    "blob:image/png;q=1",
    "blob:image/png?accept=image/png",
    "blob?Accept=image/png",
    "blob?accept=image/svg+xml",
    "blob?accept=image/png&accept=image",
    "blob:image/png?x=1",
    // account
    "account",
    "account:",
    "account:*",
    "account:status",
    "account:Email",
    "account:email?action=write",
    "account:email?action=*",
    "account:email?action=read&action=manage",
    "account:email?attr=repo",
    "account?attr=email&attr=repo",
    "account?action=read",
    // identity
    "identity",
    "identity:",
    "identity:did",
    "identity:Handle",
    "identity:*?attr=*",
    "identity:*?action=manage",
    "identity?attr=handle&attr=*",
    // include
    "include",
    "include:",
    "include:*",
    "include:a.b",
    "include:a..b.c",
    "include:9a.b.c^",
    "include:a.b.c?aud=",
    "include:a.b.c?aud=*",
    "include:a.b.c?aud=did:web:api.bsky.app",
    "include:a.b.c?nsid=a.b.c",
    "include?nsid=a.b.c&nsid=d.e.f",
    "include:a.b.c?action=create",
};

}  // namespace

TEST_CASE("C9.1, C9.2, C9.3: every permission of the table is read and written back",
          "[permission]") {
  for (const auto& [word, written] : kValid) {
    CAPTURE(word);
    const auto permission = Permission::parse(word);
    REQUIRE(permission);
    CHECK(permission->text() == written);
    const auto again = Permission::parse(written);
    REQUIRE(again);
    CHECK(again->text() == written);
  }
}

TEST_CASE("C9.1: words of other resources and of another case are no permissions", "[permission]") {
  for (const std::string_view word : kUnknownResource) {
    CAPTURE(word);
    CHECK(outcome(Permission::parse(word)) == "invalid_argument permission.resource");
  }
}

TEST_CASE("C9.2: broken percent-encoding is refused", "[permission]") {
  for (const std::string_view word : kBadEncoding) {
    CAPTURE(word);
    CHECK(outcome(Permission::parse(word)) == "invalid_argument permission.encoding");
  }
}

TEST_CASE("C9.2, C9.3: parameters that break a rule are refused", "[permission]") {
  for (const std::string_view word : kBadParameter) {
    CAPTURE(word);
    CHECK(outcome(Permission::parse(word)) == "invalid_argument permission.parameter");
  }
}

TEST_CASE("C9.2: arrays are repeated parameters, in their order, and as many as there are",
          "[permission]") {
  std::string word = "repo?action=create";
  for (int i = 0; i < 100; ++i) word += "&collection=a.b.c" + std::string(1, 'a' + i % 26);
  const auto permission = Permission::parse(word);
  REQUIRE(permission);
  CHECK(permission->values("collection").size() == 100);
  CHECK(permission->values("collection")[1] == "a.b.cb");
  CHECK(permission->values("nothing").empty());
}

TEST_CASE("Permission: a word that is too long is refused, however it goes on", "[permission]") {
  std::string word = "repo:a.b.c?";
  while (word.size() < 17'000) word += "action=create&";
  CHECK_FALSE(Permission::parse(word));
}

TEST_CASE("Permission: control characters and other bytes never come back in a message",
          "[permission]") {
  const auto refused = Permission::parse("repo:\x1b[31m\xff\n");
  REQUIRE_FALSE(refused);
  CHECK(refused.error().message.find('\x1b') == std::string::npos);
  CHECK(refused.error().message.find('\n') == std::string::npos);
}

TEST_CASE("C9.3: a permission that is made keeps the same rules as one that is read",
          "[permission]") {
  const auto make = [](PermissionResource resource, PermissionParameters parameters) {
    return Permission::make(resource, std::move(parameters));
  };
  CHECK(make(PermissionResource::repo, {{"collection", {"a.b.c"}}}).value().text() == "repo:a.b.c");
  CHECK_FALSE(make(PermissionResource::repo, {}));
  CHECK_FALSE(make(PermissionResource::repo, {{"collection", {"a.*"}}}));
  CHECK_FALSE(make(PermissionResource::rpc, {{"lxm", {"*"}}, {"aud", {"*"}}}));
  CHECK_FALSE(make(PermissionResource::blob, {{"accept", {"image/png"}}, {"size", {"1"}}}));
}

TEST_CASE("parse_service: DID and a name behind one hash, and nothing else", "[permission]") {
  CHECK(parse_service("did:web:api.bsky.app#bsky_appview").value() ==
        "did:web:api.bsky.app#bsky_appview");
  for (const std::string_view text :
       {"", "*", "#x", "did:web:api.bsky.app", "did:web:api.bsky.app#", "did:web:api.bsky.app#a#b",
        "did:web:api.bsky.app#a b", "did:web:api.bsky.app#a\r\nX: y", "api.bsky.app#x",
        "did:key:zzz#x"}) {
    CAPTURE(text);
    CHECK(outcome(parse_service(text)) == "invalid_argument service.malformed");
  }
}

TEST_CASE("media_type_of: parameters do not count, and what is no type is none", "[permission]") {
  CHECK(media_type_of("text/plain; charset=utf-8") == "text/plain");
  CHECK(media_type_of("image/svg+xml") == "image/svg+xml");
  for (const std::string_view type : {"", "image", "image/", "/png", "image/*", "a/b/c", "a b/c",
                                      "image/png\r\nX: y", "; charset=utf-8"}) {
    CAPTURE(type);
    CHECK(media_type_of(type).empty());
  }
}
