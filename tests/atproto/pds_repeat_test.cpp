// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <memory>
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

// Writes whose connection breaks before the answer: the server may have acted, and is asked again.

using namespace latchkey;
using namespace latchkey::test;

namespace {

const std::string kPost = "app.bsky.feed.post";
const std::string kExists =
    R"({"error":"InvalidRequest","message":"There is already a value at key"})";

struct LossyWorld : ResourceWorld {
  PdsClient client{keeper, std::make_shared<TidSource>(*world.clock, *world.random),
                   std::string(kSubject)};

  LossyWorld() { pds->push(connection_lost()); }
  LossyWorld& says(int status, std::string_view body) {
    pds->push(json_answer(status, body));
    return *this;
  }
  [[nodiscard]] std::string call(std::size_t n) const { return requests().at(n).url.path(); }
};

std::string record(std::string_view value) {
  return R"({"uri":"at://x/app.bsky.feed.post/there","cid":"bafyt","value":)" + std::string(value) +
         "}";
}

}  // namespace

TEST_CASE("create_record: a broken connection leads to the same request once more, on a new one",
          "[pds]") {
  LossyWorld w;
  w.says(200, R"({"uri":"at://x/y/z","cid":"bafy"})");
  CHECK(w.client.create_record(kPost, R"({"text":"hi"})").value().cid == "bafy");
  const auto requests = w.requests();
  REQUIRE(requests.size() == 2);
  CHECK(requests[0].body == requests[1].body);  // the record key too
  CHECK(claim_of(requests[0], "jti") != claim_of(requests[1], "jti"));
  CHECK(w.pds->options()[0].connection == Connection::pooled);
  CHECK(w.pds->options()[1].connection == Connection::fresh);
}

TEST_CASE("create_record: a repetition that is refused finds the record that the first one made",
          "[pds]") {
  LossyWorld w;
  // What a server adds does not matter: under a key that was drawn here nothing else can be.
  w.says(400, kExists).says(200, record(R"({"text":"hi","$type":"app.bsky.feed.post","added":1})"));
  const auto ref = w.client.create_record(kPost, R"({"text":"hi"})");
  CHECK(ref.value().uri == "at://x/app.bsky.feed.post/there");
  CHECK(ref.value().cid == "bafyt");
  CHECK(w.call(2) == "/xrpc/com.atproto.repo.getRecord");
}

TEST_CASE("create_record: a repetition that is refused while nothing is there is refused",
          "[pds]") {
  LossyWorld w;
  w.says(400, R"({"error":"InvalidRequest","message":"Invalid record"})")
      .says(400, R"({"error":"RecordNotFound"})");
  const auto ref = w.client.create_record(kPost, "{}");
  CHECK(outcome(ref) == "resource_error xrpc.InvalidRequest");
  CHECK(ref.error().message.find("Invalid record") != std::string::npos);
}

TEST_CASE("create_record: under a key of the caller's the content decides whose record it is",
          "[pds]") {
  for (const bool ours : {true, false}) {
    CAPTURE(ours);
    LossyWorld w;
    // Repositories keep neither the order of members nor white space.
    w.says(500, kExists);
    w.says(200, record(ours ? R"({"text":"hi","$type":"app.bsky.feed.post"})"
                            : R"({"text":"ho","$type":"app.bsky.feed.post"})"));
    const auto ref = w.client.create_record(kPost, R"({ "text": "hi" })", {.rkey = "self"});
    CHECK(outcome(ref) == (ours ? "ok" : "resource_error xrpc.InvalidRequest"));
  }
}

TEST_CASE("create_record: a refusal at the first attempt is not looked up", "[pds]") {
  ResourceWorld w;
  PdsClient client(w.keeper, std::make_shared<TidSource>(*w.world.clock, *w.world.random),
                   std::string(kSubject));
  w.pds->push(json_answer(400, kExists));
  CHECK(outcome(client.create_record(kPost, "{}")) == "resource_error xrpc.InvalidRequest");
  CHECK(w.pds->count() == 1);
}

TEST_CASE("create_record: after the second break nobody knows, and that is what is said", "[pds]") {
  LossyWorld w;
  w.pds->push(connection_lost());
  const auto ref = w.client.create_record(kPost, "{}");
  CHECK(outcome(ref) == "connection_lost test.lost");
  CHECK(ref.error().delivery == Delivery::maybe_sent);
  CHECK(w.pds->count() == 2);
}

TEST_CASE("C10.7: a write that was repeated in vain may have happened", "[pds]") {
  for (const ErrorCode code :
       {ErrorCode::unreachable, ErrorCode::tls_failed, ErrorCode::timeout, ErrorCode::cancelled}) {
    CAPTURE(to_string(code));
    LossyWorld w;
    w.pds->push(make_error(code, "test.not_sent", "no connection"));
    const auto ref = w.client.create_record(kPost, "{}");
    CHECK(outcome(ref) == std::string(to_string(code)) + " test.not_sent");
    CHECK(ref.error().delivery == Delivery::maybe_sent);
    CHECK(w.pds->count() == 2);
  }
}

TEST_CASE("create_record: a timeout is not repeated", "[pds]") {
  ResourceWorld w;
  PdsClient client(w.keeper, std::make_shared<TidSource>(*w.world.clock, *w.world.random),
                   std::string(kSubject));
  w.pds->push(make_error(ErrorCode::timeout, "test.timeout", "too slow"));
  CHECK(outcome(client.create_record(kPost, "{}")) == "timeout test.timeout");
  CHECK(w.pds->count() == 1);
}

TEST_CASE("put_record: its own first attempt is no swap conflict, somebody else's write is",
          "[pds]") {
  for (const bool ours : {true, false}) {
    CAPTURE(ours);
    LossyWorld w;
    w.says(400, R"({"error":"InvalidSwap"})");
    w.says(200, record(ours ? R"({"$type":"app.bsky.feed.post","n":2})"
                            : R"({"$type":"app.bsky.feed.post","n":3})"));
    const auto ref =
        w.client.put_record(kPost, "self", R"({"n":2})",
                            {.swap_record = {.kind = SwapRecord::Kind::cid, .cid = "bafy0"}});
    CHECK(outcome(ref) == (ours ? "ok" : "invalid_swap xrpc.InvalidSwap"));
    if (ours) CHECK(ref->cid == "bafyt");
  }
}

TEST_CASE("delete_record: its own first attempt is no swap conflict, a record that is there is",
          "[pds]") {
  const WriteOptions options{.swap_record = {.kind = SwapRecord::Kind::cid, .cid = "bafy0"}};
  LossyWorld gone;
  gone.says(400, R"({"error":"InvalidSwap"})").says(400, R"({"error":"RecordNotFound"})");
  CHECK(outcome(gone.client.delete_record(kPost, "self", options)) == "ok");
  LossyWorld there;
  there.says(400, R"({"error":"InvalidSwap"})").says(200, record("{}"));
  CHECK(outcome(there.client.delete_record(kPost, "self", options)) ==
        "invalid_swap xrpc.InvalidSwap");
  LossyWorld unknown;
  unknown.says(400, R"({"error":"InvalidSwap"})").says(500, "{}");
  CHECK(outcome(unknown.client.delete_record(kPost, "self", options)) ==
        "invalid_swap xrpc.InvalidSwap");
}

TEST_CASE("delete_record: a server that does not know the repository is no proof of a deletion",
          "[pds]") {
  LossyWorld w;
  w.says(400, R"({"error":"InvalidSwap"})").says(400, R"({"error":"RepoNotFound"})");
  CHECK(outcome(w.client.delete_record(kPost, "self")) == "invalid_swap xrpc.InvalidSwap");
}

TEST_CASE("apply_writes: a server that does not know the repository is no proof of a deletion",
          "[pds]") {
  const std::vector<RecordWrite> writes{
      {.action = RecordAction::remove, .collection = kPost, .rkey = "self"}};
  for (const bool gone : {true, false}) {
    LossyWorld w;
    w.says(400, R"({"error":"InvalidRequest"})");
    w.says(400, gone ? R"({"error":"RecordNotFound"})" : R"({"error":"RepoNotFound"})");
    CHECK(outcome(w.client.apply_writes(writes)) ==
          (gone ? "ok" : "resource_error xrpc.InvalidRequest"));
  }
}
