// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.time;
import latchkey.session;
import latchkey.store;
import latchkey.store.record;
import latchkey.store.record_file;
import latchkey.test.outcome;
import latchkey.test.rules;

using namespace latchkey;
using namespace latchkey::test;

namespace {

std::string replaced(std::string text, std::string_view from, std::string_view to) {
  const auto at = text.find(from);
  REQUIRE(at != std::string::npos);
  return text.replace(at, from.size(), to);
}

const std::string kText = encode_record_file(record_of(kAlice, 1));

}  // namespace

TEST_CASE("record file: comes back as it was written", "[store]") {
  const auto record = record_of(kAlice, 1);
  CHECK(decode_record_file(encode_record_file(record)).value() == record);
  auto empty_box = record;
  empty_box.box.clear();
  CHECK(decode_record_file(encode_record_file(empty_box)).value() == empty_box);
}

TEST_CASE("record file: a summary that looks like the end of a record is not one", "[store]") {
  auto record = record_of(kAlice, 1);
  record.summary.handle = "\",\"box\":\"AAAA\"}\n";
  CHECK(decode_record_file(encode_record_file(record)).value() == record);
}

TEST_CASE("record file: every shorter beginning is refused", "[store]") {
  for (std::size_t size = 0; size < kText.size(); ++size) {
    const auto result = decode_record_file(std::string_view(kText).substr(0, size));
    REQUIRE(!result);
    CHECK(result.error().code == ErrorCode::corrupt);
  }
}

TEST_CASE("record file: each kind of damage has a name", "[store]") {
  const auto damage = [](const std::string& text) { return outcome(decode_record_file(text)); };
  CHECK(damage("") == "corrupt record.empty");
  CHECK(damage("not a record") == "corrupt record.malformed");
  CHECK(damage("{}") == "corrupt record.malformed");
  CHECK(damage(kText.substr(0, kText.size() - 1)) == "corrupt record.truncated");
  CHECK(damage(kText + ' ') == "corrupt record.truncated");
  CHECK(damage(replaced(kText, "\"format\":1", "\"format\":2")) == "schema_too_new record.format");
  CHECK(damage(replaced(kText, "\"format\":1", "\"format\":10}")) ==
        "schema_too_new record.format");
  CHECK(damage(replaced(kText, "\"format\":1", "\"format\":0")) == "corrupt record.malformed");
  CHECK(damage(replaced(kText, "\"format\":1", "\"format\":\"1\"")) == "corrupt record.malformed");
  CHECK(damage(replaced(kText, ",\"summary\":", ",\"Summary\":")) == "corrupt record.malformed");
  CHECK(damage(replaced(kText, "\"issuer\"", "\"Issuer\"")) == "corrupt record.unknown_member");
  CHECK(damage(replaced(kText, "\"par_endpoint\":\"\",", "")) == "corrupt record.missing_member");
  CHECK(damage(replaced(kText, ",\"box\":\"", ",\"box\":\"=")) == "corrupt record.malformed");
  CHECK(damage(replaced(kText, "\"kid-1\"", "7")) == "corrupt record.wrong_type");
}

TEST_CASE("record file: a box over the limit is refused", "[store]") {
  auto record = record_of(kAlice, 1);
  record.box.resize(kMaxBoxSize + 1);
  CHECK(outcome(decode_record_file(encode_record_file(record))) == "corrupt record.too_large");
}

TEST_CASE("record file: the largest record that can be saved can be read", "[store]") {
  auto record = record_of(kAlice, 1);
  record.box.resize(kMaxBoxSize);
  record.summary.scope = std::string(60'000, '\x01');  // six characters each as JSON
  const auto text = encode_record_file(record);
  CHECK(text.size() <= kMaxRecordFile);
  CHECK(decode_record_file(text).value() == record);
}

TEST_CASE("claim file: is read strictly", "[store]") {
  const RefreshClaim claim{.subject = "a",
                           .revision = {1},
                           .id = 2,
                           .at = TimePoint(Duration(3)),
                           .pid = 4,
                           .host = "h"};
  const auto text = encode_claim_file(claim);
  CHECK(decode_claim_file(text).value() == claim);
  const auto damage = [](const std::string& bad) { return outcome(decode_claim_file(bad)); };
  for (const auto& bad :
       {std::string(), std::string("[]"), text + ' ', text.substr(1), "{" + text,
        replaced(text, "\"pid\":4", "\"pid\":\"4\""), replaced(text, "\"pid\":4", "\"pid\":4.5"),
        replaced(text, "\"pid\":4", "\"pid\":99999999999"),
        replaced(text, ",\"pid\":4", ",\"pid\":4,\"pid\":4"),
        replaced(text, "\"host\":\"h\"", "\"host\":\"h\",\"more\":1"),
        replaced(text, "\"revision\":\"0", "\"revision\":\""),
        replaced(text, "1970-01-01T", "1970-01-01 ")}) {
    INFO(bad);
    CHECK(damage(bad) == "corrupt claim.malformed");
  }
  CHECK(damage(replaced(text, "\"format\":1", "\"format\":2")) == "schema_too_new claim.format");
}

TEST_CASE("pending file: is read strictly", "[store]") {
  const PendingRecord pending{.key = "key", .expires_at = TimePoint(Duration(3)), .box = {1, 2}};
  const auto text = encode_pending_file(pending);
  CHECK(decode_pending_file(text).value().box == pending.box);
  for (const auto& bad :
       {std::string(), std::string("null"), text + ' ', replaced(text, "\"box\":\"", "\"box\":\"="),
        replaced(text, "{", "{\"x\":1,")}) {
    CHECK(outcome(decode_pending_file(bad)) == "corrupt pending.malformed");
  }
  CHECK(outcome(decode_pending_file(replaced(text, "\"format\":1", "\"format\":7"))) ==
        "schema_too_new pending.format");
}

TEST_CASE("marker file: another or a newer one is refused", "[store]") {
  CHECK(check_marker_file("{\"format\":1}\n"));
  CHECK(outcome(check_marker_file("")) == "corrupt store.marker");
  CHECK(outcome(check_marker_file("{\"format\":1}")) == "corrupt store.marker");
  CHECK(outcome(check_marker_file("{\"format\":0}\n")) == "corrupt store.marker");
  CHECK(outcome(check_marker_file("{\"format\":2}\n")) == "schema_too_new store.format");
  CHECK(outcome(check_marker_file("{\"format\":2,\"more\":true}\n")) ==
        "schema_too_new store.format");
}
