// SPDX-License-Identifier: MIT
module;
#include <cstddef>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
module latchkey.atproto.record;
import latchkey.atproto.identifier;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.json;

namespace latchkey {
namespace {

constexpr std::size_t kMaxRecordSize = 1024 * 1024;

}  // namespace

std::string json_member(std::string_view name, std::string_view json) {
  return json_quote(name) + ':' + std::string(json);
}

Result<std::string> typed_record(std::string_view collection, std::string_view record) {
  if (record.size() > kMaxRecordSize) {
    return make_error(ErrorCode::invalid_argument, "record.too_large",
                      "cannot write the record: it is over 1 MiB");
  }
  auto object = JsonObject::parse(record, ErrorCode::invalid_argument, "record");
  if (!object) return std::move(object).error();
  auto type = object->string("$type");
  if (!type) return std::move(type).error();
  if (!type->has_value()) {
    const auto brace = record.find('{');
    const bool empty = object->names().empty();
    return "{" + json_member("$type", json_quote(collection)) + (empty ? "" : ",") +
           std::string(record.substr(brace + 1));
  }
  if (**type != collection) {
    return make_error(ErrorCode::invalid_argument, "record.type_mismatch",
                      "cannot write the record to " + std::string(collection) + ": its $type is " +
                          printable(**type, 100) + "; make them the same");
  }
  return std::string(record);
}

bool is_same_value(std::string_view a, std::string_view b) {
  const auto left = nlohmann::json::parse(a, nullptr, false),
             right = nlohmann::json::parse(b, nullptr, false);
  return !left.is_discarded() && left == right;
}

Result<void> check_record_name(std::string_view collection, std::string_view rkey) {
  if (auto nsid = parse_nsid(collection); !nsid) return std::move(nsid).error();
  if (auto key = parse_record_key(rkey); !key) return std::move(key).error();
  return {};
}

Result<RecordRef> read_record_ref(const JsonObject& object) {
  auto uri = object.required_string("uri");
  if (!uri) return std::move(uri).error();
  auto cid = object.required_string("cid");
  if (!cid) return std::move(cid).error();
  return RecordRef{.uri = *std::move(uri), .cid = *std::move(cid)};
}

Result<Record> read_record(const JsonObject& object) {
  auto uri = object.required_string("uri");
  if (!uri) return std::move(uri).error();
  auto cid = object.string("cid");
  if (!cid) return std::move(cid).error();
  auto value = object.json_text("value");
  if (!value || object.kind("value") != JsonKind::object) return object.missing("value");
  return Record{.uri = *std::move(uri), .cid = cid->value_or(""), .value = *std::move(value)};
}

Result<RecordPage> read_record_page(const JsonObject& object) {
  auto rows = object.objects("records");
  if (!rows) return std::move(rows).error();
  if (!rows->has_value()) return object.missing("records");
  RecordPage page;
  for (const JsonObject& row : **rows) {
    auto record = read_record(row);
    if (!record) return std::move(record).error();
    page.records.push_back(*std::move(record));
  }
  auto cursor = object.string("cursor");
  if (!cursor) return std::move(cursor).error();
  page.cursor = cursor->value_or("");
  return page;
}

}  // namespace latchkey
