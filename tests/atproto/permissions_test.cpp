// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <string>
#include <string_view>
#include <vector>

import latchkey.atproto.permission;
import latchkey.atproto.permission_set;
import latchkey.atproto.permissions;
import latchkey.core.error;

// What a granted scope allows.

using namespace latchkey;

namespace {

constexpr auto yes = Answer::yes;
constexpr auto no = Answer::no;
constexpr auto unknown = Answer::unknown;

constexpr std::string_view kAppview = "did:web:api.bsky.app#bsky_appview";

struct RecordRow {
  std::string_view scope;
  std::string_view collection;
  RecordAction action;
  Answer answer;
};
constexpr RecordRow kRecords[] = {
    {"atproto", "a.b.c", RecordAction::create, no},
    {"atproto repo:a.b.c", "a.b.c", RecordAction::create, yes},
    {"atproto repo:a.b.c", "a.b.c", RecordAction::update, yes},
    {"atproto repo:a.b.c", "a.b.c", RecordAction::remove, yes},
    {"atproto repo:a.b.c", "a.b.cd", RecordAction::create, no},
    {"atproto repo:a.b.c", "a.b.c.d", RecordAction::create, no},
    {"atproto repo:a.b.c", "a.b.C", RecordAction::create, no},
    {"atproto repo:a.b.c", "*", RecordAction::create, no},
    {"atproto repo:a.b.c?action=create", "a.b.c", RecordAction::create, yes},
    {"atproto repo:a.b.c?action=create", "a.b.c", RecordAction::update, no},
    {"atproto repo:a.b.c?action=create", "a.b.c", RecordAction::remove, no},
    {"atproto repo:a.b.c?action=update&action=delete", "a.b.c", RecordAction::remove, yes},
    {"atproto repo:*", "a.b.c", RecordAction::remove, yes},
    {"atproto repo:*", "*", RecordAction::remove, yes},
    {"atproto repo:*?action=delete", "a.b.c", RecordAction::remove, yes},
    {"atproto repo:*?action=delete", "a.b.c", RecordAction::create, no},
    {"atproto repo?collection=a.b.c&collection=d.e.f", "d.e.f", RecordAction::update, yes},
    {"atproto repo:a.b.c?action=create repo:a.b.c?action=delete", "a.b.c", RecordAction::remove,
     yes},
    {"atproto repo:a.b.c?action=create repo:d.e.f?action=delete", "a.b.c", RecordAction::remove,
     no},
    {"atproto rpc:a.b.c?aud=* blob:*/*", "a.b.c", RecordAction::create, no},
    {"atproto account:repo?action=manage", "a.b.c", RecordAction::create, no},
};

struct RpcRow {
  std::string_view scope;
  std::string_view lxm;
  std::string_view aud;
  Answer answer;
};
constexpr RpcRow kCalls[] = {
    {"atproto", "a.b.c", kAppview, no},
    {"atproto rpc:a.b.c?aud=*", "a.b.c", kAppview, yes},
    {"atproto rpc:a.b.c?aud=*", "a.b.d", kAppview, no},
    {"atproto rpc:a.b.c?aud=*", "*", "*", no},
    {"atproto rpc:a.b.c?aud=did:web:api.bsky.app%23bsky_appview", "a.b.c", kAppview, yes},
    {"atproto rpc:a.b.c?aud=did:web:api.bsky.app%23other", "a.b.c", kAppview, no},
    {"atproto rpc:*?aud=did:web:api.bsky.app%23bsky_appview", "x.y.z", kAppview, yes},
    {"atproto rpc:*?aud=did:web:api.bsky.app%23bsky_appview", "x.y.z", "did:web:evil.test#x", no},
    {"atproto rpc?lxm=a.b.c&lxm=d.e.f&aud=*", "d.e.f", kAppview, yes},
    {"atproto repo:*", "a.b.c", kAppview, no},
    {"atproto transition:generic", "chat.bsky.convo.getLog", kAppview, no},
    {"atproto transition:generic", "chat.bskyx.convo", kAppview, yes},
    {"atproto transition:generic", "app.bsky.feed.getTimeline", kAppview, yes},
    {"atproto transition:generic transition:chat.bsky", "chat.bsky.convo.getLog", kAppview, yes},
    {"atproto transition:chat.bsky", "chat.bsky.convo.getLog", kAppview, unknown},
    {"atproto transition:chat.bsky", "app.bsky.feed.getTimeline", kAppview, no},
};

struct BlobRow {
  std::string_view scope;
  std::string_view mime;
  Answer answer;
};
constexpr BlobRow kBlobs[] = {
    {"atproto", "image/png", no},
    {"atproto blob:image/png", "image/png", yes},
    {"atproto blob:image/png", "image/png; q=1", yes},
    {"atproto blob:image/png", "image/pngx", no},
    {"atproto blob:image/png", "image/*", no},
    {"atproto blob:image/*", "image/png", yes},
    {"atproto blob:image/*", "image/*", yes},
    {"atproto blob:image/*", "imagex/png", no},
    {"atproto blob:image/*", "video/mp4", no},
    {"atproto blob:*/*", "video/mp4", yes},
    {"atproto blob?accept=video/*&accept=text/html", "text/html", yes},
    {"atproto blob?accept=video/*&accept=text/html", "text/plain", no},
    {"atproto repo:*", "image/png", no},
};

}  // namespace

TEST_CASE("C9.3, C9.5: which writes a scope allows", "[permission]") {
  for (const auto& [scope, collection, action, answer] : kRecords) {
    CAPTURE(scope, collection, to_string(action));
    CHECK(Permissions::of(scope).allows_record(collection, action) == answer);
  }
}

