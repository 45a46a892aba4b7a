// SPDX-License-Identifier: MIT
#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

import latchkey.atproto.identifier;
import latchkey.atproto.pds;
import latchkey.core;
import latchkey.http;
import latchkey.refresh.keeper;
import latchkey.session;
import latchkey.test.outcome;
import latchkey.test.refresh_world;
import latchkey.test.resource_world;
import latchkey.test.scripted_transport;

// What is sent to a PDS, and what its answers become.

using namespace latchkey;
using namespace latchkey::test;
using namespace std::chrono_literals;
using Json = nlohmann::json;

namespace {

const std::string kPost = "app.bsky.feed.post";
const std::string kRef =
    R"({"uri":"at://did:plc:ewvi7nxzyoun6zhxrhs64oiz/app.bsky.feed.post/r1","cid":"bafy1"})";

struct PdsWorld : ResourceWorld {
  PdsClient client{keeper, std::make_shared<TidSource>(*world.clock, *world.random),
                   std::string(kSubject)};

  PdsWorld& says(int status, std::string_view body, HeaderList headers = {}) {
    pds->push(json_answer(status, body, headers));
    return *this;
  }
  [[nodiscard]] Json body(std::size_t n = 0) const {
    return Json::parse(requests().at(n).body.expose());
  }
  [[nodiscard]] std::string target(std::size_t n = 0) const {
    return requests().at(n).url.target();
  }
};

Json write_body(std::string_view more) {
  Json body = Json::parse(
      R"({"repo":"did:plc:ewvi7nxzyoun6zhxrhs64oiz","collection":"app.bsky.feed.post","rkey":"r1"})");
  body.update(Json::parse(more));
  return body;
}

Error error_of(int status, std::string_view body, HeaderList headers = {}) {
  PdsWorld w;
  w.says(status, body, headers);
  const auto answer = w.client.get_record(kPost, "r1");
  REQUIRE_FALSE(answer);
  return answer.error();
}

}  // namespace

TEST_CASE("C10.2: create_record: exactly these members go to the XRPC path of the session's PDS",
          "[pds]") {
  PdsWorld w;
  w.says(200, kRef);
  const auto ref = w.client.create_record(kPost, R"({ "text" : "hi", "n": 1e3 })", {.rkey = "r1"});
  CHECK(ref.value().uri == "at://did:plc:ewvi7nxzyoun6zhxrhs64oiz/app.bsky.feed.post/r1");
  CHECK(ref.value().cid == "bafy1");
  const auto requests = w.requests();
  REQUIRE(requests.size() == 1);
  CHECK(requests[0].method == "POST");
  CHECK(requests[0].url.text() == "https://pds.test/xrpc/com.atproto.repo.createRecord");
  CHECK(*requests[0].headers.find("Content-Type") == "application/json");
  CHECK(w.body() == write_body(R"({"record":{"$type":"app.bsky.feed.post","text":"hi","n":1e3}})"));
  // The record's own text is not touched.
  CHECK(std::string(requests[0].body.expose()).find(R"( "text" : "hi", "n": 1e3 })") !=
        std::string::npos);
}

TEST_CASE("C10.3: create_record: the record key is a new TID each time", "[pds]") {
  PdsWorld w;
  w.says(200, kRef).says(200, kRef);
  REQUIRE(w.client.create_record(kPost, "{}"));
  REQUIRE(w.client.create_record(kPost, "{}"));
  const std::string first = w.body(0)["rkey"], second = w.body(1)["rkey"];
  CHECK(first.size() == 13);
  CHECK(second.size() == 13);
  CHECK(first < second);
  CHECK(std::string("234567abcdefghij").find(first[0]) != std::string::npos);
}

