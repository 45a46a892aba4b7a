// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <utility>
#include <vector>

import latchkey.atproto.client;
import latchkey.atproto.pds;
import latchkey.core;
import latchkey.core.json;
import latchkey.sandbox;
import latchkey.test.outcome;
import latchkey.test.sandbox_world;

using namespace latchkey;
using namespace latchkey::test;
using sandbox::FaultKind;

namespace {

constexpr const char* kApply = "com.atproto.repo.applyWrites";

struct Batch {
  explicit Batch(std::string scope = std::string(kScope)) : world(std::move(scope)) {
    REQUIRE(outcome(world.log_in()) == "ok");
  }
  SandboxWorld world;
  PdsClient pds = world.client.pds(world.alice.did);

  Result<std::string> apply(const std::string& writes, const std::string& more = {}) {
    return pds.procedure(
        kApply, R"({"repo":")" + world.alice.did + R"(","writes":[)" + writes + ']' + more + '}');
  }
  std::string detail(const std::string& writes, const std::string& more = {}) {
    const auto done = apply(writes, more);
    return done ? "ok" : world.servers->requests().back().detail;
  }
  std::size_t count() { return pds.list_records(kPosts).value().records.size(); }
};

std::string write(const std::string& action, const std::string& rkey,
                  const std::string& value = R"({"text":"hi"})") {
  std::string json = R"({"$type":"com.atproto.repo.applyWrites#)" + action +
                     R"(","collection":"app.bsky.feed.post","rkey":")" + rkey + '"';
  if (action != "delete") json += R"(,"value":)" + value;
  return json + '}';
}

}  // namespace

TEST_CASE("applyWrites: creates, updates and deletes in one commit", "[sandbox]") {
  Batch batch;
  REQUIRE(batch.pds.put_record(kPosts, "old", kPost));
  REQUIRE(batch.pds.put_record(kPosts, "gone", kPost));
  const auto done = batch.apply(write("create", "new") + ',' + write("update", "old") + ',' +
                                write("delete", "gone"));
  REQUIRE(outcome(done) == "ok");
  const auto json = JsonObject::parse(*done, ErrorCode::invalid_response, "batch").value();
  const auto results = json.objects("results").value().value();
  REQUIRE(results.size() == 3);
  CHECK(results[0].string("$type").value() == "com.atproto.repo.applyWrites#createResult");
  CHECK(results[1].string("cid").value() == batch.pds.get_record(kPosts, "old").value().cid);
  CHECK(results[2].string("$type").value() == "com.atproto.repo.applyWrites#deleteResult");
  CHECK(batch.count() == 2);
  const auto head = json.object("commit").value()->required_string("cid").value();
  CHECK(batch.detail(write("delete", "new"), R"(,"swapCommit":")" + head + '"') == "ok");
}

TEST_CASE("applyWrites: all or nothing, and each reason is its own", "[sandbox]") {
  Batch batch;
  REQUIRE(batch.pds.put_record(kPosts, "one", kPost));
  const auto good = write("create", "two") + ',';
  const std::vector<std::pair<std::string, std::string>> cases{
      {good + write("create", "one"), "repo.exists"},
      {good + write("create", "two"), "repo.exists"},
      {good + write("update", "none"), "repo.missing"},
      {good + write("delete", "none"), "repo.missing"},
      {write("delete", "one") + ',' + write("update", "one"), "repo.missing"},
      {good + write("create", "a/b"), "xrpc.rkey"},
      {good + write("update", ""), "xrpc.rkey"},
      {good + write("eat", "one"), "xrpc.writes"},
      {good + write("create", "x", "[]"), "xrpc.input"},
      {good + write("create", "x", R"({"$type":"a.b.c"})"), "record.type_mismatch"},
      {good + write("create", "x", R"({"n":0.5})"), "record.data_model"},
      {good + write("create", "x",
                    R"({"$type":"app.bsky.feed.post","a":{"$type":"blob","ref":{"$link":"b"}}})"),
       "record.blob_unknown"},
      {good + "7", "xrpc.input"}};
  for (const auto& [writes, detail] : cases) {
    INFO(writes);
    CHECK(batch.detail(writes) == detail);
    CHECK(batch.count() == 1);
  }
  CHECK(batch.detail(write("create", "two"), R"(,"swapCommit":"bafyother")") == "repo.swap_commit");
  CHECK(batch.count() == 1);
}

TEST_CASE("applyWrites: at most 200 writes, and only in the token's repository", "[sandbox]") {
  Batch batch;
  std::string many = write("create", "k0");
  for (int i = 1; i <= 200; ++i) many += ',' + write("create", 'k' + std::to_string(i));
  CHECK(batch.detail(many) == "xrpc.writes");
  REQUIRE(batch.world.servers->add_account("bob.test"));
  CHECK(outcome(batch.pds.procedure(kApply, R"({"repo":"bob.test","writes":[]})")) ==
        "resource_error xrpc.InvalidRequest");
  CHECK(batch.world.servers->requests().back().detail == "xrpc.repo");
  CHECK(outcome(batch.pds.procedure(kApply, R"({"repo":"alice.test"})")) ==
        "resource_error xrpc.InvalidRequest");
  CHECK(batch.count() == 0);
}

TEST_CASE("applyWrites: every write needs its permission", "[sandbox]") {
  Batch batch("atproto repo:app.bsky.feed.post?action=create");
  CHECK(batch.detail(write("create", "one")) == "ok");
  CHECK(batch.detail(write("create", "two") + ',' + write("delete", "one")) == "scope.missing");
  CHECK(batch.count() == 1);
}

TEST_CASE("a rate limit tells the client when it is over", "[sandbox]") {
  Batch batch;
  for (const int status : {429, 503}) {
    batch.world.servers->inject({.kind = FaultKind::status,
                                 .server = sandbox::Server::pds,
                                 .status = status,
                                 .rate_limit_reset = std::chrono::seconds{90}});
    const auto limited = batch.pds.list_records(kPosts);
    REQUIRE_FALSE(limited);
    CHECK((limited.error().code == ErrorCode::rate_limited) == (status == 429));
    if (status == 429) CHECK(limited.error().retry_after == std::chrono::seconds{90});
  }
}
