// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

import latchkey.core;
import latchkey.http;
import latchkey.http.trace;
import latchkey.http.trace.reading;
import latchkey.test.proof_key;
import latchkey.test.scripted_transport;

// What requests and answers say of themselves.

using namespace latchkey;
using namespace latchkey::test;

namespace {

HttpRequest get(std::string_view url) {
  return json_get(Url::parse(url).value());
}

HttpRequest form(std::string_view body, std::string_view url = "https://as.test/x") {
  return form_post(Url::parse(url).value(), SecretString(body));
}

// "role purpose grant"
std::string use(const HttpRequest& request) {
  const TracedRequest read = read_request(request);
  std::string out = std::string(to_string(read.to)) + " " + std::string(read.purpose.text());
  if (!read.grant.empty()) out += " " + std::string(read.grant.text());
  return out;
}

std::string error(const HttpResponse& response) {
  return std::string(read_answer(get("https://as.test/"), response, TimePoint{}).error.text());
}

HttpRequest with_proof(std::optional<std::string_view> nonce) {
  const ProofKey key;
  Members claims = proof_claims("GET", "https://pds.test/", 1);
  if (nonce) claims["nonce"] = quoted(*nonce);
  HttpRequest request = get("https://pds.test/xrpc/com.example.get");
  request.headers.set("DPoP", key.sign(key.header(), claims)).value();
  return request;
}

}  // namespace

TEST_CASE("trace: what a form is for is told by the field that only it has", "[trace]") {
  CHECK(use(form("grant_type=authorization_code&code=x")) ==
        "authorization_server token authorization_code");
  CHECK(use(form("client_id=a&grant_type=refresh_token")) ==
        "authorization_server token refresh_token");
  CHECK(use(form("grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Adevice_code")) ==
        "authorization_server token device_code");
  CHECK(use(form("response_type=code&client_id=a")) == "authorization_server par");
  CHECK(use(form("token=x&token_type_hint=refresh_token")) == "authorization_server revocation");
  CHECK(use(form("client_id=a&scope=b")) == "authorization_server device_authorization");
  CHECK(use(form("scope=openid")) == "authorization_server device_authorization");
  CHECK(use(form("access_key=x")) == "resource_server resource");
  CHECK(use(form("grant_type=Marked9f8e7d6c")) == "authorization_server token unlisted");
  CHECK(use(form("x=grant_type&y")) == "resource_server resource");
}

TEST_CASE("trace: what is fetched is told by its well-known place", "[trace]") {
  CHECK(use(get("https://as.test/.well-known/oauth-authorization-server")) ==
        "authorization_server server_metadata");
  CHECK(use(get("https://as.test/tenant/.well-known/openid-configuration")) ==
        "authorization_server server_metadata");
  CHECK(use(get("https://pds.test/.well-known/oauth-protected-resource")) ==
        "pds resource_metadata");
  CHECK(use(get("https://alice.test/.well-known/atproto-did")) == "handle_host handle");
  CHECK(use(get("https://web.test/.well-known/did.json")) == "directory did_document");
  CHECK(use(get("https://plc.test/did:plc:abc")) == "directory did_document");
  CHECK(use(get("https://as.test/oauth/jwks")) == "authorization_server jwks");
  CHECK(use(get("https://pds.test/xrpc/com.atproto.server.describeServer")) == "pds xrpc");
  CHECK(use(get("https://api.test/me")) == "resource_server resource");
}

TEST_CASE("trace: the scheme of an authorization is told, and nothing of its credentials",
          "[trace]") {
  HttpRequest request = get("https://api.test/jwks");
  CHECK(read_request(request).authorization.empty());
  using enum Authorization::Scheme;
  for (const auto& [scheme, word] :
       {std::pair(bearer, "bearer"), std::pair(dpop, "dpop"), std::pair(basic, "basic")}) {
    request.authorization = Authorization{scheme, SecretString("Marked9f8e7d6c")};
    CHECK(read_request(request).authorization.text() == word);
    CHECK(use(request) == "resource_server resource");
    CHECK(trace_line({.what = read_request(request)}).find("Marked") == std::string::npos);
  }
}

