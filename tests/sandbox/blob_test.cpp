// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

import latchkey.core;
import latchkey.core.json;
import latchkey.sandbox;
import latchkey.sandbox.cid;
import latchkey.sandbox.permissions;
import latchkey.test.folder;
import latchkey.test.wire_client;

using namespace latchkey;
using namespace latchkey::test;

namespace {

const std::string kUpload = "/xrpc/com.atproto.repo.uploadBlob";
const std::string kCreate = "/xrpc/com.atproto.repo.createRecord";
const std::string kUnknown = "bafkreidh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy";

struct Wire {
  explicit Wire(const std::string& scope = "atproto transition:generic")
      : client(*servers, scope), token(client.log_in().text("access_token")) {}

  std::unique_ptr<sandbox::Sandbox> servers = sandbox::Sandbox::start().value();
  sandbox::Account alice = servers->add_account("alice.test", "secret", true).value();
  WireClient client;
  std::string token;

  WireAnswer upload(std::string_view bytes, std::string_view type = "image/png") {
    return client.call("POST", kUpload, token, bytes, type);
  }
  [[nodiscard]] std::string get(const std::string& call, const std::string& query) const {
    return exchange(servers->pds(), "GET", "/xrpc/com.atproto.sync." + call + query).outcome();
  }
  [[nodiscard]] std::string last_detail() const { return servers->requests().back().detail; }
};

JsonObject blob_of(const WireAnswer& answer) {
  return JsonObject::parse(answer.body, ErrorCode::invalid_response, "blob")
      .value()
      .object("blob")
      .value()
      .value();
}

std::string record_with(const Wire& wire, const std::string& blob) {
  return R"({"repo":")" + wire.alice.did +
         R"(","collection":"app.bsky.feed.post","record":{"text":"x","embed":{"images":[{"image":)" +
         blob + "}]}}}";
}

}  // namespace

TEST_CASE("blobs: one is uploaded, read, listed and referred to", "[sandbox]") {
  Wire wire;
  const std::string bytes("\x89PNG\r\n\0\xff", 8);
  const auto uploaded = wire.upload(bytes);
  REQUIRE(uploaded.status == 200);
  const auto blob = blob_of(uploaded);
  CHECK(blob.string("mimeType").value() == "image/png");
  CHECK(blob.integer("size").value() == 8);
  const auto cid = blob.object("ref").value()->string("$link").value().value();
  CHECK(cid == sandbox::blob_cid(bytes));
  const auto read =
      exchange(wire.servers->pds(), "GET",
               "/xrpc/com.atproto.sync.getBlob?did=" + wire.alice.did + "&cid=" + cid);
  CHECK(read.body == bytes);
  CHECK(read.header("Content-Type") == "image/png");
  CHECK(read.header("X-Content-Type-Options") == "nosniff");
  const auto listed = exchange(wire.servers->pds(), "GET",
                               "/xrpc/com.atproto.sync.listBlobs?did=" + wire.alice.did);
  CHECK(listed.body == R"({"cids":[")" + cid + R"("]})");
  const auto text = JsonObject::parse(uploaded.body, ErrorCode::invalid_response, "blob")
                        .value()
                        .json_text("blob")
                        .value();
  CHECK(wire.client.call("POST", kCreate, wire.token, record_with(wire, text)).status == 200);
}

TEST_CASE("blobs: the CID is that of other programs", "[sandbox]") {
  // The well-known one of "hello world", without a line break; Python's hashlib and base64 agree.
  CHECK(sandbox::blob_cid("hello world") ==
        "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e");
}

TEST_CASE("blobs: each wrong upload is refused for its own reason", "[sandbox]") {
  Wire wire;
  CHECK(wire.upload("x", "").outcome() == "400 InvalidRequest");
  CHECK(wire.last_detail() == "blob.content_type");
  CHECK(wire.upload("x", "png").outcome() == "400 InvalidRequest");
  CHECK(wire.last_detail() == "blob.content_type");
  CHECK(wire.upload("").outcome() == "400 InvalidRequest");
  CHECK(wire.last_detail() == "blob.empty");
  CHECK(wire.upload(std::string(1'000'001, 'x')).outcome() == "413 PayloadTooLarge");
  CHECK(wire.last_detail() == "blob.too_large");
  CHECK(exchange(wire.servers->pds(), "POST", kUpload, {{"Content-Type", "image/png"}}, "x")
            .outcome() == "401 AuthMissing");
  CHECK(wire.client.call("POST", kUpload, "sat-unknown", "x", "image/png").outcome() ==
        "401 invalid_token");
  CHECK(wire.get("listBlobs", "?did=" + wire.alice.did) == "200 ");
  CHECK(wire.upload(std::string(1'000'000, 'x')).status == 200);
}

TEST_CASE("blobs: what is not there is not found", "[sandbox]") {
  Wire wire;
  REQUIRE(wire.upload("x").status == 200);
  CHECK(wire.get("getBlob", "") == "400 BlobNotFound");
  CHECK(wire.get("getBlob", "?did=" + wire.alice.did + "&cid=" + kUnknown) == "400 BlobNotFound");
  CHECK(wire.get("getBlob", "?did=did:plc:x&cid=" + sandbox::blob_cid("x")) == "400 BlobNotFound");
  CHECK(wire.get("listBlobs", "?did=did:plc:x") == "400 RepoNotFound");
  CHECK(wire.get("listBlobs", "?did=" + wire.alice.did + "&limit=0") == "400 InvalidRequest");
  REQUIRE(wire.servers->move_account("alice.test", "https://pds.example"));
  CHECK(wire.get("getBlob", "?did=" + wire.alice.did + "&cid=" + sandbox::blob_cid("x")) ==
        "400 BlobNotFound");
}

TEST_CASE("blobs: a record may refer only to what was uploaded", "[sandbox]") {
  Wire wire;
  const auto blob =
      R"({"$type":"blob","ref":{"$link":")" + kUnknown + R"("},"mimeType":"image/png","size":1})";
  CHECK(wire.client.call("POST", kCreate, wire.token, record_with(wire, blob)).outcome() ==
        "400 BlobNotFound");
  CHECK(wire.last_detail() == "record.blob_unknown");
}

TEST_CASE("blobs: a list goes on where its page ended", "[sandbox]") {
  Wire wire;
  for (const char* bytes : {"1", "2", "3"}) REQUIRE(wire.upload(bytes).status == 200);
  std::string cursor;
  std::vector<std::string> cids;
  do {
    const auto page =
        JsonObject::parse(
            exchange(wire.servers->pds(), "GET",
                     "/xrpc/com.atproto.sync.listBlobs?limit=2&did=" + wire.alice.did + cursor)
                .body,
            ErrorCode::invalid_response, "page")
            .value();
    const auto found = page.strings("cids").value().value();
    cids.insert(cids.end(), found.begin(), found.end());
    const auto next = page.string("cursor").value();
    cursor = next ? "&cursor=" + *next : "";
  } while (!cursor.empty());
  CHECK(cids.size() == 3);
}

TEST_CASE("blobs: granular scopes are enforced", "[sandbox]") {
  Wire wire("atproto blob:image/*");
  CHECK(wire.upload("x", "image/png").status == 200);
  CHECK(wire.upload("x", "video/mp4").outcome() == "403 ScopeMissingError");
  CHECK(wire.last_detail() == "scope.missing");
}

TEST_CASE("permits_blob: what each form of a blob scope means", "[sandbox]") {
  for (const auto& [scope, type, permitted] :
       std::vector<std::tuple<const char*, const char*, bool>>{
           {"atproto", "image/png", false},
           {"atproto transition:generic", "image/png", true},
           {"atproto blob:*/*", "video/mp4", true},
           {"atproto blob:image/*", "image/png", true},
           {"atproto blob:image/*", "images/png", false},
           {"atproto blob:image/png", "image/png", true},
           {"atproto blob:image/png", "image/png2", false},
           {"atproto blob:*", "image/png", false},
           {"atproto blob?accept=image/png&accept=video/*", "video/mp4", true},
           {"atproto blob?accept=image/png", "image/gif", false},
           {"atproto blob:image/svg%2Bxml", "image/svg+xml", true},
           {"atproto blob:image/*?accept=video/*", "image/png", false},
           {"atproto blob:image/*?size=1", "image/png", false},
           {"atproto repo:*", "image/png", false},
           {"atproto blob", "image/png", false}}) {
    INFO(scope << ' ' << type);
    CHECK(sandbox::permits_blob(scope, type) == permitted);
  }
}

TEST_CASE("blobs: they are kept with the rest of the data", "[sandbox]") {
  TemporaryFolder folder;
  const auto data = folder.path() / "sandbox.db";
  const std::string bytes("a\n\0b", 4);
  std::string did;
  {
    const auto servers = sandbox::Sandbox::start({.data = data}).value();
    did = servers->add_account("alice.test", {}, true).value().did;
    WireClient client(*servers);
    const auto token = client.log_in().text("access_token");
    REQUIRE(client.call("POST", kUpload, token, bytes, "text/plain").status == 200);
  }
  const auto servers = sandbox::Sandbox::start({.data = data}).value();
  const auto read =
      exchange(servers->pds(), "GET",
               "/xrpc/com.atproto.sync.getBlob?did=" + did + "&cid=" + sandbox::blob_cid(bytes));
  CHECK(read.body == bytes);
  CHECK(read.header("Content-Type") == "text/plain");
}
