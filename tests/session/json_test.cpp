// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

import latchkey.core;
import latchkey.core.json;
import latchkey.session;
import latchkey.session.json;
import latchkey.test.sample;
import latchkey.test.support;

using namespace latchkey;
using namespace std::string_literals;
using test::outcome;

namespace {

std::string replaced(std::string text, std::string_view from, std::string_view to) {
  const auto at = text.find(from);
  REQUIRE(at != std::string::npos);
  REQUIRE(text.find(from, at + 1) == std::string::npos);
  return text.replace(at, from.size(), to);
}

std::string sample_json() {
  return summary_to_json(test::sample_summary());
}

std::string summary_outcome(std::string_view from, std::string_view to) {
  return outcome(summary_from_json(replaced(sample_json(), from, to)));
}

std::string session_text() {
  return std::string(session_to_json(test::sample_session()).value().expose());
}

std::string session_outcome(std::string_view from, std::string_view to) {
  return outcome(session_from_json(SecretString(replaced(session_text(), from, to))));
}

}  // namespace

TEST_CASE("summary_to_json: every member survives the way there and back", "[session][json]") {
  CHECK(summary_from_json(sample_json()).value() == test::sample_summary());
  CHECK(summary_from_json(summary_to_json(SessionSummary{})).value() == SessionSummary{});
  for (const auto& change : test::member_changes()) {
    INFO(change.member);
    auto summary = test::sample_summary();
    change.apply(summary);
    CHECK(summary_to_json(summary) != sample_json());
    CHECK(summary_from_json(summary_to_json(summary)).value() == summary);
  }
}

TEST_CASE("summary_to_json: text with quotes, control characters and other scripts survives",
          "[session][json]") {
  auto summary = test::sample_summary();
  summary.handle = "\"\\/\b\n\x01\x1f\x7f\0 \xC3\xA9 \xF0\x9F\x94\x91"s;
  CHECK(summary_from_json(summary_to_json(summary)).value() == summary);
}

TEST_CASE("summary_to_json: text that is not UTF-8 never gives text that is not JSON",
          "[session][json]") {
  auto summary = test::sample_summary();
  summary.handle = "a\xFF\xC0\x80z";
  CHECK(summary_from_json(summary_to_json(summary)).value().handle == "a???z");
}

TEST_CASE("summary_from_json: a malformed time counts as expired and is not an error",
          "[session][json]") {
  for (const std::string_view text :
       {"\"\"", "\"yesterday\"", "\"malformed\"", "\"2026-13-01T00:00:00Z\"", "\"2026-11-20\"",
        "\"2026-11-20T12:00:00\""}) {
    INFO(text);
    const auto summary =
        summary_from_json(replaced(sample_json(), "\"expires_at\":\"2026-11-20T13:00:00Z\"",
                                   "\"expires_at\":" + std::string(text)));
    REQUIRE(summary);
    CHECK(summary->expires_at == kMalformedTime);
    CHECK(summary->is_expired(TimePoint{}));
  }
}

TEST_CASE("summary_from_json: a time with an offset is the instant it names", "[session][json]") {
  const auto summary = summary_from_json(
      replaced(sample_json(), "\"2026-11-20T13:00:00Z\"", "\"2026-11-20T15:00:00+02:00\""));
  CHECK(summary.value() == test::sample_summary());
}

TEST_CASE("summary_from_json: members may come in any order", "[session][json]") {
  const auto text = replaced(replaced(sample_json(), "\"handle\":\"alice.example\",", ""), "{",
                             "{\"handle\":\"alice.example\",");
  CHECK(summary_from_json(text).value() == test::sample_summary());
}

TEST_CASE("summary_from_json: each missing member is refused", "[session][json]") {
  const auto json = JsonObject::parse(sample_json(), ErrorCode::corrupt, "test").value();
  REQUIRE(json.names().size() == 23);
  for (const auto& missing : json.names()) {
    INFO(missing);
    std::string text;
    for (const auto& name : json.names()) {
      if (name == missing) continue;
      text += (text.empty() ? "{\"" : ",\"") + name + "\":" + json.json_text(name).value();
    }
    CHECK(outcome(summary_from_json(text + "}")) == "corrupt record.missing_member");
  }
}

TEST_CASE("summary_from_json: what two readers could take differently is refused",
          "[session][json]") {
  CHECK(summary_outcome("{", "{\"issuer\":\"https://evil.example\",") ==
        "corrupt record.duplicate_member");
  CHECK(summary_outcome("{", "{\"extra\":null,") == "corrupt record.unknown_member");
  CHECK(summary_outcome("\"handle\"", "\"Handle\"") == "corrupt record.unknown_member");
  CHECK(summary_outcome("{", "{\"access_token\":\"t\",") == "corrupt record.unknown_member");
}

TEST_CASE("summary_from_json: wrong types are refused", "[session][json]") {
  const std::string wrong = "corrupt record.wrong_type";
  CHECK(summary_outcome("\"alice.example\"", "null") == wrong);
  CHECK(summary_outcome("\"alice.example\"", "7") == wrong);
  CHECK(summary_outcome("\"alice.example\"", "[\"alice.example\"]") == wrong);
  CHECK(summary_outcome("\"alice.example\"", "{\"a\":\"b\"}") == wrong);
  CHECK(summary_outcome("\"2026-11-20T13:00:00Z\"", "1795179600") == wrong);
  CHECK(summary_outcome("\"2026-11-20T13:00:00Z\"", "false") == wrong);
  CHECK(summary_outcome("\"2026-11-20T12:00:00Z\"", "null") == wrong);  // issued_at must be there
  CHECK(summary_outcome("\"0123456789abcdef\"", "81985529216486895") == wrong);
}

