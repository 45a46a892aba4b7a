// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/generators/catch_generators_range.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

import latchkey.core.error;
import latchkey.core.json;
import latchkey.core.secret;
import latchkey.test.outcome;

using latchkey::ErrorCode;
using latchkey::JsonKind;
using latchkey::JsonObject;
using latchkey::test::detail_of;
using std::literals::operator""sv;

namespace {

latchkey::Result<JsonObject> read(std::string_view text) {
  return JsonObject::parse(text, ErrorCode::invalid_response, "thing");
}

std::string nested(int depth) {
  std::string text = R"({"a":)";
  for (int i = 1; i < depth; ++i) text += '[';
  for (int i = 1; i < depth; ++i) text += ']';
  return text + '}';
}

}  // namespace

TEST_CASE("json: an object is read by name and type", "[json]") {
  const auto object =
      read(R"( {"s":"x\u00e9","b":false,"i":-7,"n":1.5,"l":["a","b"],"o":{"k":1},"e":{}} )")
          .value();
  CHECK(object.string("s").value() == "x\xC3\xA9");
  CHECK(object.boolean("b").value() == false);
  CHECK(object.integer("i").value() == -7);
  CHECK(object.number("i").value() == -7.0);
  CHECK(object.number("n").value() == 1.5);
  CHECK(object.strings("l").value() == std::vector<std::string>{"a", "b"});
  CHECK(object.object("o").value()->integer("k").value() == 1);
  CHECK(object.object("e").value()->names().empty());
  CHECK(object.names() == std::vector<std::string>{"s", "b", "i", "n", "l", "o", "e"});
  CHECK(object.kind("l") == JsonKind::array);
}

TEST_CASE("json: an absent member is nothing, and not an error", "[json]") {
  auto object = read("{}").value();
  CHECK_FALSE(object.contains("s"));
  CHECK_FALSE(object.kind("s"));
  CHECK_FALSE(object.string("s").value());
  CHECK_FALSE(object.boolean("s").value());
  CHECK_FALSE(object.integer("s").value());
  CHECK_FALSE(object.number("s").value());
  CHECK_FALSE(object.strings("s").value());
  CHECK_FALSE(object.object("s").value());
  CHECK_FALSE(object.objects("s").value());
  CHECK_FALSE(object.take_secret("s").value());
  CHECK_FALSE(object.json_text("s"));
}

TEST_CASE("json: what is not exactly one well-formed object is refused", "[json]") {
  const auto text = GENERATE(
      as<std::string_view>{}, "", " ", "null", "[]", "\"x\"", "1", "{", "}", "{\"a\":1",
      "{\"a\":1,}", "{\"a\" 1}", "{a:1}", "{'a':1}", "{\"a\":1} x", "{\"a\":1}{}", "{\"a\":01}",
      "{\"a\":+1}", "{\"a\":NaN}", "{\"a\":1e999}", "{\"a\":\"\t\"}", "{\"a\":\"\\x\"}", "// c\n{}",
      "{/* c */}", "\xEF\xBB\xBF{}", "{}\0"sv, "{}\0junk"sv, "{\"a\":\"\0\"}"sv, "<html></html>",
      "{\"a\":\"\xFF\"}", "{\"a\":\"\xC0\xAF\"}", "{\"a\":\"\xED\xA0\x80\"}", "{\"\xFF\":1}",
      "{\"a\":\"\\ud800\"}", "{\"a\":\"\\udc00x\"}");
  CAPTURE(text);
  const auto object = read(text);
  REQUIRE_FALSE(object);
  CHECK(object.error().code == ErrorCode::invalid_response);
  CHECK(object.error().detail == "thing.not_json");
}

