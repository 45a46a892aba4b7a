// SPDX-License-Identifier: MIT
module;
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
module latchkey.sandbox.write_request;
import latchkey.atproto.identifier;
import latchkey.core.error;
import latchkey.core.json;
import latchkey.sandbox.message;
import latchkey.sandbox.permissions;
import latchkey.sandbox.repo;

namespace latchkey::sandbox {
namespace {

constexpr std::size_t kMaxWrites = 200;
constexpr std::string_view kBatch = "com.atproto.repo.applyWrites#";

Result<std::string> text_member(const JsonObject& body, std::string_view name) {
  auto text = body.string(name);
  if (!text) return invalid_input("xrpc.input", std::string(name) + " has the wrong type");
  return std::move(*text).value_or("");
}

// Where, and what: the record is in the member `value`.
Result<RecordWrite> read_record(const JsonObject& body, std::string_view value, RepoAction action) {
  RecordWrite write;
  for (const auto& [name, into] :
       {std::pair{"collection", &write.collection}, std::pair{"rkey", &write.rkey}}) {
    auto text = text_member(body, name);
    if (!text) return std::move(text).error();
    *into = *std::move(text);
  }
  if (action != RepoAction::remove) {
    if (body.kind(value) != JsonKind::object) {
      return invalid_input("xrpc.input", std::string(value) + " must be an object");
    }
    write.value = body.json_text(value).value_or("");
  }
  if (!parse_nsid(write.collection)) {
    return invalid_input("xrpc.collection", "collection must be an NSID");
  }
  if (!write.rkey.empty() && !parse_record_key(write.rkey)) {
    return invalid_input("xrpc.rkey", "rkey is malformed");
  }
  if (write.rkey.empty() && action != RepoAction::create) {
    return invalid_input("xrpc.rkey", "rkey is missing");
  }
  return write;
}

Result<BatchWrite> read_batch_write(const JsonObject& json) {
  const auto type = text_member(json, "$type");
  if (!type) return type.error();
  for (const auto& [name, action] :
       {std::pair{"create", RepoAction::create}, std::pair{"update", RepoAction::update},
        std::pair{"delete", RepoAction::remove}}) {
    if (*type != std::string(kBatch) + name) continue;
    auto write = read_record(json, "value", action);
    if (!write) return std::move(write).error();
    return BatchWrite{.action = action, .write = *std::move(write)};
  }
  return invalid_input("xrpc.writes", "a write is neither create, update nor delete");
}

}  // namespace

Error invalid_input(std::string_view detail, std::string description) {
  return refusal("InvalidRequest", detail, std::move(description));
}

Result<JsonObject> read_json_body(const Request& request) {
  if (content_type_of(request) != "application/json") {
    return invalid_input("xrpc.content_type", "the content type must be application/json");
  }
  auto body = JsonObject::parse(request.body, ErrorCode::invalid_argument, "input");
  if (!body) return invalid_input(body.error().detail, "the body is not a JSON object");
  return body;
}

Result<WriteRequest> read_write(const Request& request, RepoAction action) {
  const auto body = read_json_body(request);
  if (!body) return body.error();
  auto write = read_record(*body, "record", action);
  if (!write) return std::move(write).error();
  WriteRequest out{.write = *std::move(write), .repo = {}};
  for (const auto& [name, into] :
       {std::pair{"repo", &out.repo}, std::pair{"swapCommit", &out.write.swap_commit}}) {
    auto text = text_member(*body, name);
    if (!text) return std::move(text).error();
    *into = *std::move(text);
  }
  if (body->kind("swapRecord") == JsonKind::null) {
    out.write.swap_record = "";
  } else if (body->contains("swapRecord")) {
    auto text = text_member(*body, "swapRecord");
    if (!text) return std::move(text).error();
    out.write.swap_record = *std::move(text);
  }
  return out;
}

Result<BatchRequest> read_batch(const Request& request) {
  const auto body = read_json_body(request);
  if (!body) return body.error();
  BatchRequest out;
  for (const auto& [name, into] :
       {std::pair{"repo", &out.repo}, std::pair{"swapCommit", &out.swap_commit}}) {
    auto text = text_member(*body, name);
    if (!text) return std::move(text).error();
    *into = *std::move(text);
  }
  const auto writes = body->objects("writes");
  if (!writes || !*writes) return invalid_input("xrpc.input", "writes must be a list of objects");
  if ((*writes)->size() > kMaxWrites) {
    return invalid_input("xrpc.writes", "there are more than 200 writes");
  }
  for (const auto& json : **writes) {
    auto write = read_batch_write(json);
    if (!write) return std::move(write).error();
    out.writes.push_back(*std::move(write));
  }
  return out;
}

}  // namespace latchkey::sandbox
