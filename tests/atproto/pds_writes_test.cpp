// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

import latchkey.atproto.identifier;
import latchkey.atproto.pds;
import latchkey.core;
import latchkey.http;
import latchkey.refresh.keeper;
import latchkey.test.outcome;
import latchkey.test.refresh_world;
import latchkey.test.resource_world;
import latchkey.test.scripted_transport;

// Writes that happen together.

using namespace latchkey;
using namespace latchkey::test;
using Json = nlohmann::json;

namespace {

const std::string kPost = "app.bsky.feed.post";
const std::string kUri = "at://did:plc:ewvi7nxzyoun6zhxrhs64oiz/app.bsky.feed.post/";

struct WriteWorld : ResourceWorld {
  PdsClient client{keeper, std::make_shared<TidSource>(*world.clock, *world.random),
                   std::string(kSubject)};
  WriteWorld& says(int status, std::string_view body) {
    pds->push(json_answer(status, body));
    return *this;
  }
  [[nodiscard]] Json body(std::size_t n = 0) const {
    return Json::parse(requests().at(n).body.expose());
  }
};

const std::vector<RecordWrite> kThree{
    {.collection = kPost, .record = R"({"n":1})"},
    {.action = RecordAction::update, .collection = kPost, .rkey = "r2", .record = R"({"n":2})"},
    {.action = RecordAction::remove, .collection = kPost, .rkey = "r3"}};

const std::string kDone = R"({"commit":{"cid":"bafyc","rev":"r"},"results":[
  {"$type":"com.atproto.repo.applyWrites#createResult","uri":"at://x/y/1","cid":"bafy1"},
  {"$type":"com.atproto.repo.applyWrites#updateResult","uri":"at://x/y/2","cid":"bafy2"},
  {"$type":"com.atproto.repo.applyWrites#deleteResult"}]})";

std::string record(std::string_view value) {
  return R"({"uri":"at://x/y/there","cid":"bafyt","value":)" + std::string(value) + "}";
}

}  // namespace

TEST_CASE("C10.2, C10.3: apply_writes: one call, typed writes, a new key for each create",
          "[pds]") {
  WriteWorld w;
  w.says(200, kDone);
  const auto applied =
      w.client.apply_writes(kThree, {.validation = Validation::required, .swap_commit = "bafyc0"});
  REQUIRE(applied);
  CHECK(applied->commit_cid == "bafyc");
  REQUIRE(applied->refs.size() == 3);
  CHECK(applied->refs[0].cid == "bafy1");
  CHECK(applied->refs[1].uri == "at://x/y/2");
  CHECK(applied->refs[2].uri == kUri + "r3");
  CHECK(applied->refs[2].cid.empty());
  REQUIRE(w.pds->count() == 1);
  CHECK(w.requests()[0].url.target() == "/xrpc/com.atproto.repo.applyWrites");
  Json body = w.body();
  const std::string key = body["writes"][0]["rkey"];
  CHECK(key.size() == 13);
  body["writes"][0].erase("rkey");
  CHECK(body == Json::parse(R"({"repo":"did:plc:ewvi7nxzyoun6zhxrhs64oiz","validate":true,
    "swapCommit":"bafyc0","writes":[
    {"$type":"com.atproto.repo.applyWrites#create","collection":"app.bsky.feed.post",
     "value":{"$type":"app.bsky.feed.post","n":1}},
    {"$type":"com.atproto.repo.applyWrites#update","collection":"app.bsky.feed.post","rkey":"r2",
     "value":{"$type":"app.bsky.feed.post","n":2}},
    {"$type":"com.atproto.repo.applyWrites#delete","collection":"app.bsky.feed.post","rkey":"r3"}]})"));
}

TEST_CASE("apply_writes: validation and condition are left out when they are not asked for",
          "[pds]") {
  WriteWorld w;
  w.says(200, kDone).says(200, kDone);
  REQUIRE(w.client.apply_writes(kThree));
  CHECK_FALSE(w.body().contains("validate"));
  CHECK_FALSE(w.body().contains("swapCommit"));
  REQUIRE(w.client.apply_writes(kThree, {.validation = Validation::skipped}));
  CHECK(w.body(1)["validate"] == false);
}

