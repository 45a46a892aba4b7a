// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <string>
#include <string_view>
#include <utility>

import latchkey.core;
import latchkey.dpop.jwk;
import latchkey.http;
import latchkey.sandbox;
import latchkey.test.torture_books;
import latchkey.test.torture_notes;
import latchkey.test.torture_observer;

using namespace latchkey;
using namespace latchkey::test;
using sandbox::FaultKind;

namespace {

// RFC 7517, appendix A.1.
constexpr std::string_view kJwk =
    R"({"kty":"EC","crv":"P-256","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",)"
    R"("y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"})";

sandbox::RecordedRequest refresh_with(std::string fault, int status, std::string detail = {}) {
  sandbox::RecordedRequest request;
  request.server = sandbox::Server::authorization;
  request.method = "POST";
  request.path = "/oauth/token";
  request.grant_type = "refresh_token";
  request.status = status;
  request.detail = std::move(detail);
  request.fault = std::move(fault);
  const std::string header = R"({"typ":"dpop+jwt","alg":"ES256","jwk":)" + std::string(kJwk) + '}';
  CHECK(request.contents.headers.add("DPoP", base64url_encode(as_bytes(header)) + ".claims.sign"));
  request.contents.body = "grant_type=refresh_token&refresh_token=rt-1";
  return request;
}

ServedRefresh served(FaultKind kind, int status) {
  return served_refresh(refresh_with(std::string(sandbox::to_string(kind)), status));
}

}  // namespace

TEST_CASE("observer: a refresh is known by its key and its token", "[torture]") {
  const ServedRefresh refresh = served_refresh(refresh_with("", 200));
  CHECK(refresh.key == jwk_thumbprint(kJwk).value());
  CHECK(refresh.token == mark_of("rt-1"));
  CHECK(refresh.request == mark_of(*refresh_with("", 200).contents.headers.find("DPoP")));
  CHECK(refresh.consumed);
  CHECK(refresh.answer == Answer::delivered);
}

TEST_CASE("observer: what comes after the server acted has consumed the token", "[torture]") {
  for (const auto kind : {FaultKind::drop_after, FaultKind::truncate, FaultKind::content_type,
                          FaultKind::garbage, FaultKind::huge_body, FaultKind::status_after}) {
    CAPTURE(sandbox::to_string(kind));
    CHECK(served(kind, kind == FaultKind::status_after ? 503 : 200).consumed);
    CHECK(served(kind, 200).answer == Answer::lost);
  }
}

TEST_CASE("observer: a delayed answer is delivered: no fault excuses its loss", "[torture]") {
  CHECK(served(FaultKind::delay, 200).consumed);
  CHECK(served(FaultKind::delay, 200).answer == Answer::delivered);
}

TEST_CASE("observer: what comes before the server acts consumes nothing", "[torture]") {
  CHECK_FALSE(served(FaultKind::drop_before, 0).consumed);
  CHECK_FALSE(served(FaultKind::status, 503).consumed);
  CHECK_FALSE(served(FaultKind::redirect, 307).consumed);
  CHECK_FALSE(served(FaultKind::nonce_storm, 400).consumed);
}

TEST_CASE("observer: a refusal consumes nothing, whatever became of it", "[torture]") {
  CHECK_FALSE(served_refresh(refresh_with("", 400, "refresh.replayed")).consumed);
  CHECK_FALSE(served_refresh(refresh_with("drop_after", 400, "refresh.replayed")).consumed);
  CHECK(served_refresh(refresh_with("", 400, "refresh.replayed")).refusal == "refresh.replayed");
}

TEST_CASE("observer: other requests are no refreshes", "[torture]") {
  auto request = refresh_with("", 200);
  request.grant_type = "authorization_code";
  CHECK(served_refresh(request).key.empty());
}

TEST_CASE("observer: a proof that can't be read names no session", "[torture]") {
  for (const std::string_view proof : {"", "!", "e30.e30.e30", "eyJqd2siOnt9fQ.a.b"}) {
    auto request = refresh_with("", 200);
    CHECK(request.contents.headers.set("DPoP", proof));
    CHECK(served_refresh(request).key.empty());
  }
}
