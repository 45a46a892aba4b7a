// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/generators/catch_generators_range.hpp>
#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.secret;
import latchkey.core.time;
import latchkey.http;
import latchkey.oauth.client_auth;
import latchkey.oauth.client_secret;
import latchkey.oauth.device;
import latchkey.test.oauth;
import latchkey.test.outcome;

using namespace latchkey;
using namespace latchkey::test;
using namespace std::chrono_literals;

namespace {

const DeviceRequest kRequest{.endpoint = "https://id.test/device",
                             .issuer = "https://id.test",
                             .client_auth_kid = {},
                             .scope = "books read"};

// RFC 8628 §3.2
constexpr std::string_view kExample = R"({
  "device_code": "GmRhmhcxhwAzkoEqiMEg_DnyEysNkuNhszIySk9eS",
  "user_code": "WDJB-MJHT",
  "verification_uri": "https://example.com/device",
  "verification_uri_complete": "https://example.com/device?user_code=WDJB-MJHT",
  "expires_in": 1800,
  "interval": 5
})";

// The example with one member replaced by `value`, or left out if that is empty.
std::string example_with(const std::string& name, const std::string& value) {
  std::string body(kExample);
  const auto from = body.find("\"" + name + "\"");
  REQUIRE(from != std::string::npos);
  const auto end = body.find('\n', from);
  const bool last = body[end - 1] != ',';
  const std::string member = value.empty() ? "\"x_" + name + "\": 0" : "\"" + name + "\": " + value;
  return body.replace(from, end - from, member + (last ? "" : ","));
}

Result<DeviceAuthorization> read(std::string_view body, int status = 200,
                                 std::string_view type = "application/json") {
  return process_device_response(typed_answer(status, body, type), TimePoint{});
}

JudgedPoll judged(int status, std::string_view body, std::string_view type = "application/json") {
  return judge_device_poll(typed_answer(status, body, type), TimePoint{});
}

JudgedPoll judged(ErrorCode code) {
  return judge_device_poll(make_error(code, "test.detail", "no answer"), TimePoint{});
}

std::string error_body(std::string_view error) {
  return R"({"error":")" + std::string(error) + "\"}";
}

}  // namespace

TEST_CASE("a device request is a form POST with client_id, scope and the extra fields",
          "[device]") {
  auto wanted = kRequest;
  wanted.extra = {{"device_name", "the kitchen"}, {"device_id", "1+1"}};
  const auto request = build_device_request(wanted, *public_client("an id")).value();
  CHECK(request.method == "POST");
  CHECK(request.url.text() == "https://id.test/device");
  CHECK(request.body.expose() ==
        "scope=books+read&device_name=the+kitchen&device_id=1%2B1&client_id=an+id");
}

TEST_CASE("a device request leaves an empty scope out, and carries what authenticates the client",
          "[device]") {
  auto wanted = kRequest;
  wanted.scope.clear();
  const auto basic =
      build_device_request(wanted, *client_secret_basic("id", SecretString("secret"))).value();
  CHECK(basic.body.empty());
  CHECK(basic.authorization);
  wanted.client_auth_kid = "one";
  AssertingClient client;
  const auto keyed = build_device_request(wanted, client).value();
  CHECK(field(keyed, "client_assertion") == "https://id.test|one|1");
}

TEST_CASE("a device request refuses extra fields that are its own, nameless, or there twice",
          "[device]") {
  const auto name = GENERATE(as<std::string>{}, "client_id", "client_secret", "client_assertion",
                             "client_assertion_type", "scope", "grant_type", "device_code");
  auto wanted = kRequest;
  wanted.extra = {{name, "x"}};
  CHECK(outcome(build_device_request(wanted, *public_client("id"))) ==
        "invalid_argument device.reserved_field");
  wanted.extra = {{"a", "x"}, {"b", "x"}, {"a", "y"}};
  CHECK(outcome(build_device_request(wanted, *public_client("id"))) ==
        "invalid_argument device.duplicate_field");
  wanted.extra = {{"", "x"}};
  CHECK(outcome(build_device_request(wanted, *public_client("id"))) ==
        "invalid_argument device.duplicate_field");
}