TEST_CASE("C10.3: create_record: $type is added, kept, or refused", "[pds]") {
  PdsWorld w;
  w.says(200, kRef).says(200, kRef).says(200, kRef);
  REQUIRE(w.client.create_record(kPost, "{}", {.rkey = "r1"}));
  CHECK(w.body(0)["record"] == Json{{"$type", kPost}});
  REQUIRE(w.client.create_record(kPost, " { } ", {.rkey = "r1"}));
  CHECK(w.body(1)["record"] == Json{{"$type", kPost}});
  REQUIRE(w.client.create_record(kPost, R"({"a":{"$type":"other"},"$type":"app.bsky.feed.post"})",
                                 {.rkey = "r1"}));
  CHECK(w.body(2)["record"] ==
        Json::parse(R"({"a":{"$type":"other"},"$type":"app.bsky.feed.post"})"));
  CHECK(outcome(w.client.create_record(kPost, R"({"$type":"app.bsky.feed.like"})")) ==
        "invalid_argument record.type_mismatch");
  CHECK(outcome(w.client.create_record(kPost, R"({"$type":7})")) ==
        "invalid_argument record.wrong_type");
  CHECK(w.pds->count() == 3);
}

TEST_CASE("create_record: what is no record is refused before anything is sent", "[pds]") {
  PdsWorld w;
  const auto create = [&](std::string_view record) {
    return outcome(w.client.create_record(kPost, record));
  };
  CHECK(create("") == "invalid_argument record.not_json");
  CHECK(create("[]") == "invalid_argument record.not_json");
  CHECK(create("{}{}") == "invalid_argument record.not_json");
  CHECK(create(R"({"a":1)") == "invalid_argument record.not_json");
  CHECK(create(R"({"a":1,"a":2})") == "invalid_argument record.duplicate_member");
  CHECK(create(R"({"a":")" + std::string(1024 * 1024, 'x') + "\"}") ==
        "invalid_argument record.too_large");
  for (const char* name : {"", "post", "app.bsky", "app.bsky.feed.post/x", "app..post"}) {
    CHECK(w.client.create_record(name, "{}").error().code == ErrorCode::invalid_argument);
  }
  for (const char* key : {".", "..", "a/b", "a b", "\xc3\xa9"}) {
    CHECK(w.client.create_record(kPost, "{}", {.rkey = key}).error().code ==
          ErrorCode::invalid_argument);
    CHECK(w.client.put_record(kPost, key, "{}").error().code == ErrorCode::invalid_argument);
    CHECK(w.client.delete_record(kPost, key).error().code == ErrorCode::invalid_argument);
    CHECK(w.client.get_record(kPost, key).error().code == ErrorCode::invalid_argument);
  }
  CHECK(w.pds->count() == 0);
}

TEST_CASE("put_record: validation is left out, true or false", "[pds]") {
  PdsWorld w;
  w.says(200, kRef).says(200, kRef).says(200, kRef);
  for (const auto validation : {Validation::by_server, Validation::required, Validation::skipped}) {
    REQUIRE(w.client.put_record(kPost, "r1", "{}", {.validation = validation}));
  }
  CHECK(w.target() == "/xrpc/com.atproto.repo.putRecord");
  CHECK(w.body(0) == write_body(R"({"record":{"$type":"app.bsky.feed.post"}})"));
  CHECK(w.body(1) == write_body(R"({"record":{"$type":"app.bsky.feed.post"},"validate":true})"));
  CHECK(w.body(2) == write_body(R"({"record":{"$type":"app.bsky.feed.post"},"validate":false})"));
}

TEST_CASE("C10.4: put_record: swapRecord absent, null and a CID are three things", "[pds]") {
  PdsWorld w;
  w.says(200, kRef).says(200, kRef).says(200, kRef);
  REQUIRE(w.client.put_record(kPost, "r1", "{}"));
  REQUIRE(
      w.client.put_record(kPost, "r1", "{}", {.swap_record = {.kind = SwapRecord::Kind::absent}}));
  REQUIRE(w.client.put_record(
      kPost, "r1", "{}",
      {.swap_record = {.kind = SwapRecord::Kind::cid, .cid = "bafy0"}, .swap_commit = "bafyc"}));
  CHECK(w.body(0) == write_body(R"({"record":{"$type":"app.bsky.feed.post"}})"));
  CHECK(w.body(1) == write_body(R"({"record":{"$type":"app.bsky.feed.post"},"swapRecord":null})"));
  CHECK(
      w.body(2) ==
      write_body(
          R"({"record":{"$type":"app.bsky.feed.post"},"swapRecord":"bafy0","swapCommit":"bafyc"})"));
}

