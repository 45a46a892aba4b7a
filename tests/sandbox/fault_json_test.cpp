// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

import latchkey.core;
import latchkey.core.json;
import latchkey.sandbox;
import latchkey.sandbox.fault_json;

using namespace latchkey;
using namespace std::chrono_literals;
using sandbox::Fault;
using sandbox::FaultKind;

namespace {

Result<Fault> read(std::string_view text) {
  return sandbox::fault_from_json(
      JsonObject::parse(text, ErrorCode::invalid_argument, "fault").value());
}

std::string again(std::string_view text) {
  return sandbox::fault_to_json(read(text).value());
}

std::string problem(std::string_view text) {
  const auto fault = read(text);
  return fault ? "none" : fault.error().detail;
}

}  // namespace

TEST_CASE("fault JSON: every kind is read and written by its name", "[sandbox]") {
  for (const auto& kind : sandbox::fault_kinds()) {
    INFO(kind.name);
    const std::string start = R"({"kind":")" + std::string(kind.name) + '"';
    std::string text = start;
    if (kind.kind == FaultKind::hostile) {
      text += R"(,"text":"token.sub_missing")";
    } else if (kind.needs == "text") {
      text += R"(,"text":"t")";
    }
    if (kind.needs == "delay_ms" || kind.needs == "size") {
      text += ",\"" + std::string(kind.needs) + "\":7";
    }
    text += '}';
    CHECK(read(text).value().kind == kind.kind);
    CHECK(again(text) == text);
    if (!kind.needs.empty()) CHECK(problem(start + '}') == "fault.missing_member");
  }
}

TEST_CASE("fault JSON: every member is read and written", "[sandbox]") {
  const std::string text =
      R"({"kind":"status","server":"authorization","method":"POST","path":"/oauth/token",)"
      R"("grant_type":"refresh_token","text":"{}","skip":2,"times":3,"delay_ms":40,"status":429,)"
      R"("retry_after_s":0,"rate_limit_reset_s":9,"size":5})";
  const auto fault = read(text).value();
  CHECK(fault.server == sandbox::Server::authorization);
  CHECK(fault.method == "POST");
  CHECK(fault.path == "/oauth/token");
  CHECK(fault.grant_type == "refresh_token");
  CHECK(fault.text == "{}");
  CHECK(fault.skip == 2);
  CHECK(fault.times == 3);
  CHECK(fault.delay == 40ms);
  CHECK(fault.status == 429);
  CHECK(fault.retry_after == 0s);
  CHECK(fault.rate_limit_reset == 9s);
  CHECK(fault.size == 5);
  CHECK(again(text) == text);
  CHECK(read(R"({"kind":"hold"})").value().times == 1);
}

TEST_CASE("fault JSON: what it can't mean is refused", "[sandbox]") {
  const std::vector<std::pair<std::string, std::string>> cases{
      {R"({})", "fault.missing_member"},
      {R"({"kind":""})", "fault.missing_member"},
      {R"({"kind":null})", "fault.wrong_type"},
      {R"({"kind":"explode"})", "fault.kind"},
      {R"({"kind":"Hold"})", "fault.kind"},
      {R"({"kind":"hold","server":"postgres"})", "fault.server"},
      {R"({"kind":"hold","server":1})", "fault.wrong_type"},
      {R"({"kind":"hold","time":2})", "fault.unknown_member"},
      {R"({"kind":"hold","path":7})", "fault.wrong_type"},
      {R"({"kind":"hold","times":"2"})", "fault.wrong_type"},
      {R"({"kind":"hold","times":1.5})", "fault.wrong_type"},
      {R"({"kind":"hold","times":0})", "fault.range"},
      {R"({"kind":"hold","skip":-1})", "fault.range"},
      {R"({"kind":"status","status":199})", "fault.range"},
      {R"({"kind":"status","status":600})", "fault.range"},
      {R"({"kind":"status","retry_after_s":-1})", "fault.range"},
      {R"({"kind":"delay","delay_ms":86400001})", "fault.range"},
      {R"({"kind":"huge_body","size":67108865})", "fault.range"},
      {R"({"kind":"hostile","text":"token.subject_missing"})", "fault.hostile"},
      {R"({"kind":"hostile","text":""})", "fault.hostile"}};
  for (const auto& [text, detail] : cases) {
    INFO(text);
    CHECK(problem(text) == detail);
  }
}