TEST_CASE("a device request goes to no endpoint that is missing, plain http, or has a fragment",
          "[device]") {
  auto wanted = kRequest;
  for (const auto& [endpoint, detail] :
       {std::pair{"", "device.no_endpoint"}, std::pair{"http://id.test/device", "url.not_https"},
        std::pair{"https://id.test/device#x", "device.endpoint_fragment"}}) {
    wanted.endpoint = endpoint;
    CHECK(detail_of(build_device_request(wanted, *public_client("id"))) == detail);
    CHECK(detail_of(build_device_poll(endpoint, "", "", SecretString("code"),
                                      *public_client("id"))) == detail);
  }
}

TEST_CASE("a device request is not sent by a client whose key is gone", "[device]") {
  KeylessClient client;
  CHECK(detail_of(build_device_request(kRequest, client)) == "client.key_gone");
  CHECK(detail_of(build_device_poll("https://id.test/token", "", "", SecretString("code"),
                                    client)) == "client.key_gone");
}

TEST_CASE("PV-20: the device answer of RFC 8628 section 3.2 is read", "[device]") {
  const auto given = read(kExample).value();
  CHECK(given.device_code.expose() == "GmRhmhcxhwAzkoEqiMEg_DnyEysNkuNhszIySk9eS");
  CHECK(given.user_code == "WDJB-MJHT");
  CHECK(given.verification_uri == "https://example.com/device");
  CHECK(given.verification_uri_complete == "https://example.com/device?user_code=WDJB-MJHT");
  CHECK(given.expires_in == 1800s);
  CHECK(given.interval == 5s);
}

TEST_CASE("PV-20: an interval that is missing or not positive is five seconds", "[device]") {
  for (const std::string value : {"", "0", "-1", "-0.5"}) {
    CAPTURE(value);
    CHECK(read(example_with("interval", value))->interval == 5s);
  }
}

TEST_CASE("a device answer's interval and lifetime are bounded, and never rounded in our favour",
          "[device]") {
  CHECK(read(example_with("interval", "7"))->interval == 7s);
  CHECK(read(example_with("interval", "6.1"))->interval == 7s);
  CHECK(read(example_with("interval", "300"))->interval == 300s);
  CHECK(read(example_with("interval", "1e300"))->interval == 300s);
  CHECK(read(example_with("expires_in", "1"))->expires_in == 1s);
  CHECK(read(example_with("expires_in", "1.9"))->expires_in == 1s);
  CHECK(read(example_with("expires_in", "1e300"))->expires_in == 24h);
}

TEST_CASE("M045: a device answer needs no complete address", "[device]") {
  CHECK(read(example_with("verification_uri_complete", ""))->verification_uri_complete.empty());
  CHECK(read(example_with("verification_uri_complete", "\"\""))->verification_uri_complete.empty());
}