TEST_CASE("apply_writes: what can't be written is refused before anything is sent", "[pds]") {
  WriteWorld w;
  const auto apply = [&](const std::vector<RecordWrite>& writes) {
    return outcome(w.client.apply_writes(writes));
  };
  CHECK(apply({}) == "invalid_argument writes.count");
  CHECK(apply(std::vector<RecordWrite>(201, kThree[0])) == "invalid_argument writes.count");
  CHECK(apply({kThree[0], {.collection = "nope", .record = "{}"}}) ==
        "invalid_argument nsid.malformed");
  CHECK(apply({{.action = RecordAction::update, .collection = kPost, .record = "{}"}}) ==
        "invalid_argument rkey.malformed");
  CHECK(apply({{.action = RecordAction::remove, .collection = kPost, .rkey = ".."}}) ==
        "invalid_argument rkey.malformed");
  CHECK(apply({{.collection = kPost, .record = "[]"}}) == "invalid_argument record.not_json");
  CHECK(apply({{.collection = kPost, .record = R"({"$type":"a.b.c"})"}}) ==
        "invalid_argument record.type_mismatch");
  CHECK(w.pds->count() == 0);
}

TEST_CASE("apply_writes: an answer that does not fit the writes is none", "[pds]") {
  for (const std::string_view body :
       {"", "{}", R"({"results":[]})", R"({"results":[{},{},{}]})", R"({"results":{}})",
        R"({"results":[{"uri":"u","cid":"c"},{"uri":"u","cid":"c"}]})",
        R"({"commit":7,"results":[{"uri":"u","cid":"c"},{"uri":"u","cid":"c"},{}]})"}) {
    CAPTURE(body);
    WriteWorld w;
    w.says(200, body);
    CHECK(w.client.apply_writes(kThree).error().code == ErrorCode::invalid_response);
  }
}

TEST_CASE("C10.4: apply_writes: a swap conflict is typed", "[pds]") {
  WriteWorld w;
  w.says(400, R"({"error":"InvalidSwap"})");
  CHECK(outcome(w.client.apply_writes(kThree, {.swap_commit = "bafy0"})) ==
        "invalid_swap xrpc.InvalidSwap");
  CHECK(w.pds->count() == 1);
}

TEST_CASE("apply_writes: a broken connection leads to the same writes once more", "[pds]") {
  WriteWorld w;
  w.pds->push(connection_lost());
  w.says(200, kDone);
  REQUIRE(w.client.apply_writes(kThree));
  const auto requests = w.requests();
  REQUIRE(requests.size() == 2);
  CHECK(requests[0].body == requests[1].body);
  CHECK(w.pds->options()[1].connection == Connection::fresh);
}

TEST_CASE("apply_writes: a repetition that is refused finds what the first one did", "[pds]") {
  WriteWorld w;
  w.pds->push(connection_lost());
  w.says(400, R"({"error":"InvalidSwap"})");
  // Under a drawn key only the first can be, whatever the server added.
  w.says(200, record(R"({"n":1,"added":true})"));
  w.says(200, record(R"({"n":2,"$type":"app.bsky.feed.post"})"));
  w.says(400, R"({"error":"RecordNotFound"})");
  const auto applied = w.client.apply_writes(kThree, {.swap_commit = "bafy0"});
  REQUIRE(applied);
  CHECK(applied->refs[0].cid == "bafyt");
  CHECK(applied->refs[2].uri == kUri + "r3");
  CHECK(applied->commit_cid.empty());
}

TEST_CASE("apply_writes: a repetition that is refused stays so when any of it is not there",
          "[pds]") {
  const auto outcome_of = [](auto... answers) {
    WriteWorld w;
    w.pds->push(connection_lost());
    w.says(400, R"({"error":"InvalidSwap"})");
    (w.says(answers.first, answers.second), ...);
    return outcome(w.client.apply_writes(kThree, {.swap_commit = "bafy0"}));
  };
  using Said = std::pair<int, std::string>;
  const Said absent{400, R"({"error":"RecordNotFound"})"};
  const Said ours{200, record(R"({"n":1})")};
  const Said other{200, record(R"({"n":3})")};
  const Said updated{200, record(R"({"n":2,"$type":"app.bsky.feed.post"})")};
  CHECK(outcome_of(absent) == "invalid_swap xrpc.InvalidSwap");
  CHECK(outcome_of(ours, other) == "invalid_swap xrpc.InvalidSwap");
  CHECK(outcome_of(ours, updated, ours) == "invalid_swap xrpc.InvalidSwap");
  CHECK(outcome_of(ours, updated, Said{500, "{}"}) == "invalid_swap xrpc.InvalidSwap");
  CHECK(outcome_of(ours, updated, absent) == "ok");
}
