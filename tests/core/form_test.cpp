// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <optional>
#include <string>
#include <string_view>

import latchkey.core;
import latchkey.test.support;

using namespace latchkey;
using namespace latchkey::test;
using namespace std::string_view_literals;

TEST_CASE("form: writes spaces as plus and everything else in percent", "[encoding]") {
  CHECK(form_encode({}).empty());
  CHECK(form_encode({{"a", "1"}}) == "a=1");
  CHECK(form_encode({{"scope", "atproto transition:generic"}, {"x&y", "a=b+c"}}) ==
        "scope=atproto+transition%3Ageneric&x%26y=a%3Db%2Bc");
  CHECK(form_encode({{"empty", ""}, {"a", "1"}, {"a", "2"}}) == "empty=&a=1&a=2");
}

TEST_CASE("form: reads pairs in order and keeps duplicates", "[encoding]") {
  const auto fields = form_decode("code=a%2Fb&state=x+y&state=z&empty=&bare");
  REQUIRE(fields.has_value());
  CHECK(*fields ==
        FormFields{{"code", "a/b"}, {"state", "x y"}, {"state", "z"}, {"empty", ""}, {"bare", ""}});
  CHECK(form_decode("")->empty());
  CHECK(form_decode("a=b=c").value() == FormFields{{"a", "b=c"}});
}

TEST_CASE("form: what is written reads back as itself", "[encoding]") {
  const FormFields fields{
      {"k", "v"}, {"a b", "c&d=e"}, {"plus", "1+1"}, {"percent", "100%"}, {"u", "\xc3\xa9"}};
  CHECK(form_decode(form_encode(fields)).value() == fields);
}

TEST_CASE("form: refuses bad percent sequences and control characters", "[encoding]") {
  for (const std::string_view text : {"a=%"sv, "a=%4"sv, "%zz=1"sv, "a=%0a"sv, "a=%00"sv, "%0d=1"sv,
                                      "a=b\nc"sv, "a=\0"sv, "a=%7f"sv, "a=%1B"sv}) {
    INFO(text);
    CHECK(outcome(form_decode(text)) == "invalid_argument form.malformed");
  }
}

TEST_CASE("form: takes sixty-four fields and not one more", "[encoding]") {
  std::string text;
  for (int i = 0; i < 64; ++i) text += "&a=1";
  CHECK(form_decode(text.substr(1))->size() == 64);
  CHECK(outcome(form_decode(text.substr(1) + "&a=1")) == "invalid_argument form.malformed");
}

TEST_CASE("form value: finds one, none, or refuses two", "[encoding]") {
  const FormFields fields{{"state", "s"}, {"code", "c"}, {"iss", "1"}, {"iss", "1"}};
  const auto state = form_value(fields, "state");
  REQUIRE(state.has_value());
  REQUIRE(*state != nullptr);
  CHECK(**state == "s");
  CHECK(*form_value(fields, "error") == nullptr);
  CHECK(*form_value(fields, "STATE") == nullptr);
  CHECK(outcome(form_value(fields, "iss")) == "invalid_argument form.duplicate");
}

TEST_CASE("secret form: is the same text as the plain form", "[encoding]") {
  const FormFields fields{
      {"grant_type", "refresh_token"}, {"refresh_token", "a/b+c d"}, {"client id", ""}};
  SecretForm form;
  for (const auto& [name, value] : fields) form.add(name, value);
  CHECK(std::move(form).finish().expose() == form_encode(fields));
  CHECK(SecretForm().finish().empty());
}
