// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <string>
#include <string_view>
#include <vector>

import latchkey.atproto.permission;
import latchkey.atproto.permission_set;
import latchkey.atproto.permissions;
import latchkey.core.error;
import latchkey.test.outcome;

// Permission sets are strangers' documents: what comes out of them is bounded.

using namespace latchkey;
using namespace latchkey::test;

namespace {

constexpr std::string_view kInclude = "include:com.example.auth.basics?aud=did:web:api.test%23svc";

std::string lexicon(std::string_view permissions) {
  return R"({"lexicon":1,"id":"com.example.auth.basics","defs":{"main":{"type":"permission-set",)"
         R"("title":"Basics","permissions":)" +
         std::string(permissions) + "}}}";
}

std::vector<std::string> expand(std::string_view permissions, std::string_view include = kInclude) {
  const auto set = PermissionSet::parse(lexicon(permissions));
  std::vector<std::string> out;
  for (const auto& one : set.value().expand(Permission::parse(include).value()))
    out.push_back(one.text());
  return out;
}

using Texts = std::vector<std::string>;

}  // namespace

TEST_CASE("C9.3: a set's records and calls come out as permissions", "[permission]") {
  CHECK(expand(R"([
      {"type":"permission","resource":"repo","collection":["com.example.auth.profile"],"action":["create"]},
      {"type":"permission","resource":"rpc","lxm":["com.example.auth.x","com.example.auth.deep.y"],"aud":"*"}
    ])") == Texts{"repo:com.example.auth.profile?action=create",
                  "rpc?lxm=com.example.auth.x&lxm=com.example.auth.deep.y&aud=*"});
}

TEST_CASE("C9.3: inheritAud takes the audience of the include, and nothing without one",
          "[permission]") {
  constexpr std::string_view inherits =
      R"([{"resource":"rpc","lxm":["com.example.auth.x"],"inheritAud":true}])";
  CHECK(expand(inherits) == Texts{"rpc:com.example.auth.x?aud=did:web:api.test%23svc"});
  CHECK(expand(inherits, "include:com.example.auth.basics").empty());
  CHECK(expand(R"([{"resource":"rpc","lxm":["com.example.auth.x"]}])").empty());
  CHECK(expand(R"([{"resource":"rpc","lxm":["com.example.auth.x"],"inheritAud":false}])").empty());
}

TEST_CASE("C9.3: a set that reaches out of its namespace gets nothing for it", "[permission]") {
  for (const std::string_view permissions :
       {R"([{"resource":"repo","collection":["app.bsky.feed.post"]}])",
        R"([{"resource":"repo","collection":["com.example.profile"]}])",
        R"([{"resource":"repo","collection":["com.example.authx.profile"]}])",
        R"([{"resource":"repo","collection":["com.example.auth.a","app.bsky.feed.post"]}])",
        R"([{"resource":"repo","collection":["*"]}])", R"([{"resource":"repo","collection":"*"}])",
        R"([{"resource":"repo"}])", R"([{"resource":"repo","collection":[]}])",
        R"([{"resource":"repo","collection":["com.example.auth."]}])",
        R"([{"resource":"repo","collection":["com.example.auth.a"],"action":["fly"]}])",
        R"([{"resource":"rpc","lxm":["*"],"aud":"*"}])",
        R"([{"resource":"rpc","lxm":["com.example.auth.x"],"aud":"did:web:evil.test#x"}])",
        R"([{"resource":"blob","accept":["*/*"]}])",
        R"([{"resource":"account","attr":"email","action":"manage"}])",
        R"([{"resource":"identity","attr":"*"}])",
        R"([{"resource":"include","nsid":"com.example.auth.more"}])", R"([])"}) {
    CAPTURE(permissions);
    CHECK(expand(permissions).empty());
  }
}

TEST_CASE("C9.3: a set is taken in only by an include of its name", "[permission]") {
  constexpr std::string_view all = R"([{"resource":"repo","collection":["com.example.auth.a"]}])";
  CHECK(expand(all, "include:com.example.auth.basics").size() == 1);
  CHECK(expand(all, "include:com.example.auth.other").empty());
  CHECK(expand(all, "repo:com.example.auth.basics").empty());
}

TEST_CASE("PermissionSet: what is no set is refused", "[permission]") {
  const auto parse = [](const std::string& text) { return outcome(PermissionSet::parse(text)); };
  CHECK(parse("") == "invalid_argument permission_set.not_json");
  CHECK(parse("[]") == "invalid_argument permission_set.not_json");
  CHECK(parse("{}") == "invalid_argument permission_set.missing_member");
  CHECK(parse(R"({"id":"com.example"})") == "invalid_argument nsid.malformed");
  CHECK(parse(R"({"id":"a.b.c"})") == "invalid_argument permission_set.missing_member");
  CHECK(parse(R"({"id":"a.b.c","defs":{}})") == "invalid_argument permission_set.missing_member");
  CHECK(parse(R"({"id":"a.b.c","defs":{"main":{"type":"record"}}})") ==
        "invalid_argument permission_set.kind");
  CHECK(parse(R"({"id":"a.b.c","defs":{"main":{"type":"permission-set"}}})") ==
        "invalid_argument permission_set.missing_member");
  CHECK(parse(lexicon("{}")) == "invalid_argument permission_set.wrong_type");
  CHECK(parse(lexicon("[1]")) == "invalid_argument permission_set.wrong_type");
  CHECK(parse(lexicon(R"([{"resource":7}])")) == "invalid_argument permission_set.wrong_type");
  CHECK(parse(lexicon(R"([{"resource":"repo","collection":[7]}])")) ==
        "invalid_argument permission_set.wrong_type");
  CHECK(parse(lexicon(R"([{"resource":"rpc","inheritAud":"yes"}])")) ==
        "invalid_argument permission_set.wrong_type");
}

TEST_CASE("C9.5: a set that is given turns unknown into yes and no", "[permission]") {
  const std::vector<PermissionSet> sets{
      PermissionSet::parse(lexicon(R"([{"resource":"repo","collection":["com.example.auth.a"]}])"))
          .value()};
  const auto permissions = Permissions::of("atproto " + std::string(kInclude), sets);
  CHECK(permissions.allows_record("com.example.auth.a", RecordAction::create) == Answer::yes);
  CHECK(permissions.allows_record("com.example.auth.b", RecordAction::create) == Answer::no);
  CHECK(Permissions::of(kInclude).allows_record("com.example.auth.a", RecordAction::create) ==
        Answer::unknown);
}
