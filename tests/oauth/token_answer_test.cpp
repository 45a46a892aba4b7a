// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

import latchkey.core;
import latchkey.core.json;
import latchkey.http;
import latchkey.oauth.token;
import latchkey.test.oauth;
import latchkey.test.outcome;

// What an answer says beyond OAuth, and answers of an unusual shape.

using namespace latchkey;
using namespace latchkey::test;

namespace {

constexpr std::string_view kFlat =
    R"({"access_token":"flat-token","token_type":"Bearer","team":{"id":"T1","n":[1,null]},)"
    R"("ok":true,"note":"a \"word\"","expires_in":60})";
constexpr std::string_view kNested =
    R"({"ok":true,"team":{"id":"T1"},"authed_user":{"id":"U1","access_token":"xoxp-nested",)"
    R"("token_type":"user","scope":"chat:write","expires_in":43200,"refresh_token":"xoxe-1"}})";

// As a program for Slack has it: the user's token, which is used as a Bearer token.
Result<TokenAnswer> slack(JsonObject& answer) {
  auto user = answer.object("authed_user");
  if (!user) return std::move(user).error();
  if (!*user) return answer.missing("authed_user");
  auto read = read_token_answer(**user, "token");
  if (read) read->token_type = "Bearer";
  return read;
}

Result<TokenAnswer> answered(std::string_view body, const TokenAnswerMapper& map = {}) {
  return process_token_response("token", typed_answer(200, body), TimePoint{}, map);
}

}  // namespace

TEST_CASE("token answer: members that OAuth does not know are kept as their JSON text", "[token]") {
  const auto answer = answered(kFlat).value();
  std::map<std::string, std::string> others;
  for (const auto& [name, text] : answer.others) others[name] = text.expose();
  CHECK(others == std::map<std::string, std::string>{{"team", R"({"id":"T1","n":[1,null]})"},
                                                     {"ok", "true"},
                                                     {"note", R"("a \"word\"")"}});
}

TEST_CASE("token answer: what OAuth knows is not among the others", "[token]") {
  const auto answer = answered(R"({"access_token":"a","token_type":"Bearer","refresh_token":"r",)"
                               R"("id_token":"i","scope":"s","sub":"u","expires_in":1})")
                          .value();
  CHECK(answer.others.empty());
}

TEST_CASE("LA-09: a mapping reads a nested answer, and the default refuses it", "[token]") {
  const auto answer = answered(kNested, slack).value();
  CHECK(answer.access_token.expose() == std::string_view("xoxp-nested"));
  CHECK(answer.refresh_token->expose() == std::string_view("xoxe-1"));
  CHECK(answer.token_type == "Bearer");
  CHECK(answer.scope == "chat:write");
  CHECK(answer.expires_in == std::chrono::hours(12));
  CHECK(outcome(answered(kNested)) == "invalid_response token.missing_member");
}

TEST_CASE("LA-09: a mapping that refuses an answer is an error of its own, without the answer",
          "[token]") {
  const auto refused = answered(kFlat, slack);
  CHECK(outcome(refused) == "invalid_response token.not_mapped");
  CHECK(refused.error().message.find("token.missing_member") != std::string::npos);
  const auto chatty = answered(kFlat, [](JsonObject& object) -> Result<TokenAnswer> {
    return make_error(ErrorCode::invalid_argument, "mine",
                      "saw " + std::string(object.take_secret("access_token").value()->expose()));
  });
  CHECK(outcome(chatty) == "invalid_response token.not_mapped");
  CHECK(chatty.error().message.find("flat-token") == std::string::npos);
}

TEST_CASE("LA-09: what a mapping makes is checked like any other answer", "[token]") {
  const auto mapped = [](auto change) {
    return outcome(answered(kFlat, [&](JsonObject& object) {
      auto answer = read_token_answer(object, "token");
      change(*answer);
      return answer;
    }));
  };
  const std::string bad = "invalid_response token.bad_token";
  CHECK(mapped([](TokenAnswer&) {}) == "ok");
  CHECK(mapped([](TokenAnswer& a) { a.access_token = SecretString(""); }) == bad);
  CHECK(mapped([](TokenAnswer& a) { a.access_token = SecretString("a b"); }) == bad);
  CHECK(mapped([](TokenAnswer& a) { a.refresh_token = SecretString("r\r\n"); }) == bad);
  CHECK(mapped([](TokenAnswer& a) { a.id_token = SecretString(""); }) == bad);
  CHECK(mapped([](TokenAnswer& a) { a.token_type = ""; }) == bad);
  CHECK(mapped([](TokenAnswer& a) { a.expires_in = std::chrono::seconds(0); }) == bad);
  CHECK(mapped([](TokenAnswer& a) { a.expires_in = std::chrono::hours(24 * 367); }) == bad);
}

TEST_CASE("LA-09: a server's error goes past the mapping", "[token]") {
  bool asked = false;
  const TokenAnswerMapper map = [&](JsonObject& object) {
    asked = true;
    return read_token_answer(object, "token");
  };
  const auto refused = process_token_response(
      "token", typed_answer(400, R"({"error":"invalid_grant"})"), TimePoint{}, map);
  CHECK(outcome(refused) == "invalid_grant token.invalid_grant");
  CHECK(outcome(answered(R"({"ok":false,"error":"invalid_code"})", map)) ==
        "provider_error token.invalid_code");
  CHECK_FALSE(asked);
}

TEST_CASE("LA-36: an answer without token_type is refused unless a mapping supplies it",
          "[token]") {
  constexpr std::string_view body = R"({"access_token":"a"})";
  CHECK(outcome(answered(body)) == "invalid_response token.missing_member");
  const auto bearer = [](JsonObject& object) {
    return read_token_answer(object, "token", "Bearer");
  };
  CHECK(answered(body, bearer).value().token_type == "Bearer");
  CHECK(answered(R"({"access_token":"a","token_type":"DPoP"})", bearer).value().token_type ==
        "DPoP");
  CHECK(outcome(answered(R"({"access_token":"a","token_type":7})", bearer)) ==
        "invalid_response token.not_mapped");
}

TEST_CASE("token_type: the words of the RFCs are spelt as there, others are left alone",
          "[token]") {
  CHECK(canonical_token_type("bEARER") == "Bearer");
  CHECK(canonical_token_type("dpop") == "DPoP");
  CHECK(canonical_token_type("mac") == "mac");
  CHECK(canonical_token_type("").empty());
}