TEST_CASE(
    "create_record: a create implies that there is none, and takes no other condition on the "
    "record",
    "[pds]") {
  PdsWorld w;
  w.says(200, kRef);
  REQUIRE(w.client.create_record(
      kPost, "{}",
      {.rkey = "r1", .swap_record = {.kind = SwapRecord::Kind::absent}, .swap_commit = "bafyc"}));
  CHECK(w.body() ==
        write_body(R"({"record":{"$type":"app.bsky.feed.post"},"swapCommit":"bafyc"})"));
  CHECK(outcome(w.client.create_record(
            kPost, "{}", {.swap_record = {.kind = SwapRecord::Kind::cid, .cid = "b"}})) ==
        "invalid_argument record.swap");
}

TEST_CASE("delete_record: names, conditions and nothing else", "[pds]") {
  PdsWorld w;
  w.says(200, "{}").says(200, R"({"commit":{"cid":"b","rev":"r"}})");
  REQUIRE(w.client.delete_record(kPost, "r1"));
  CHECK(w.target() == "/xrpc/com.atproto.repo.deleteRecord");
  CHECK(w.body(0) == write_body("{}"));
  REQUIRE(w.client.delete_record(kPost, "r1",
                                 {.swap_record = {.kind = SwapRecord::Kind::cid, .cid = "bafy0"}}));
  CHECK(w.body(1) == write_body(R"({"swapRecord":"bafy0"})"));
  CHECK(outcome(w.client.delete_record(kPost, "r1",
                                       {.swap_record = {.kind = SwapRecord::Kind::absent}})) ==
        "invalid_argument record.swap");
}

