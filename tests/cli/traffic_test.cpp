// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

import latchkey.core;
import latchkey.session;
import latchkey.store;
import latchkey.test.folder;
import latchkey.test.tool;
import latchkey.test.tool_places;

// Commands that talk to servers.

using namespace latchkey;
using namespace latchkey::test;
using Json = nlohmann::json;
using Words = std::vector<std::string>;

namespace {

bool has(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

struct Wired {
  Services services{};
  Home home{};
  explicit Wired(bool logged_in = true) {
    if (logged_in) home.plant(kAlice, services.origin());
  }
  // No command may ever show a token on either stream, unless it is named for it.
  [[nodiscard]] ToolRun operator()(Words words) const {
    ToolRun done = run(home.start(std::move(words), services));
    CHECK_FALSE(has(done.out + done.err, "Marked"));
    return done;
  }
  void says(const std::string& path, int status, const std::string& body) {
    services.on(path, [=](const std::string&) { return json_http(status, body); });
  }
  [[nodiscard]] OAuthSession stored() const {
    return std::move(home.store()->load(kAlice).value().value());
  }
};

Json error_of(const ToolRun& run) {
  return Json::parse(run.err)["error"];
}

const std::string kXrpc = "/xrpc/com.atproto.repo.";

}  // namespace

TEST_CASE("refresh: the new token is stored, and not shown", "[cli]") {
  Wired w;
  w.services.on("/token",
                [](const std::string&) { return token_answer("acc-Marked-2", "ref-Marked-2"); });
  const ToolRun text = w({"refresh"});
  CHECK(text.status == 0);
  CHECK(has(text.out, "refreshed alice.test"));
  CHECK(w.stored().refresh_token->expose() == "ref-Marked-2");
  w.services.on("/token",
                [](const std::string&) { return token_answer("acc-Marked-3", "ref-Marked-3"); });
  const ToolRun json = w({"refresh", "--json"});
  CHECK(json.status == 0);
  CHECK(Json::parse(json.out)["subject"] == kAlice);
  const auto sent = w.services.requests_to("/token");
  REQUIRE(sent.size() == 2);
  CHECK(has(sent[0], "\r\nDPoP:"));
  CHECK(has(body_of_request(sent[1]), "refresh_token=ref-Marked-2"));
}

TEST_CASE("refresh: a refused refresh token ends the session, and says to log in", "[cli]") {
  Wired w;
  w.says("/token", 400, R"({"error":"invalid_grant","error_description":"expired"})");
  const ToolRun dead = w({"refresh", "--json"});
  CHECK(dead.status == 3);
  CHECK(error_of(dead)["code"] == "session_dead");
  CHECK(error_of(dead)["oauth"]["error"] == "invalid_grant");
  const ToolRun again = w({"refresh"});
  CHECK(again.status == 3);
  CHECK(has(again.err, "log in again"));
  CHECK(w.services.requests_to("/token").size() == 1);
}

TEST_CASE("refresh: a server in trouble is a failure that can be tried again", "[cli]") {
  Wired w;
  w.says("/token", 503, "{}");
  const ToolRun failed = w({"refresh", "--json"});
  CHECK(failed.status == 1);
  CHECK(error_of(failed)["http_status"] == 503);
  CHECK(w.stored().state == SessionState::active);
}

TEST_CASE("record: what is written can be read, listed and deleted", "[cli]") {
  Wired w;
  w.says(kXrpc + "createRecord", 200, R"({"uri":"at://a/b/c","cid":"bafy1"})");
  w.says(kXrpc + "putRecord", 200, R"({"uri":"at://a/b/c","cid":"bafy2"})");
  w.says(kXrpc + "getRecord", 200, R"({"uri":"at://a/b/c","cid":"bafy2","value":{"text":"hi"}})");
  w.says(kXrpc + "listRecords", 200,
         R"({"cursor":"more","records":[{"uri":"at://a/b/c","value":{"n":1}}]})");
  w.says(kXrpc + "deleteRecord", 200, "{}");
  const ToolRun created = w({"record", "create", "x.y.z", "{}", "--rkey", "self", "--json"});
  CHECK(created.status == 0);
  CHECK(Json::parse(created.out) == Json::parse(R"({"uri":"at://a/b/c","cid":"bafy1"})"));
  const ToolRun put = w({"record", "put", "x.y.z", "self", "{}", "--swap", "null"});
  CHECK(put.out == "at://a/b/c bafy2\n");
  const Json body = Json::parse(body_of_request(w.services.requests_to(kXrpc + "putRecord")[0]));
  CHECK(body.contains("swapRecord"));
  CHECK(body["swapRecord"] == nullptr);
  CHECK(body["rkey"] == "self");
  const std::string uri = "at://alice.test/x.y.z/self";
  CHECK(w({"record", "get", uri}).out == "{\"text\":\"hi\"}\n");
  CHECK(Json::parse(w({"record", "get", uri, "--json"}).out)["value"]["text"] == "hi");
  const ToolRun list = w({"record", "list", "x.y.z"});
  CHECK(list.out == "at://a/b/c\t{\"n\":1}\n");
  CHECK(has(list.err, "--cursor more"));
  const Json page = Json::parse(w({"record", "list", "x.y.z", "--json"}).out);
  CHECK(page["cursor"] == "more");
  CHECK(page["records"][0]["cid"] == nullptr);
  const ToolRun deleted = w({"record", "delete", uri, "--swap", "bafy2"});
  CHECK(deleted.status == 0);
  CHECK(deleted.out.empty());
  CHECK(has(w.services.requests_to(kXrpc + "deleteRecord")[0], R"("swapRecord":"bafy2")"));
}

TEST_CASE("record: what the server refuses is a failure with its name", "[cli]") {
  Wired w;
  w.says(kXrpc + "putRecord", 400, R"({"error":"InvalidSwap","message":"Record was at bafy0"})");
  w.says(kXrpc + "getRecord", 400, R"({"error":"RecordNotFound","message":"gone"})");
  w.says(kXrpc + "createRecord", 403,
         R"({"error":"ScopeMissingError","message":"Missing required scope"})");
  const ToolRun put = w({"record", "put", "x.y.z", "self", "{}", "--swap", "bafy1", "--json"});
  CHECK(put.status == 1);
  CHECK(put.out.empty());
  CHECK(error_of(put)["code"] == "invalid_swap");
  CHECK(error_of(put)["http_status"] == 400);
  CHECK(error_of(w({"record", "get", "at://alice.test/x.y.z/self", "--json"}))["code"] ==
        "record_not_found");
  const ToolRun create = w({"record", "create", "x.y.z", "{}"});
  CHECK(create.status == 1);
  CHECK(has(create.err, "ask for this permission"));
}

TEST_CASE("record: names that make no sense are usage, and nothing is sent", "[cli]") {
  const Wired w;
  CHECK(w({"record", "get", "https://x/y"}).status == 2);
  CHECK(w({"record", "get", "at://alice.test/x.y.z"}).status == 2);
  CHECK(w({"record", "create", "xyz", "{}"}).status == 2);
  CHECK(w({"record", "create", "x.y.z", "{}", "--rkey", ".."}).status == 2);
  const ToolRun other = w({"record", "delete", "at://bob.test/x.y.z/self", "--json"});
  CHECK(other.status == 2);
  CHECK(error_of(other)["detail"] == "cli.other_repo");
  CHECK(w.services.requests_to(kXrpc + "deleteRecord").empty());
}

TEST_CASE("latchkey: commands that need a session say so with 3", "[cli]") {
  const Wired w(false);
  for (const Words& words : std::vector<Words>{{"refresh"},
                                               {"logout"},
                                               {"whoami"},
                                               {"record", "create", "x.y.z", "{}"},
                                               {"record", "list", "x.y.z"},
                                               {"request", "GET", "/x"},
                                               {"dpop", "GET", "https://x.test/"}}) {
    CAPTURE(words);
    const ToolRun none = w(words);
    CHECK(none.status == 3);
    CHECK(none.out.empty());
    CHECK(has(none.err, "latchkey login"));
  }
}

TEST_CASE("request: the answer is the result, its status the exit code", "[cli]") {
  Wired w;
  w.says("/xrpc/com.example.any", 200, R"({"ok":true})");
  const ToolRun get = w({"request", "get", "/xrpc/com.example.any?a=1"});
  CHECK(get.status == 0);
  CHECK(get.out == "{\"ok\":true}\n");
  const ToolRun post =
      w({"request", "POST", w.services.origin() + "/xrpc/com.example.any", "--data", "[1]"});
  CHECK(post.status == 0);
  const auto sent = w.services.requests_to("/xrpc/com.example.any");
  REQUIRE(sent.size() == 2);
  CHECK(sent[0].starts_with("GET /xrpc/com.example.any?a=1 "));
  CHECK(has(sent[0], "\r\nAuthorization:DPoP " + std::string(kAccessToken) + "\r\n"));
  CHECK(has(sent[1], "\r\nContent-Type:application/json\r\n"));
  CHECK(body_of_request(sent[1]) == "[1]");
  w.says("/xrpc/com.example.any", 418, R"({"error":"Teapot"})");
  const ToolRun teapot = w({"request", "GET", "/xrpc/com.example.any"});
  CHECK(teapot.status == 1);
  CHECK(teapot.out == "{\"error\":\"Teapot\"}\n");
  CHECK(has(teapot.err, "418"));
}

TEST_CASE("request: the token goes to the account's own server only", "[cli]") {
  const Wired w;
  const Services elsewhere;
  const ToolRun other = w({"request", "GET", elsewhere.origin() + "/x", "--json"});
  CHECK(other.status == 1);
  CHECK(error_of(other)["detail"] == "resource.other_origin");
  CHECK(elsewhere.requests_to("/x").empty());
  CHECK(w({"request", "GET", "not a url"}).status == 2);
  CHECK(w({"request", "G ET", "/x"}).status == 2);
}

TEST_CASE("dpop: prints the proof, and the token only when asked to reveal it", "[cli]") {
  const Wired w;
  const ToolRun text = w({"dpop", "get", "https://api.test/thing?a=1"});
  CHECK(text.status == 0);
  CHECK(text.out.starts_with("DPoP: eyJ"));
  CHECK_FALSE(has(text.out, "Authorization"));
  CHECK(Json::parse(w({"dpop", "GET", "https://api.test/thing", "--json"}).out).size() == 1);
  const ToolRun revealed =
      run(w.home.start({"dpop", "GET", "https://api.test/thing", "--reveal", "--json"}));
  CHECK(Json::parse(revealed.out)["Authorization"] == "DPoP " + std::string(kAccessToken));
  CHECK_FALSE(has(revealed.err, "Marked"));
}

TEST_CASE("C7.11: logout, confirmed by the server, leaves nothing", "[cli]") {
  const Wired w;
  const ToolRun out = w({"logout", "--json"});
  CHECK(out.status == 0);
  CHECK(Json::parse(out.out)["outcome"] == "revoked");
  CHECK(w.services.requests_to("/revoke").size() == 1);
  CHECK(w({"sessions", "--json"}).out == "[]\n");
  CHECK(w.home.vault()->list().value().empty());
  CHECK(w({"logout"}).status == 3);
  const ToolRun all = w({"logout", "--all"});
  CHECK(all.status == 0);
  CHECK(has(all.err, "nobody is logged in"));
}

TEST_CASE("C7.11: a logout that is not confirmed yet is said, and the next one finishes it",
          "[cli]") {
  Wired w;
  w.says("/revoke", 500, "{}");
  const ToolRun pending = w({"logout"});
  CHECK(pending.status == 1);
  CHECK(has(pending.err, "run latchkey logout again later"));
  CHECK(Json::parse(w({"sessions", "--json"}).out)[0]["state"] == "revoking");
  CHECK(w({"whoami"}).status == 3);
  CHECK(w({"record", "list", "x.y.z"}).status == 3);
  w.says("/revoke", 200, "{}");
  CHECK(w({"logout"}).status == 0);
  CHECK(w({"sessions", "--json"}).out == "[]\n");
}

TEST_CASE("C7.11: forgetting erases what the server could not be told", "[cli]") {
  Wired w;
  w.says("/revoke", 500, "{}");
  const ToolRun forgotten = w({"logout", "--forget", "--json"});
  CHECK(forgotten.status == 0);
  CHECK(Json::parse(forgotten.out)["outcome"] == "forgotten");
  CHECK(has(forgotten.err, "the server was not told"));
  CHECK(w({"sessions", "--json"}).out == "[]\n");
  CHECK(w.home.vault()->list().value().empty());
}

TEST_CASE("logout: of several accounts one is named, or all are meant", "[cli]") {
  const Wired w;
  w.home.plant(kBob, w.services.origin());
  CHECK(w({"logout"}).status == 2);
  CHECK(w({"logout", "--account", "bob.test"}).status == 0);
  w.home.plant(kBob, w.services.origin());
  const ToolRun all = w({"logout", "--all"});
  CHECK(all.status == 0);
  CHECK(has(all.out, "logged out alice.test"));
  CHECK(has(all.out, "logged out bob.test"));
  CHECK(w.home.vault()->list().value().empty());
}

TEST_CASE("logout: a logout that was kept beside does not stand in the way of the account",
          "[cli]") {
  const Wired w;
  w.home.plant("revoking|0102030405060708|" + std::string(kAlice), w.services.origin(),
               [](OAuthSession& session) {
                 session.handle = "alice.test";
                 session.state = SessionState::revoking;
                 session.access_token = SecretString{};
               });
  CHECK(w({"whoami", "--account", "alice.test"}).status == 0);
  const ToolRun first = w({"logout", "--json"});
  CHECK(Json::parse(first.out)["subject"] == kAlice);
  CHECK(has(first.err, "the earlier logout of alice.test"));
  CHECK(has(first.err, "confirmed by its server now"));
  CHECK(w.services.requests_to("/revoke").size() == 2);
  CHECK(w({"sessions", "--json"}).out == "[]\n");
}

TEST_CASE("C7.11: logouts that other servers have not confirmed are tried again by a later one",
          "[cli]") {
  Wired w;
  w.home.plant(kBob, w.services.origin());
  w.says("/revoke", 503, "{}");
  CHECK(w({"logout", "--account", "bob.test"}).status == 1);
  const ToolRun offline = w({"logout", "--account", "alice.test", "--forget"});
  CHECK(offline.status == 0);
  CHECK(has(offline.err, "the earlier logout of bob.test"));
  CHECK(has(offline.err, "is not confirmed yet"));
  CHECK(Json::parse(w({"sessions", "--json"}).out).size() == 1);
  w.home.plant(kAlice, w.services.origin());
  w.says("/revoke", 200, "{}");
  const ToolRun online = w({"logout", "--account", "alice.test", "--json"});
  CHECK(online.status == 0);
  CHECK(Json::parse(online.out)["outcome"] == "revoked");
  CHECK(has(online.err, "confirmed by its server now"));
  CHECK(w({"sessions", "--json"}).out == "[]\n");
  CHECK(w.home.vault()->list().value().empty());
}

TEST_CASE("C7.11: what a logout left to be revoked can't be used by any command", "[cli]") {
  Wired w;
  w.says("/revoke", 503, "{}");
  REQUIRE(w({"logout"}).status == 1);
  for (const Words& words : std::vector<Words>{{"refresh"},
                                               {"token"},
                                               {"token", "--reveal"},
                                               {"dpop", "GET", "https://pds.test/", "--reveal"},
                                               {"request", "GET", "/x"},
                                               {"record", "create", "x.y.z", "{}"}}) {
    CAPTURE(words);
    const ToolRun none = w(words);
    CHECK(none.status == 3);
    CHECK(none.out.empty());
  }
  CHECK(w.services.requests_to("/token").empty());
}

TEST_CASE("C7.12: tokens leave the store only by the commands that are named for it", "[cli]") {
  const Wired w;
  for (const Words& words : std::vector<Words>{{"sessions", "--json"},
                                               {"status", "--json"},
                                               {"whoami", "--json"},
                                               {"token", "--json"},
                                               {"dpop", "GET", "https://pds.test/", "--json"},
                                               {"vault", "status", "--json"},
                                               {"doctor", "--json"}}) {
    CAPTURE(words);
    CHECK_FALSE(w(words).out.empty());
  }
  const ToolRun revealed = run(w.home.start({"token", "--reveal"}, w.services));
  CHECK(has(revealed.out, kAccessToken));
  CHECK_FALSE(has(revealed.out + revealed.err, kRefreshToken));
  for (const Words& words : std::vector<Words>{{"export"}, {"sessions", "--reveal"}})
    CHECK(w(words).status == 2);
}