TEST_CASE("a device answer may call its address by the name of the draft, and go to this machine",
          "[device]") {
  const auto google = R"({"device_code":"c","user_code":"U","expires_in":9,)"
                      R"("verification_url":"https://www.google.com/device"})";
  CHECK(read(google)->verification_uri == "https://www.google.com/device");
  CHECK(read(example_with("verification_uri", R"("http://localhost:8080/device")")));
}

TEST_CASE("a device answer that lacks something, or has it wrong, is refused", "[device]") {
  struct Case {
    std::string member, value, detail;
  };
  const std::string long_code = '"' + std::string(65, 'A') + '"';
  const std::string long_secret = '"' + std::string(4097, 'A') + '"';
  const Case cases[] = {
      {"device_code", "", "device.missing_member"},
      {"device_code", "5", "device.wrong_type"},
      {"device_code", "null", "device.wrong_type"},
      {"device_code", "\"\"", "device.device_code"},
      {"device_code", long_secret, "device.device_code"},
      {"device_code", R"("a\nb")", "device.device_code"},
      {"user_code", "", "device.missing_member"},
      {"user_code", "12345678", "device.wrong_type"},
      {"user_code", "\"\"", "device.missing_member"},
      {"user_code", long_code, "device.user_code"},
      {"user_code", R"("\u001b[2J")", "device.user_code"},
      {"user_code", R"("\u202eABC")", "device.user_code"},
      {"verification_uri", "", "device.missing_member"},
      {"verification_uri", "[]", "device.wrong_type"},
      {"verification_uri", R"("http://example.com/device")", "device.verification_uri"},
      {"verification_uri", "\"javascript:alert(1)\"", "device.verification_uri"},
      {"verification_uri", R"("https://user@example.com/")", "device.verification_uri"},
      {"verification_uri_complete", "1", "device.wrong_type"},
      {"verification_uri_complete", R"("http://example.com/d")",
       "device.verification_uri_complete"},
      {"expires_in", "", "device.missing_member"},
      {"expires_in", R"("1800")", "device.wrong_type"},
      {"expires_in", "0", "device.expires_in"},
      {"expires_in", "0.5", "device.expires_in"},
      {"expires_in", "-1800", "device.expires_in"},
      {"interval", R"("5")", "device.wrong_type"},
      {"interval", "null", "device.wrong_type"},
  };
  for (const auto& [member, value, detail] : cases) {
    CAPTURE(member, value);
    const auto result = read(example_with(member, value));
    CHECK(outcome(result) == "invalid_response " + detail);
  }
}

TEST_CASE("a device answer that is no JSON object is refused", "[device]") {
  CHECK(detail_of(read("[]")) == "device.not_json");
  CHECK(detail_of(read(kExample, 200, "text/html")) == "device.content_type");
  CHECK(detail_of(read(R"({"user_code":"A","user_code":"B"})")) == "device.duplicate_member");
  CHECK(detail_of(read("<html>", 404, "text/html")) == "device.status");
  CHECK(detail_of(read(kExample, 302)) == "device.status");
}

TEST_CASE("a device request that the server refuses keeps the server's error", "[device]") {
  CHECK(outcome(read(error_body("invalid_client"), 401)) == "invalid_client device.invalid_client");
  CHECK(outcome(read(error_body("unauthorized_client"), 400)) ==
        "provider_error device.unauthorized_client");
  CHECK(outcome(read(error_body("invalid_scope"), 200)) == "provider_error device.invalid_scope");
  CHECK(outcome(read("", 503)) == "provider_error device.server_error");
  CHECK(outcome(read("", 429)) == "rate_limited device.rate_limited");
}

TEST_CASE("a poll is a form POST with the device code", "[device]") {
  const auto request = build_device_poll("https://id.test/token", "https://id.test", "",
                                         SecretString("the code"), *public_client("an id"))
                           .value();
  CHECK(request.url.text() == "https://id.test/token");
  CHECK(request.body.expose() ==
        "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Adevice_code"
        "&device_code=the+code&client_id=an+id");
}

TEST_CASE("SA-43: each answer to a poll has its meaning", "[device]") {
  struct Case {
    int status;
    std::string_view error;
    DeviceVerdict verdict;
    std::string outcome;
  };
  using enum DeviceVerdict;
  const Case cases[] = {
      {400, "authorization_pending", pending, "provider_error device.authorization_pending"},
      {403, "authorization_pending", pending, "provider_error device.authorization_pending"},
      {200, "authorization_pending", pending, "provider_error device.authorization_pending"},
      {400, "slow_down", slow_down, "provider_error device.slow_down"},
      {429, "slow_down", slow_down, "rate_limited device.rate_limited"},
      {429, "too_many", trouble, "rate_limited device.rate_limited"},
      {400, "expired_token", refused, "timeout device.expired_token"},
      {400, "access_denied", refused, "access_denied device.access_denied"},
      {403, "access_denied", refused, "access_denied device.access_denied"},
      {400, "invalid_grant", refused, "invalid_grant device.invalid_grant"},
      {400, "invalid_client", refused, "invalid_client device.invalid_client"},
      {401, "invalid_client", refused, "invalid_client device.invalid_client"},
      {400, "unsupported_grant_type", refused, "provider_error device.unsupported_grant_type"},
      {400, "brand_new_error", refused, "provider_error device.brand_new_error"},
      {400, "<b>", refused, "provider_error device.unknown_error"},
      {500, "server_error", trouble, "provider_error device.server_error"},
      {503, "authorization_pending", trouble, "provider_error device.server_error"},
      {503, "slow_down", trouble, "provider_error device.server_error"},
  };
  for (const auto& one : cases) {
    CAPTURE(one.status, one.error);
    const auto judgement = judged(one.status, error_body(one.error));
    CHECK(judgement.verdict == one.verdict);
    CHECK(outcome(*judgement.error) == one.outcome);
    CHECK_FALSE(judgement.answer);
  }
}

TEST_CASE("a poll that is answered by somebody who speaks no OAuth has failed, and decides nothing",
          "[device]") {
  CHECK(judged(404, "<html>", "text/html").verdict == DeviceVerdict::failed);
  CHECK(judged(302, error_body("access_denied")).verdict == DeviceVerdict::failed);
  CHECK(judged(302, error_body("authorization_pending")).verdict == DeviceVerdict::failed);
  CHECK(judged(400, "{}").verdict == DeviceVerdict::failed);
  CHECK(judged(400, error_body("access_denied"), "text/plain").verdict == DeviceVerdict::failed);
  CHECK(judged(502, "<html>", "text/html").verdict == DeviceVerdict::trouble);
}

TEST_CASE("M044: trouble with the network is worth another poll, other local errors are not",
          "[device]") {
  for (const auto code : {ErrorCode::unreachable, ErrorCode::timeout, ErrorCode::connection_lost,
                          ErrorCode::tls_failed}) {
    CHECK(judged(code).verdict == DeviceVerdict::trouble);
    CHECK(judged(code).error->code == code);
  }
  for (const auto code :
       {ErrorCode::cancelled, ErrorCode::insecure_address, ErrorCode::invalid_argument,
        ErrorCode::response_too_large, ErrorCode::dpop_refused, ErrorCode::key_missing}) {
    CHECK(judged(code).verdict == DeviceVerdict::failed);
  }
}

TEST_CASE("a poll that is granted has the tokens", "[device]") {
  const auto judgement = judged(200, R"({"access_token":"at","token_type":"Bearer"})");
  CHECK(judgement.verdict == DeviceVerdict::granted);
  CHECK_FALSE(judgement.error);
  CHECK(judgement.answer->access_token.expose() == "at");
}

TEST_CASE("a 200 that is no token answer is final: the code is spent", "[device]") {
  for (const std::string_view body :
       {"", "not json", "{}", R"({"access_token":"at"})",
        R"({"access_token":"at","token_type":"Bearer","expires_in":0})",
        R"({"access_token":"at","access_token":"at","token_type":"Bearer"})"}) {
    CAPTURE(body);
    const auto judgement = judged(200, body);
    CHECK(judgement.verdict == DeviceVerdict::refused);
    CHECK(judgement.error->code == ErrorCode::invalid_response);
  }
}

TEST_CASE("the two ends that people meet are told in words for them", "[device]") {
  CHECK(judged(400, error_body("expired_token")).error->message ==
        "device login failed: the code was not confirmed in time; log in again");
  CHECK(judged(400, error_body("access_denied")).error->message ==
        "device login refused: the user or the server said no");
}

TEST_CASE("a poll waits one interval, doubled for each trouble in a row up to a minute",
          "[device]") {
  const auto delay = [](auto interval, unsigned troubles,
                        std::optional<std::chrono::seconds> asked = std::nullopt) {
    return std::chrono::duration_cast<std::chrono::seconds>(
        device_poll_delay(interval, troubles, asked));
  };
  CHECK(delay(5s, 0) == 5s);
  CHECK(delay(5s, 1) == 10s);
  CHECK(delay(5s, 2) == 20s);
  CHECK(delay(5s, 3) == 40s);
  CHECK(delay(5s, 4) == 60s);
  CHECK(delay(5s, 4'000'000'000u) == 60s);
  CHECK(delay(90s, 0) == 90s);
  CHECK(delay(90s, 3) == 90s);  // never sooner than the server allows
  CHECK(delay(5s, 0, 3s) == 5s);
  CHECK(delay(5s, 0, 17s) == 17s);
  CHECK(delay(5s, 1, 120s) == 120s);
}
