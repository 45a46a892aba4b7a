// SPDX-License-Identifier: MIT
#include <array>
#include <catch2/catch_test_macros.hpp>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <ios>
#include <memory>
#include <span>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>

import latchkey.atproto.blob;
import latchkey.atproto.identifier;
import latchkey.atproto.pds;
import latchkey.core;
import latchkey.http;
import latchkey.refresh.keeper;
import latchkey.test.outcome;
import latchkey.test.refresh_world;
import latchkey.test.resource_world;
import latchkey.test.scripted_transport;

// Blobs, and bodies that are read while they are sent.

using namespace latchkey;
using namespace latchkey::test;

namespace {

std::string answer_for(std::size_t size, std::string_view type = "image/png") {
  return R"({"blob":{"$type":"blob","ref":{"$link":"bafkreib"},"mimeType":")" + std::string(type) +
         R"(","size":)" + std::to_string(size) + "}}";
}

std::string read_all(BodySource& source) {
  auto reader = source.open();
  REQUIRE(reader);
  std::string out;
  std::array<unsigned char, 7> part{};
  for (;;) {
    const auto some = (*reader)->read(part);
    REQUIRE(some);
    if (*some == 0) return out;
    out.append(reinterpret_cast<const char*>(part.data()), *some);
  }
}

struct BlobWorld : ResourceWorld {
  PdsClient client{keeper, std::make_shared<TidSource>(*world.clock, *world.random),
                   std::string(kSubject)};
  BlobWorld& says(int status, std::string_view body) {
    pds->push(json_answer(status, body));
    return *this;
  }
  std::string upload(std::shared_ptr<BodySource> source) {
    return outcome(client.upload_blob(std::move(source), {.mime_type = "image/png"}));
  }
};

struct TemporaryName {
  std::filesystem::path path =
      std::filesystem::temp_directory_path() /
      ("latchkey-blob-" + std::to_string(reinterpret_cast<std::uintptr_t>(this)));
  ~TemporaryName() { std::filesystem::remove_all(path); }
};

}  // namespace

TEST_CASE("C10.2: upload_blob: the bytes go out under their type, and come back as a reference",
          "[pds]") {
  BlobWorld w;
  w.says(200, answer_for(4));
  const auto blob = w.client.upload_blob("\x89PNG", {.mime_type = "image/png"}).value();
  CHECK(blob.cid == "bafkreib");
  CHECK(blob.json() ==
        R"({"$type":"blob","ref":{"$link":"bafkreib"},"mimeType":"image/png","size":4})");
  const auto request = std::move(w.requests().at(0));
  CHECK(request.method == "POST");
  CHECK(request.url.target() == "/xrpc/com.atproto.repo.uploadBlob");
  CHECK(*request.headers.find("Content-Type") == "image/png");
  CHECK(request.body.empty());
  REQUIRE(request.body_source);
  CHECK(read_all(*request.body_source) == "\x89PNG");
}

TEST_CASE("upload_blob: what may not be sent is refused before anything is", "[pds]") {
  BlobWorld w;
  const auto upload = [&](std::string_view bytes, const UploadOptions& options) {
    return outcome(w.client.upload_blob(bytes, options));
  };
  for (const std::string type : {"", "image", "image/*", "*/*", "image/png\r\nX: y"}) {
    CHECK(upload("x", {.mime_type = type}) == "invalid_argument blob.mime_type");
  }
  CHECK(upload("", {.mime_type = "image/png"}) == "invalid_argument blob.empty");
  CHECK(upload("12345", {.mime_type = "image/png", .max_size = 4}) ==
        "invalid_argument blob.too_large");
  CHECK(w.pds->count() == 0);
}

TEST_CASE("upload_blob: an answer that is none, or of other bytes, is refused", "[pds]") {
  for (const std::string body :
       {"", "{}", R"({"blob":7})", R"({"blob":{}})", R"({"blob":{"ref":{}}})",
        R"({"blob":{"ref":{"$link":""},"mimeType":"a/b","size":1}})",
        R"({"blob":{"ref":{"$link":"b"},"size":1}})",
        R"({"blob":{"ref":{"$link":"b"},"mimeType":"a/b"}})",
        R"({"blob":{"ref":{"$link":"b"},"mimeType":"a/b","size":-1}})",
        R"({"blob":{"ref":{"$link":"b"},"mimeType":"a/b","size":"1"}})"}) {
    CAPTURE(body);
    BlobWorld w;
    w.says(200, body);
    CHECK(w.client.upload_blob("x", {.mime_type = "image/png"}).error().code ==
          ErrorCode::invalid_response);
  }
  BlobWorld w;
  w.says(200, answer_for(2));
  CHECK(outcome(w.client.upload_blob("x", {.mime_type = "image/png"})) ==
        "invalid_response blob.size_mismatch");
}

