// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <cstddef>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
module latchkey.atproto.pds;
import latchkey.atproto.identifier;
import latchkey.atproto.xrpc;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.json;
import latchkey.core.secret;
import latchkey.core.time;
import latchkey.core.url;
import latchkey.http;
import latchkey.http.policy;
import latchkey.refresh.authorized;
import latchkey.refresh.keeper;
import latchkey.session;

namespace latchkey {
namespace {

constexpr std::size_t kMaxRecordSize = 1024 * 1024;

// A member of a JSON body that is put together as text, so that a record goes out exactly as it
// came in.
std::string member(std::string_view name, std::string_view json) {
  return json_quote(name) + ':' + std::string(json);
}

// The record as text with "$type" in it.
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
    return "{" + member("$type", json_quote(collection)) + (empty ? "" : ",") +
           std::string(record.substr(brace + 1));
  }
  if (**type != collection) {
    return make_error(ErrorCode::invalid_argument, "record.type_mismatch",
                      "cannot write the record to " + std::string(collection) + ": its $type is " +
                          printable(**type, 100) + "; make them the same");
  }
  return std::string(record);
}

Error bad_swap(const std::string& why) {
  return make_error(ErrorCode::invalid_argument, "record.swap",
                    "cannot write on this condition: " + why);
}

// Equal whatever the order of members and the white space: a repository keeps neither.
bool same_value(std::string_view a, std::string_view b) {
  const auto left = nlohmann::json::parse(a, nullptr, false),
             right = nlohmann::json::parse(b, nullptr, false);
  return !left.is_discarded() && left == right;
}

void add_swaps(std::string& body, const WriteOptions& options) {
  if (options.swap_record.kind == SwapRecord::Kind::absent)
    body += ',' + member("swapRecord", "null");
  if (options.swap_record.kind == SwapRecord::Kind::cid) {
    body += ',' + member("swapRecord", json_quote(options.swap_record.cid));
  }
  if (!options.swap_commit.empty())
    body += ',' + member("swapCommit", json_quote(options.swap_commit));
}

std::string key_members(std::string_view did, std::string_view collection, std::string_view rkey) {
  return "{" + member("repo", json_quote(did)) + ',' +
         member("collection", json_quote(collection)) + ',' + member("rkey", json_quote(rkey));
}

Result<void> check_names(std::string_view collection, std::string_view rkey) {
  if (auto nsid = parse_nsid(collection); !nsid) return std::move(nsid).error();
  if (auto key = parse_record_key(rkey); !key) return std::move(key).error();
  return {};
}

Result<RecordRef> read_ref(const std::string& text) {
  auto answer = JsonObject::parse(text, ErrorCode::invalid_response, "xrpc");
  if (!answer) return std::move(answer).error();
  auto uri = answer->required_string("uri");
  if (!uri) return std::move(uri).error();
  auto cid = answer->required_string("cid");
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

}  // namespace

Result<std::string> PdsClient::call(std::string_view method, std::string_view nsid,
                                    const QueryParameters& parameters, std::string_view body,
                                    Repeat repeat, Connection connection, std::stop_token stop) {
  if (auto checked = parse_nsid(nsid); !checked) return std::move(checked).error();
  std::string target = "/xrpc/" + std::string(nsid);
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    target += (i == 0 ? '?' : '&') + percent_encode(parameters[i].first) + '=' +
              percent_encode(parameters[i].second);
  }
  const RequestMaker make = [&](const SessionSummary& session) -> Result<HttpRequest> {
    auto base = Url::parse(session.resource_server);
    if (!base) return std::move(base).error();
    auto url = base->with_target(target);
    if (!url) return std::move(url).error();
    HttpRequest request{.method = std::string(method), .url = *std::move(url)};
    if (auto set = request.headers.set("Accept", "application/json"); !set)
      return std::move(set).error();
    if (!body.empty()) {
      if (auto set = request.headers.set("Content-Type", "application/json"); !set)
        return std::move(set).error();
      request.body = SecretString(body);
    }
    return request;
  };
  SendOptions options = resource_limits(std::move(stop));
  options.connection = connection;
  auto answer = send_authorized(*keeper_, did_, make, repeat, options);
  if (!answer) return std::move(answer).error();
  if (answer->status != 200) return xrpc_error(nsid, *answer, keeper_->context().clock->now());
  return std::string(answer->body.expose());
}

Result<std::string> PdsClient::query(std::string_view nsid, const QueryParameters& parameters,
                                     std::stop_token stop) {
  return call("GET", nsid, parameters, {}, Repeat::safe, Connection::pooled, std::move(stop));
}

Result<std::string> PdsClient::procedure(std::string_view nsid, std::string_view json,
                                         std::stop_token stop) {
  return call("POST", nsid, {}, json, Repeat::never, Connection::fresh, std::move(stop));
}

// Writes are repeated here and not below, because only here it can be found out what became of the
// first.
PdsClient::Written PdsClient::call_write(std::string_view nsid, std::string_view body,
                                         const std::stop_token& stop) {
  auto first = call("POST", nsid, {}, body, Repeat::never, Connection::pooled, stop);
  if (first || first.error().code != ErrorCode::connection_lost)
    return {.answer = std::move(first)};
  return {.answer = call("POST", nsid, {}, body, Repeat::never, Connection::fresh, stop),
          .repeated = true};
}