TEST_CASE("G-46: a proof is told by its key, and whether it has a nonce", "[trace]") {
  const auto without = read_request(with_proof(std::nullopt)).proof;
  REQUIRE(without);
  CHECK(without->key.text().size() == 8);
  CHECK_FALSE(without->has_nonce);
  CHECK(read_request(with_proof("n-1")).proof->has_nonce);
  CHECK_FALSE(read_request(get("https://pds.test/")).proof);
  HttpRequest odd = get("https://pds.test/");
  odd.headers.set("DPoP", "Marked").value();
  REQUIRE(read_request(odd).proof);
  CHECK(read_request(odd).proof->key.text().empty());
}

TEST_CASE("trace: a body that is read while it is sent is as long as it says", "[trace]") {
  class Source final : public BodySource {
   public:
    [[nodiscard]] std::uint64_t size() const override { return 5'000'000; }
    [[nodiscard]] bool is_replayable() const override { return false; }
    [[nodiscard]] Result<std::unique_ptr<BodyReader>> open() override {
      return make_error(ErrorCode::invalid_argument, "test.opened", "a trace opens no body");
    }
  };
  HttpRequest request{.method = "POST", .url = Url::parse("https://pds.test/xrpc/x.y.z").value()};
  CHECK(read_request(request).bytes == 0);
  request.body = SecretString("seven b");
  CHECK(read_request(request).bytes == 7);
  request.body = SecretString();
  request.body_source = std::make_shared<Source>();
  CHECK(read_request(request).bytes == 5'000'000);
}

TEST_CASE("trace: a nonce is new if the proof did not have it", "[trace]") {
  const auto is_new = [](const HttpRequest& request, const HttpResponse& response) {
    return read_answer(request, response, TimePoint{}).new_nonce;
  };
  const HttpResponse given = answer(200, {{"DPoP-Nonce", "n-1"}});
  CHECK(is_new(with_proof(std::nullopt), given));
  CHECK(is_new(with_proof("n-0"), given));
  CHECK_FALSE(is_new(with_proof("n-1"), given));
  CHECK_FALSE(is_new(with_proof(std::nullopt), answer(200)));
}

TEST_CASE("trace: an error is read from the challenge or the body of a refusal only", "[trace]") {
  CHECK(error(json_answer(400, R"({"error":"invalid_grant","error_description":"x"})")) ==
        "invalid_grant");
  CHECK(error(answer(401, {{"WWW-Authenticate", R"(DPoP error="use_dpop_nonce")"}})) ==
        "use_dpop_nonce");
  CHECK(error(json_answer(400, R"({"error":"RecordNotFound"})")) == "RecordNotFound");
  CHECK(error(json_answer(200, R"({"error":"invalid_grant"})")).empty());
  CHECK(error(answer(400, {}, R"({"error":"invalid_grant"})")).empty());
  CHECK(error(json_answer(400, R"({"error":{}})")).empty());
  CHECK(error(json_answer(400, "{")).empty());
  CHECK(error(json_answer(500, R"({"error":"rt-Marked9f8e7d6c"})")) == "unlisted");
}

TEST_CASE("trace: Retry-After is told as seconds, at most a day", "[trace]") {
  const auto wait = [](std::string_view text) {
    return read_answer(get("https://as.test/"), answer(429, {{"Retry-After", text}}), TimePoint{})
        .retry_after;
  };
  CHECK(wait("7") == std::chrono::seconds{7});
  CHECK(wait("99999999") == std::chrono::hours{24});
  CHECK_FALSE(wait("Marked"));
}

TEST_CASE("trace: the same request is sent again for four reasons, and no other", "[trace]") {
  using enum TraceRetry;
  const auto body = [](int status, std::string_view error) {
    return reason_to_repeat(json_answer(status, R"({"error":")" + std::string(error) + "\"}"));
  };
  CHECK(body(400, "use_dpop_nonce") == use_dpop_nonce);
  CHECK(body(401, "use_dpop_nonce") == use_dpop_nonce);
  CHECK(body(400, "invalid_dpop_proof") == clock);
  CHECK(body(401, "invalid_token") == token_renewed);
  CHECK(body(400, "invalid_token") == none);
  CHECK(body(400, "invalid_grant") == none);
  CHECK(body(500, "use_dpop_nonce") == none);
  CHECK(reason_to_repeat(answer(200)) == none);
}