TEST_CASE("C10.7: bytes that can be read again are sent again after a nonce or a dead connection",
          "[pds]") {
  BlobWorld w;
  w.pds->push(nonce_wanted("n-1"));
  w.pds->push(connection_lost());
  w.says(200, answer_for(3));
  CHECK(w.upload(body_from_bytes("abc")) == "ok");
  CHECK(w.pds->count() == 3);
}

TEST_CASE("C10.7: what can be read once only is sent once only", "[pds]") {
  const auto upload_after = [](auto refusal) {
    BlobWorld w;
    w.says(200, "{}");  // the call that goes before
    w.pds->push(std::move(refusal));
    std::istringstream stream("abc");
    const auto result = w.upload(body_from_stream(stream, 3));
    CHECK(w.pds->count() == 2);
    CHECK(w.requests()[0].url.path() == "/xrpc/com.atproto.server.getSession");
    CHECK(w.world.server.refreshes() == 0);
    return result;
  };
  CHECK(upload_after(nonce_wanted("n-1")) == "resource_error xrpc.use_dpop_nonce");
  CHECK(upload_after(token_refused()) == "resource_error xrpc.invalid_token");
  CHECK(upload_after(Result<HttpResponse>(connection_lost())) == "connection_lost test.lost");
}

TEST_CASE("C10.7: before what can be read once only, nonce and token are made good", "[pds]") {
  BlobWorld w;
  w.pds->push(nonce_wanted("n-1"));
  w.pds->push(token_refused());
  w.says(200, "{}").says(200, answer_for(3));
  std::istringstream stream("abc");
  CHECK(w.upload(body_from_stream(stream, 3)) == "ok");
  CHECK(claim_of(w.requests()[3], "nonce") == "n-1");
  CHECK(token_of(w.requests()[3]) == "at-2");
  CHECK(w.pds->options()[3].connection == Connection::fresh);
}

TEST_CASE("body_from_file: is read anew each time, and must be a file that can be read", "[pds]") {
  const TemporaryName name;
  CHECK(outcome(body_from_file(name.path.string())) == "io body.file");
  CHECK(outcome(body_from_file("/")) == "io body.file");
  std::ofstream(name.path) << "some bytes of a file";
  const auto source = body_from_file(name.path.string());
  REQUIRE(source);
  CHECK((*source)->size() == 20);
  CHECK((*source)->is_replayable());
  CHECK(read_all(**source) == "some bytes of a file");
  CHECK(read_all(**source) == "some bytes of a file");
  std::filesystem::remove(name.path);
  CHECK(outcome((*source)->open()) == "io body.file");
}

TEST_CASE("body_from_stream: a second opening is refused", "[pds]") {
  std::istringstream stream("abc");
  const auto source = body_from_stream(stream, 3);
  CHECK_FALSE(source->is_replayable());
  CHECK(read_all(*source) == "abc");
  CHECK(outcome(source->open()) == "invalid_argument body.not_replayable");
}

TEST_CASE("body_from_callback: one that throws, or claims more than fits, is an error", "[pds]") {
  using Span = std::span<unsigned char>;
  const auto read_of = [](const BodyCallback& callback) {
    std::array<unsigned char, 7> part{};
    return outcome(body_from_callback(callback, 10)->open().value()->read(part));
  };
  CHECK(read_of([](Span) -> Result<std::size_t> { throw std::runtime_error("oh"); }) ==
        "io body.threw");
  CHECK(read_of([](Span) -> Result<std::size_t> { throw 7; }) == "io body.threw");
  CHECK(read_of([](Span) -> Result<std::size_t> { return std::size_t{8}; }) == "io body.overrun");
  CHECK(read_of([](Span to) -> Result<std::size_t> { return to.size(); }) == "ok");
}

TEST_CASE("body_from_stream: a stream that throws is an error", "[pds]") {
  std::istringstream stream("abc");
  stream.exceptions(std::ios::failbit | std::ios::badbit | std::ios::eofbit);
  std::array<unsigned char, 7> part{};
  CHECK(outcome(body_from_stream(stream, 7)->open().value()->read(part)) == "io body.threw");
}

TEST_CASE("HttpRequest: a clone has the same source, and is as replayable", "[pds]") {
  std::istringstream stream("abc");
  HttpRequest request{.url = Url::parse("https://pds.test/").value()};
  CHECK(request.is_replayable());
  request.body_source = body_from_stream(stream, 3);
  CHECK_FALSE(request.clone().is_replayable());
  CHECK(request.clone().body_source == request.body_source);
}