TEST_CASE("json: a depth of 32 is read, 33 and a hundred thousand are refused", "[json]") {
  CHECK(read(nested(32)));
  CHECK(detail_of(read(nested(33))) == "thing.not_json");
  CHECK(detail_of(read(nested(100'000))) == "thing.not_json");
}

TEST_CASE("json: a member named twice is refused wherever it is", "[json]") {
  const auto text = GENERATE(as<std::string_view>{}, R"({"a":1,"a":1})",
                             R"({"a":1,"b":2,"a":null})", R"({"o":{"a":1,"a":2}})",
                             R"({"l":[{"a":1},{"a":1,"a":2}]})", R"({"a":1,"\u0061":2})");
  CAPTURE(text);
  const auto object = read(text);
  REQUIRE_FALSE(object);
  CHECK(object.error().detail == "thing.duplicate_member");
  CHECK(object.error().message.find("\"a\"") != std::string::npos);
}

TEST_CASE("json: the same name in two objects is no duplicate", "[json]") {
  CHECK(read(R"({"a":{"a":1},"b":{"a":1},"l":[{"a":1},{"a":1}],"A":1})"));
}

TEST_CASE("json: a getter refuses every other type, null included, and names the member",
          "[json]") {
  const auto object = read(R"({"string":"s","boolean":true,"number":1,"real":1.5,"array":[1],
    "strings":["x"],"object":{},"objects":[{}],"null":null,"mixed":["x",1],"mixed objects":[{},1]})")
                          .value();
  const auto name = GENERATE(as<std::string>{}, "string", "boolean", "number", "real", "array",
                             "strings", "object", "objects", "null", "mixed", "mixed objects");
  CAPTURE(name);
  const auto refused = [&](const auto& result) {
    REQUIRE_FALSE(result);
    const auto& error = result.error();
    CHECK(error.code == ErrorCode::invalid_response);
    CHECK(error.detail == "thing.wrong_type");
    CHECK(error.message.find('"' + name + '"') != std::string::npos);
  };
  if (name != "string") refused(object.string(name));
  if (name != "string") refused(object.required_string(name));
  if (name != "boolean") refused(object.boolean(name));
  if (name != "number") refused(object.integer(name));
  if (name != "number" && name != "real") refused(object.number(name));
  if (name != "strings") refused(object.strings(name));
  if (name != "object") refused(object.object(name));
  if (name != "objects") refused(object.objects(name));
  auto copy = object;
  if (name != "string") refused(copy.take_secret(name));
}

TEST_CASE("json: integers that do not fit 64 bits are not integers", "[json]") {
  const auto object = read(R"({"max":9223372036854775807,"min":-9223372036854775808,
    "over":9223372036854775808,"huge":99999999999999999999999,"real":3.0})")
                          .value();
  CHECK(object.integer("max").value() == INT64_MAX);
  CHECK(object.integer("min").value() == INT64_MIN);
  CHECK_FALSE(object.integer("over"));
  CHECK_FALSE(object.integer("huge"));
  CHECK_FALSE(object.integer("real"));
  CHECK(object.number("huge").value().value() > 9e22);
}

TEST_CASE("json: a required string must be there and not be empty", "[json]") {
  const auto object = read(R"({"full":"x","empty":""})").value();
  CHECK(object.required_string("full").value() == "x");
  CHECK(detail_of(object.required_string("empty")) == "thing.missing_member");
  CHECK(detail_of(object.required_string("absent")) == "thing.missing_member");
}

TEST_CASE("json: taking a secret leaves nothing behind", "[json]") {
  auto object = read(R"({"token":"very-secret"})").value();
  const auto other = object;
  CHECK(object.take_secret("token").value()->expose() == "very-secret"sv);
  CHECK(object.string("token").value() == "");
  CHECK(other.string("token").value() == "");
}

TEST_CASE("json: errors never show a value", "[json]") {
  const auto object = read(R"({"token":"very-secret"})").value();
  const auto message = [](const auto& result) {
    REQUIRE_FALSE(result);
    return result.error().message;
  };
  CHECK(message(object.integer("token")).find("very-secret") == std::string::npos);
  CHECK(message(read(R"({"token":"very-secret" x)")).find("very-secret") == std::string::npos);
  CHECK(message(read("{\"e\\u001b[31m\":1,\"e\\u001b[31m\":2}")).find('\x1b') == std::string::npos);
}

TEST_CASE("json: a child outlives the object it came from", "[json]") {
  std::optional<std::vector<JsonObject>> services;
  {
    const auto object = read(R"({"service":[{"id":"one"},{"id":"two"}]})").value();
    services = object.objects("service").value();
  }
  REQUIRE(services);
  CHECK(services->at(1).string("id").value() == "two");
  CHECK(services->at(1).string("id").value() == "two");
  CHECK(detail_of(services->at(0).boolean("id")) == "thing.wrong_type");
}

TEST_CASE("json: any member can be had as text again, members in their order", "[json]") {
  const auto object = read(
      R"({"v" : {"z": [1, -2, 2.5, true, null, "q\"\u0007\u00e9"], "a": {}, "big": 18446744073709551615}})");
  CHECK(object.value().json_text("v") ==
        "{\"z\":[1,-2,2.5,true,null,\"q\\\"\\u0007\xC3\xA9\"],\"a\":{},\"big\":"
        "18446744073709551615}");
}

TEST_CASE("json: ten thousand members are read in no time", "[json]") {
  std::string text = "{";
  for (int i = 0; i < 10'000; ++i) text += "\"m" + std::to_string(i) + "\":0,";
  CHECK(read(text + "\"last\":1}").value().integer("last").value() == 1);
  CHECK(detail_of(read(text + "\"m7\":1}")) == "thing.duplicate_member");
}