TEST_CASE("C9.3, C9.4, C9.5: which calls to services a scope allows", "[permission]") {
  for (const auto& [scope, lxm, aud, answer] : kCalls) {
    CAPTURE(scope, lxm, aud);
    CHECK(Permissions::of(scope).allows_rpc(lxm, aud) == answer);
  }
}

TEST_CASE("C9.3, C9.5: which uploads a scope allows", "[permission]") {
  for (const auto& [scope, mime, answer] : kBlobs) {
    CAPTURE(scope, mime);
    CHECK(Permissions::of(scope).allows_blob(mime) == answer);
  }
}

TEST_CASE("C9.3: account permissions read unless they say manage, which includes reading",
          "[permission]") {
  const auto asks = [](std::string_view scope, std::string_view attr, std::string_view action) {
    return Permissions::of(scope).allows_account(attr, action);
  };
  CHECK(asks("atproto account:email", "email", "read") == yes);
  CHECK(asks("atproto account:email", "email", "manage") == no);
  CHECK(asks("atproto account:email", "repo", "read") == no);
  CHECK(asks("atproto account:email?action=manage", "email", "read") == yes);
  CHECK(asks("atproto account:email?action=manage", "email", "manage") == yes);
  CHECK(asks("atproto account:repo?action=read", "repo", "manage") == no);
  CHECK(asks("atproto", "email", "read") == no);
}

TEST_CASE("C9.3: identity permissions are for the handle or for everything", "[permission]") {
  CHECK(Permissions::of("atproto identity:handle").allows_identity("handle") == yes);
  CHECK(Permissions::of("atproto identity:handle").allows_identity("*") == no);
  CHECK(Permissions::of("atproto identity:*").allows_identity("*") == yes);
  CHECK(Permissions::of("atproto identity:*").allows_identity("handle") == yes);
  CHECK(Permissions::of("atproto").allows_identity("handle") == no);
}

TEST_CASE("C9.4: transition:generic writes and uploads everything, and manages no account",
          "[permission]") {
  const auto generic = Permissions::of("atproto transition:generic");
  CHECK(generic.allows_record("a.b.c", RecordAction::remove) == yes);
  CHECK(generic.allows_record("*", RecordAction::create) == yes);
  CHECK(generic.allows_blob("video/mp4") == yes);
  CHECK(generic.allows_account("email", "read") == no);
  CHECK(generic.allows_account("repo", "manage") == no);
  CHECK(generic.allows_identity("handle") == no);
}

TEST_CASE("C9.4: transition:email reads the address and no more", "[permission]") {
  const auto email = Permissions::of("atproto transition:email");
  CHECK(email.allows_account("email", "read") == yes);
  CHECK(email.allows_account("email", "manage") == no);
  CHECK(email.allows_account("repo", "read") == no);
  CHECK(email.allows_record("a.b.c", RecordAction::create) == no);
  CHECK(email.allows_blob("image/png") == no);
}

TEST_CASE("C9.4: transition words of another case or kind are not understood", "[permission]") {
  for (const std::string_view word :
       {"transition:Generic", "Transition:generic", "transition:", "transition:all"}) {
    CAPTURE(word);
    const auto permissions = Permissions::of("atproto " + std::string(word));
    CHECK(permissions.allows_record("a.b.c", RecordAction::create) == unknown);
    CHECK(permissions.not_understood() == std::vector<std::string>{std::string(word)});
  }
}

TEST_CASE("C9.5: what is not understood leaves the answer to the server, and never makes it yes",
          "[permission]") {
  for (const std::string_view scope :
       {"atproto include:a.b.authAll", "atproto space:a.b.c", "atproto repo:a.b.*",
        "atproto repo:a.b.c?action=fly", "", "  ", "atproto\nrepo:*", "atproto  repo:a.b.c"}) {
    CAPTURE(scope);
    const auto permissions = Permissions::of(scope);
    CHECK(permissions.allows_record("a.b.c", RecordAction::create) == unknown);
    CHECK(permissions.allows_rpc("a.b.c", kAppview) == unknown);
    CHECK(permissions.allows_blob("image/png") == unknown);
    CHECK(permissions.allows_account("email", "read") == unknown);
    CHECK(permissions.allows_identity("handle") == unknown);
  }
  const auto partly = Permissions::of("atproto repo:a.b.c include:x.y.authAll");
  CHECK(partly.allows_record("a.b.c", RecordAction::create) == yes);
  CHECK(partly.allows_record("d.e.f", RecordAction::create) == unknown);
}

TEST_CASE("C9.5: words of OpenID allow nothing, and are no reason for doubt", "[permission]") {
  const auto permissions = Permissions::of("atproto openid profile email offline_access");
  CHECK(permissions.allows_record("a.b.c", RecordAction::create) == no);
  CHECK(permissions.allows_account("email", "read") == no);
  CHECK(permissions.not_understood().empty());
}

TEST_CASE("C9.5: the permission to ask for is written as a server would write it", "[permission]") {
  CHECK(record_permission("app.bsky.feed.post", RecordAction::create) ==
        "repo:app.bsky.feed.post?action=create");
  CHECK(record_permission("app.bsky.feed.post", RecordAction::remove) ==
        "repo:app.bsky.feed.post?action=delete");
  CHECK(rpc_permission("app.bsky.feed.getTimeline", kAppview) ==
        "rpc:app.bsky.feed.getTimeline?aud=did:web:api.bsky.app%23bsky_appview");
  CHECK(blob_permission("image/png; q=1") == "blob:image/png");
  CHECK(blob_permission("image/svg+xml") == "blob:image/svg+xml");
}
