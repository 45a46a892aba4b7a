// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <string>
#include <string_view>
#include <vector>

import latchkey.atproto.permission_set;
import latchkey.atproto.scope_report;
import latchkey.core.error;

// Requested against granted.

using namespace latchkey;

namespace {

using Texts = std::vector<std::string>;

struct Row {
  std::string_view requested;
  std::string_view granted;
  std::string_view text;
};

constexpr Row kRows[] = {
    {"atproto", "atproto", ""},
    {"atproto repo:a.b.c", "repo:a.b.c atproto", ""},
    {"atproto repo:a.b.c", "", ""},
    {"atproto repo:a.b.c", "atproto repo?collection=a.b.c", ""},
    {"atproto repo:a.b.c", "atproto repo:a.b.c?action=create&action=update&action=delete", ""},
    {"atproto repo:a.b.c", "atproto", "not granted: repo:a.b.c"},
    {"atproto repo:a.b.c", "atproto repo:a.b.c?action=create",
     "not granted: repo:a.b.c?action=update&action=delete"},
    {"atproto repo?collection=a.b.c&collection=d.e.f", "atproto repo:a.b.c",
     "not granted: repo:d.e.f"},
    {"atproto repo:*?action=create", "atproto repo:a.b.c?action=create",
     "not granted: repo:*?action=create"},
    {"atproto repo:a.b.c", "atproto repo:*", "granted without being asked for: repo:*"},
    {"atproto transition:generic", "atproto", "not granted: transition:generic"},
    {"atproto transition:generic transition:email", "atproto transition:generic",
     "not granted: transition:email"},
    {"atproto", "atproto transition:generic",
     "granted without being asked for: transition:generic"},
    {"atproto rpc?lxm=a.b.c&lxm=a.b.d&aud=*", "atproto rpc:a.b.c?aud=*",
     "not granted: rpc:a.b.d?aud=*"},
    {"atproto blob?accept=image/*&accept=video/mp4", "atproto blob:image/png",
     "not granted: blob?accept=image/*&accept=video/mp4"},
    {"atproto account:email?action=manage", "atproto account:email",
     "not granted: account:email?action=manage"},
    {"atproto account:email", "atproto account:email?action=manage",
     "granted without being asked for: account:email?action=manage"},
    {"atproto identity:*", "atproto identity:handle", "not granted: identity:*"},
    {"atproto openid", "atproto", "not granted: openid"},
    {"atproto made:up", "atproto", "not granted: made:up"},
    {"atproto include:a.b.authAll", "atproto repo:a.b.c",
     "left to the server: include:a.b.authAll"},
    {"atproto repo:a.b.c", "atproto include:a.b.authAll", "left to the server: repo:a.b.c"},
    {"repo:\n", "atproto", ""},
};

}  // namespace

TEST_CASE("C9.5: what is missing and what is extra is said, in words of a scope", "[permission]") {
  for (const auto& [requested, granted, text] : kRows) {
    CAPTURE(requested, granted);
    const ScopeReport report = compare_scopes(requested, granted);
    CHECK(report.text() == text);
    CHECK(report.is_as_requested() == text.empty());
  }
}

TEST_CASE("C9.5: with its set an include is compared by what it takes in", "[permission]") {
  const std::vector<PermissionSet> sets{PermissionSet::parse(R"({
      "id":"a.b.authAll","defs":{"main":{"type":"permission-set","permissions":[
        {"resource":"repo","collection":["a.b.c","a.b.d"]}]}}})")
                                            .value()};
  CHECK(compare_scopes("atproto include:a.b.authAll", "atproto repo:a.b.c repo:a.b.d", sets)
            .is_as_requested());
  CHECK(compare_scopes("atproto include:a.b.authAll", "atproto repo:a.b.c", sets).missing ==
        Texts{"repo:a.b.d"});
}