Result<RecordRef> PdsClient::write(std::string_view nsid, std::string_view collection,
                                   std::string_view rkey, RecordKey key, std::string_view record,
                                   const WriteOptions& options) {
  if (auto names = check_names(collection, rkey); !names) return std::move(names).error();
  auto typed = typed_record(collection, record);
  if (!typed) return std::move(typed).error();
  std::string body = key_members(did_, collection, rkey) + ',' + member("record", *typed);
  if (options.validation != Validation::by_server) {
    body += ',' + member("validate", options.validation == Validation::required ? "true" : "false");
  }
  add_swaps(body, options);
  body += '}';
  auto [answer, repeated] = call_write(nsid, body, options.stop);
  if (answer) return read_ref(*answer);
  if (repeated && answer.error().http_status != 0) {
    // Refused, perhaps because the first has arrived. Under a key that was drawn for it only that
    // can be there.
    auto there = get_record(collection, rkey, {}, options.stop);
    if (there && (key == RecordKey::drawn || same_value(there->value, *typed))) {
      return RecordRef{.uri = std::move(there->uri), .cid = std::move(there->cid)};
    }
  }
  return std::move(answer).error();
}

Result<RecordRef> PdsClient::create_record(std::string_view collection, std::string_view record,
                                           const WriteOptions& options) {
  if (options.swap_record.kind == SwapRecord::Kind::cid) {
    return bad_swap("a record that is created cannot be there already; use put_record");
  }
  WriteOptions create = options;
  create.swap_record = {};  // createRecord has no such member
  const RecordKey key = options.rkey.empty() ? RecordKey::drawn : RecordKey::given;
  if (key == RecordKey::drawn) create.rkey = tids_->next();
  return write("com.atproto.repo.createRecord", collection, create.rkey, key, record, create);
}

Result<RecordRef> PdsClient::put_record(std::string_view collection, std::string_view rkey,
                                        std::string_view record, const WriteOptions& options) {
  return write("com.atproto.repo.putRecord", collection, rkey, RecordKey::given, record, options);
}

Result<void> PdsClient::delete_record(std::string_view collection, std::string_view rkey,
                                      const WriteOptions& options) {
  if (auto names = check_names(collection, rkey); !names) return names;
  if (options.swap_record.kind == SwapRecord::Kind::absent) {
    return bad_swap(
        "a record that is deleted only if it is absent is never deleted; leave the condition out");
  }
  std::string body = key_members(did_, collection, rkey);
  add_swaps(body, options);
  auto [answer, repeated] = call_write("com.atproto.repo.deleteRecord", body + '}', options.stop);
  if (answer) return {};
  if (repeated && answer.error().http_status != 0) {
    const auto there = get_record(collection, rkey, {}, options.stop);
    if (!there && there.error().code == ErrorCode::record_not_found) return {};
  }
  return std::move(answer).error();
}

Result<Record> PdsClient::get_record(std::string_view collection, std::string_view rkey,
                                     std::string_view repo, std::stop_token stop) {
  if (auto names = check_names(collection, rkey); !names) return std::move(names).error();
  auto answer = query("com.atproto.repo.getRecord",
                      {{"repo", std::string(repo.empty() ? std::string_view(did_) : repo)},
                       {"collection", std::string(collection)},
                       {"rkey", std::string(rkey)}},
                      std::move(stop));
  if (!answer) return std::move(answer).error();
  auto object = JsonObject::parse(*answer, ErrorCode::invalid_response, "xrpc");
  if (!object) return std::move(object).error();
  return read_record(*object);
}

Result<RecordPage> PdsClient::list_records(std::string_view collection,
                                           const ListOptions& options) {
  if (auto nsid = parse_nsid(collection); !nsid) return std::move(nsid).error();
  QueryParameters parameters{{"repo", options.repo.empty() ? did_ : options.repo},
                             {"collection", std::string(collection)},
                             {"limit", std::to_string(std::clamp(options.limit, 1, 100))}};
  if (!options.cursor.empty()) parameters.emplace_back("cursor", options.cursor);
  if (options.reverse) parameters.emplace_back("reverse", "true");
  auto answer = query("com.atproto.repo.listRecords", parameters, options.stop);
  if (!answer) return std::move(answer).error();
  auto object = JsonObject::parse(*answer, ErrorCode::invalid_response, "xrpc");
  if (!object) return std::move(object).error();
  auto rows = object->objects("records");
  if (!rows) return std::move(rows).error();
  if (!rows->has_value()) return object->missing("records");
  RecordPage page;
  for (const JsonObject& row : **rows) {
    auto record = read_record(row);
    if (!record) return std::move(record).error();
    page.records.push_back(*std::move(record));
  }
  auto cursor = object->string("cursor");
  if (!cursor) return std::move(cursor).error();
  page.cursor = cursor->value_or("");
  return page;
}

}  // namespace latchkey