TEST_CASE("summary_from_json: numbers and names must be written as we write them",
          "[session][json]") {
  const std::string bad = "corrupt record.bad_value";
  CHECK(summary_outcome("\"0123456789abcdef\"", "\"123456789abcdef\"") == bad);
  CHECK(summary_outcome("\"0123456789abcdef\"", "\"0123456789ABCDEF\"") == bad);
  CHECK(summary_outcome("\"0123456789abcdef\"", "\"00123456789abcdef\"") == bad);
  CHECK(summary_outcome("\"0123456789abcdef\"", "\"0123456789abcdeg\"") == bad);
  CHECK(summary_outcome("\"0123456789abcdef\"", "\"0x23456789abcdef\"") == bad);
  CHECK(summary_outcome("\"fedcba9876543210\"", "\"\"") == bad);
  CHECK(summary_outcome("\"fedcba9876543210\"", "\"-edcba9876543210\"") == bad);
  CHECK(summary_outcome("\"dead\"", "\"asleep\"") == bad);
  CHECK(summary_outcome("\"private_key_jwt\"", "\"tls\"") == bad);
}

TEST_CASE("summary_from_json: what is not one JSON object is refused", "[session][json]") {
  const auto text = sample_json();
  for (const std::string& bad :
       {std::string(), std::string("null"), std::string("[]"), "[" + text + "]", text + text,
        text + "x", "\xEF\xBB\xBF" + text}) {
    INFO(bad);
    CHECK(outcome(summary_from_json(bad)) == "corrupt record.not_json");
  }
  for (std::size_t size = 0; size < text.size(); ++size) {
    CHECK(outcome(summary_from_json(text.substr(0, size))) == "corrupt record.not_json");
  }
}

TEST_CASE("session_to_json: the whole session survives the way there and back", "[session][json]") {
  const auto session = session_from_json(session_to_json(test::sample_session()).value());
  REQUIRE(session);
  CHECK(static_cast<const SessionSummary&>(*session) == test::sample_summary());
  CHECK(session->access_token.expose() == "access-token");
  CHECK(session->refresh_token.value().expose() == "refresh-token");
  CHECK(session->id_token.value().expose() == "id-token");
}

TEST_CASE("session_to_json: an absent token stays absent and an empty one empty",
          "[session][json]") {
  auto session = test::sample_session();
  session.refresh_token = std::nullopt;
  session.id_token = SecretString("");
  const auto back = session_from_json(session_to_json(session).value());
  REQUIRE(back);
  CHECK_FALSE(back->refresh_token.has_value());
  REQUIRE(back->id_token.has_value());
  CHECK(back->id_token->empty());
}

TEST_CASE("session_to_json: text that is not UTF-8 is refused, in tokens too", "[session][json]") {
  auto session = test::sample_session();
  session.access_token = SecretString("\xFF");
  CHECK(outcome(session_to_json(session)) == "invalid_argument session_json.text");
  session = test::sample_session();
  session.handle = "\xED\xA0\x80";
  CHECK(outcome(session_to_json(session)) == "invalid_argument session_json.text");
}

TEST_CASE("session_from_json: is as strict as the summary", "[session][json]") {
  CHECK(session_outcome("{", "{\"id_token\":null,") == "corrupt session_json.duplicate_member");
  CHECK(session_outcome("{", "{\"extra\":null,") == "corrupt session_json.unknown_member");
  CHECK(session_outcome("\"access-token\"", "null") == "corrupt session_json.wrong_type");
  CHECK(session_outcome("\"refresh-token\"", "1") == "corrupt session_json.wrong_type");
  CHECK(session_outcome(",\"id_token\":\"id-token\"", "") == "corrupt session_json.missing_member");
  CHECK(session_outcome("\"dead\"", "\"\"") == "corrupt session_json.bad_value");
  CHECK(outcome(session_from_json(SecretString("{"))) == "corrupt session_json.not_json");
}

TEST_CASE("session_from_json: a newer format is said to be newer, another one is corrupt",
          "[session][json]") {
  CHECK(session_outcome("latchkey.session.v1", "latchkey.session.v2") ==
        "schema_too_new session_json.version");
  CHECK(session_outcome("\"latchkey.session.v1\"", "\"latchkey.session.v2\",\"more\":[1]") ==
        "schema_too_new session_json.version");
  CHECK(session_outcome("latchkey.session.v1", "other.v1") == "corrupt session_json.bad_value");
  CHECK(session_outcome("\"format\":\"latchkey.session.v1\",", "") ==
        "corrupt session_json.missing_member");
}

TEST_CASE("session_from_json: no error shows a token", "[session][json]") {
  const auto session =
      session_from_json(SecretString(replaced(session_text(), "\"id-token\"", "{\"id-token\":1}")));
  REQUIRE_FALSE(session);
  CHECK(session.error().message.find("-token\"") == std::string::npos);
  CHECK(session.error().message.find("access-token") == std::string::npos);
}
