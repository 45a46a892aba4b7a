// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <string>
#include <string_view>

import latchkey.core;
import latchkey.sandbox.cid;
import latchkey.test.outcome;

using namespace latchkey;
using namespace latchkey::test;
using latchkey::sandbox::record_cid;

// The CIDs were computed by another program, with an encoder of its own.
TEST_CASE("record_cid: the CID of the record in DAG-CBOR", "[sandbox]") {
  CHECK(record_cid("{}").value() == "bafyreigbtj4x7ip5legnfznufuopl4sg4knzc2cof6duas4b3q2fy6swua");
  CHECK(record_cid(R"({"$type":"app.bsky.feed.post","text":"hi",)"
                   R"("createdAt":"2026-01-01T00:00:00Z"})")
            .value() == "bafyreiarsf4bwzvv56k5hfkphewmtdhhqunlv7ul6xughvsipk3jfmoezu");
  CHECK(record_cid(R"({"b":1,"aa":[true,null,-5,70000,"ü"],"a":{"ref":{"$link":)"
                   R"("bafyreigbtj4x7ip5legnfznufuopl4sg4knzc2cof6duas4b3q2fy6swua"},)"
                   R"("data":{"$bytes":"AQID/w"}},"big":5000000000})")
            .value() == "bafyreibmjewrb47qgrn66fviuffucgbx77tdwc7wqjyxle6i2pc6sspqte");
}

TEST_CASE("record_cid: the order of the members does not count", "[sandbox]") {
  CHECK(record_cid(R"({"a":1,"bb":{"x":1,"y":2}})").value() ==
        record_cid(R"({"bb":{"y":2,"x":1},"a":1})").value());
  CHECK(record_cid(R"({"a":1})").value() != record_cid(R"({"a":2})").value());
  CHECK(record_cid(R"({"a":{"$bytes":"AQID/w=="}})").value() ==
        record_cid(R"({"a":{"$bytes":"AQID/w"}})").value());
}

TEST_CASE("record_cid: what records can't hold has no CID", "[sandbox]") {
  for (const std::string_view bad : {"", "[]", "1", "{", "{} x"}) {
    CHECK(detail_of(record_cid(bad)) == "record.not_json");
  }
  std::string deep = "{\"a\":1}";
  for (int i = 0; i < 40; ++i) deep = "{\"a\":" + deep + '}';
  for (const std::string_view bad :
       {std::string_view(R"({"a":1.5})"), std::string_view(R"({"a":{"$link":1}})"),
        std::string_view(R"({"a":{"$link":"QmOld"}})"),
        std::string_view(R"({"a":{"$link":"bA1!"}})"), std::string_view(R"({"a":{"$bytes":"*"}})"),
        std::string_view(R"({"a":{"$bytes":null}})"), std::string_view(deep)}) {
    INFO(bad);
    CHECK(detail_of(record_cid(bad)) == "record.data_model");
  }
}