TEST_CASE("get_record: the query names repo, collection and key", "[pds]") {
  PdsWorld w;
  const std::string answer =
      R"({"uri":"at://x/app.bsky.feed.post/r1","cid":"bafy1","value":{"text":"hi","a":[1]}})";
  w.says(200, answer).says(200, R"({"uri":"at://x/y/z","value":{}})");
  const auto record = w.client.get_record(kPost, "r:1~").value();
  CHECK(record.uri == "at://x/app.bsky.feed.post/r1");
  CHECK(record.cid == "bafy1");
  CHECK(record.value == R"({"text":"hi","a":[1]})");
  CHECK(w.requests()[0].method == "GET");
  CHECK(w.requests()[0].body.empty());
  CHECK(w.requests()[0].headers.find("Content-Type") == nullptr);
  CHECK(w.target() ==
        "/xrpc/com.atproto.repo.getRecord?repo=did%3Aplc%3Aewvi7nxzyoun6zhxrhs64oiz&collection="
        "app.bsky.feed.post&rkey=r%3A1~");
  CHECK(w.client.get_record(kPost, "r1", "bob.test").value().cid.empty());
  CHECK(w.target(1).find("?repo=bob.test&") != std::string::npos);
}

TEST_CASE("list_records: pages are asked for one by one", "[pds]") {
  PdsWorld w;
  w.says(
      200,
      R"({"cursor":"c&1","records":[{"uri":"at://a","cid":"c1","value":{"n":1}},{"uri":"at://b","value":{}}]})");
  w.says(200, R"({"records":[]})");
  const auto first = w.client.list_records(kPost, {.limit = 2}).value();
  REQUIRE(first.records.size() == 2);
  CHECK(first.records[0].value == R"({"n":1})");
  CHECK(first.records[1].cid.empty());
  CHECK(first.cursor == "c&1");
  const auto last =
      w.client.list_records(kPost, {.repo = "bob.test", .cursor = first.cursor, .reverse = true})
          .value();
  CHECK(last.records.empty());
  CHECK(last.cursor.empty());
  CHECK(w.target(0) ==
        "/xrpc/com.atproto.repo.listRecords?repo=did%3Aplc%3Aewvi7nxzyoun6zhxrhs64oiz&collection="
        "app.bsky.feed.post&limit=2");
  CHECK(w.target(1) ==
        "/xrpc/com.atproto.repo.listRecords?repo=bob.test&collection=app.bsky.feed.post&limit=50&"
        "cursor=c%261&reverse=true");
}

TEST_CASE("PdsClient: an answer of 200 that is no answer is invalid_response", "[pds]") {
  for (const std::string body :
       {"", "garbage", "[]", "{}", R"({"uri":"at://x"})", R"({"cid":"bafy"})",
        R"({"uri":1,"cid":"b"})", R"({"uri":"","cid":"b"})", R"({"uri":"u","cid":null})",
        R"({"uri":"u","uri":"v","cid":"b"})"}) {
    CAPTURE(body);
    PdsWorld w;
    w.says(200, body).says(200, body).says(200, body).says(200, body);
    CHECK(w.client.create_record(kPost, "{}").error().code == ErrorCode::invalid_response);
    CHECK(w.client.put_record(kPost, "r1", "{}").error().code == ErrorCode::invalid_response);
    CHECK(w.client.get_record(kPost, "r1").error().code == ErrorCode::invalid_response);
    CHECK(w.client.list_records(kPost).error().code == ErrorCode::invalid_response);
  }
  for (const std::string body :
       {R"({"records":{}})", R"({"records":[1]})", R"({"records":[{"uri":"u"}]})",
        R"({"records":[{"uri":"u","value":"text"}]})", R"({"records":[],"cursor":7})"}) {
    CAPTURE(body);
    PdsWorld w;
    w.says(200, body);
    CHECK(w.client.list_records(kPost).error().code == ErrorCode::invalid_response);
  }
}

TEST_CASE("xrpc_error: the server's names become codes", "[pds]") {
  CHECK(outcome(error_of(400, R"({"error":"InvalidSwap","message":"Record was at bafy"})")) ==
        "invalid_swap xrpc.InvalidSwap");
  CHECK(outcome(error_of(400, R"({"error":"RecordNotFound"})")) ==
        "record_not_found xrpc.RecordNotFound");
  CHECK(outcome(error_of(404, R"({"error":"RepoNotFound"})")) ==
        "record_not_found xrpc.RepoNotFound");
  CHECK(
      outcome(error_of(
          403, R"({"error":"ScopeMissingError","message":"Missing required scope \"repo:x\""})")) ==
      "insufficient_scope xrpc.ScopeMissingError");
  CHECK(outcome(error_of(400, R"({"error":"ScopeMissingError"})")) ==
        "resource_error xrpc.ScopeMissingError");
  CHECK(
      outcome(error_of(403, "{}", {{"WWW-Authenticate", R"(DPoP error="insufficient_scope")"}})) ==
      "insufficient_scope xrpc.status");
  CHECK(outcome(error_of(403, R"({"error":"AccountTakedown"})")) ==
        "resource_error xrpc.AccountTakedown");
  CHECK(outcome(error_of(400, R"({"error":"InvalidRequest","message":"Invalid record"})")) ==
        "resource_error xrpc.InvalidRequest");
  CHECK(outcome(error_of(401, R"({"error":"AuthMissing"})")) == "resource_error xrpc.AuthMissing");
  CHECK(outcome(error_of(429, R"({"error":"RateLimitExceeded"})")) ==
        "rate_limited xrpc.RateLimitExceeded");
  CHECK(outcome(error_of(429, "slow down", {{"Content-Type", "text/plain"}})) ==
        "rate_limited xrpc.status");
  for (const int status : {201, 204, 301, 307, 500, 502}) {
    CHECK(outcome(error_of(status, "<html>")) == "resource_error xrpc.status");
    CHECK(error_of(status, "{}").http_status == status);
  }
}

TEST_CASE("xrpc_error: what the server says is shown printable and cut, and odd names are not",
          "[pds]") {
  const Error error = error_of(400, R"({"error":"Invalid Name!","message":"line\u001b[31m\nnext)" +
                                        std::string(900, 'x') + R"("})");
  CHECK(error.detail == "xrpc.status");
  CHECK(error.message.find('\n') == std::string::npos);
  CHECK(error.message.find('\x1b') == std::string::npos);
  CHECK(error.message.size() < 500);
  CHECK(error_of(400, R"({"error":["a"],"message":{}})").detail == "xrpc.status");
  CHECK(error_of(400, R"({"error":"Gone"})").message.find("Gone") != std::string::npos);
}

TEST_CASE("xrpc_error: a token in the server's message is left out, a CID is not", "[pds]") {
  const std::string jwt =
      "eyJhbGciOiJFUzI1NiIsInR5cCI6ImF0K2p3dCJ9.eyJzdWIiOiJkaWQ6cGxjOmV3dmkifQ."
      "c2lnbmF0dXJlLWFuZC1tb3JlLW9mLWl0";
  const std::string cid = "bafyreidfayvfuwqa7qlnopdjiqrxzs6blmoeu4rujcjtnci5beludirz2a";
  const std::string message =
      error_of(400, R"({"error":"Bad","message":"token )" + jwt + " for " + cid + R"("})").message;
  CHECK(message.find("eyJ") == std::string::npos);
  CHECK(message.find("c2ln") == std::string::npos);
  CHECK(message.find(cid) != std::string::npos);
}

TEST_CASE("C10.5: xrpc_error: how long to wait is read from either header", "[pds]") {
  constexpr std::string_view kDate = "Sun, 06 Nov 1994 08:49:37 GMT";  // 784111777
  const auto wait = [](int status, HeaderList headers) {
    return error_of(status, "{}", headers).retry_after;
  };
  CHECK(wait(429, {{"Retry-After", "7"}}) == 7s);
  CHECK(wait(503, {{"Retry-After", "120"}}) == 120s);
  CHECK(wait(429, {{"Retry-After", "999999999999"}}) == 24h);
  CHECK(wait(429, {{"Retry-After", "soon"}}) == std::nullopt);
  CHECK(wait(429, {{"Retry-After", "Sun, 06 Nov 1994 08:50:37 GMT"}, {"Date", kDate}}) == 60s);
  CHECK(wait(429, {{"RateLimit-Reset", "784111787"}, {"Date", kDate}}) == 10s);
  CHECK(wait(429, {{"RateLimit-Reset", "784111700"}, {"Date", kDate}}) == 0s);
  CHECK(wait(429, {{"RateLimit-Reset", "1790000030"}}) ==
        30s);  // our own clock, when it says no date
  CHECK(wait(429, {{"Retry-After", "3"}, {"RateLimit-Reset", "784111787"}, {"Date", kDate}}) == 3s);
  CHECK(wait(429, {{"RateLimit-Reset", "99999999999999"}}) == std::nullopt);
  CHECK(wait(429, {{"RateLimit-Reset", "-1"}}) == std::nullopt);
  CHECK(wait(400, {{"RateLimit-Reset", "1790000030"}}) == std::nullopt);
}

TEST_CASE("C10.6: PdsClient: a redirect is an error, and nobody else gets the token", "[pds]") {
  PdsWorld w;
  w.says(307, "", {{"Location", "https://evil.test/xrpc/com.atproto.repo.createRecord"}});
  CHECK(outcome(w.client.create_record(kPost, "{}")) == "resource_error xrpc.status");
  CHECK(w.pds->count() == 1);
}

TEST_CASE("C10.1: PdsClient: requests go to the session's PDS and nowhere else", "[pds]") {
  PdsWorld w;
  w.says(200, kRef).says(200, "{}").says(200, "{}");
  REQUIRE(w.client.create_record(kPost, "{}"));
  REQUIRE(w.client.query("com.example.any", {{"a b", "c&d"}, {"e", ""}}));
  REQUIRE(w.client.procedure("com.example.any", ""));
  for (const auto& request : w.requests()) CHECK(request.url.origin() == "https://pds.test");
  CHECK(w.target(1) == "/xrpc/com.example.any?a%20b=c%26d&e=");
  CHECK(w.requests()[2].method == "POST");
  CHECK(w.requests()[2].body.empty());
  CHECK(w.requests()[2].headers.find("Content-Type") == nullptr);
  CHECK(w.client.query("../etc/passwd").error().code == ErrorCode::invalid_argument);
  CHECK(w.pds->count() == 3);
}

TEST_CASE("C10.7: procedure: is never sent twice, a query is", "[pds]") {
  PdsWorld w;
  w.pds->push(connection_lost());
  CHECK(outcome(w.client.procedure("com.example.any", "{}")) == "connection_lost test.lost");
  CHECK(w.pds->options()[0].connection == Connection::fresh);
  w.pds->push(connection_lost());
  w.says(200, R"("text")");
  CHECK(w.client.query("com.example.any").value() == R"("text")");
  CHECK(w.pds->count() == 3);
}
