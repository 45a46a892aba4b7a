// SPDX-License-Identifier: MIT
module;
#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
module latchkey.atproto.pds;
import latchkey.atproto.identifier;
import latchkey.atproto.permission;
import latchkey.atproto.permissions;
import latchkey.atproto.record;
import latchkey.atproto.xrpc_client;
import latchkey.core.error;
import latchkey.core.json;
import latchkey.http;
import latchkey.refresh.authorized;

// Writing records, one by one or together. Writes are repeated here and not below, because only
// here it can be found out what became of the first.

namespace latchkey {
namespace {

constexpr std::size_t kMostWrites = 200;  // of the lexicon

Error bad_swap(const std::string& why) {
  return make_error(ErrorCode::invalid_argument, "record.swap",
                    "cannot write on this condition: " + why);
}

void add_validation(std::string& body, Validation validation) {
  if (validation == Validation::by_server) return;
  body += ',' + json_member("validate", validation == Validation::required ? "true" : "false");
}

void add_swap_commit(std::string& body, const std::string& cid) {
  if (!cid.empty()) body += ',' + json_member("swapCommit", json_quote(cid));
}

void add_swaps(std::string& body, const WriteOptions& options) {
  if (options.swap_record.kind == SwapRecord::Kind::absent)
    body += ',' + json_member("swapRecord", "null");
  if (options.swap_record.kind == SwapRecord::Kind::cid)
    body += ',' + json_member("swapRecord", json_quote(options.swap_record.cid));
  add_swap_commit(body, options.swap_commit);
}

std::string name_members(std::string_view collection, std::string_view rkey) {
  return json_member("collection", json_quote(collection)) + ',' +
         json_member("rkey", json_quote(rkey));
}

std::string key_members(std::string_view did, std::string_view collection, std::string_view rkey) {
  return "{" + json_member("repo", json_quote(did)) + ',' + name_members(collection, rkey);
}

// One of the writes of com.atproto.repo.applyWrites, which has its key by now.
Result<std::string> write_json(const RecordWrite& write) {
  if (auto names = check_record_name(write.collection, write.rkey); !names)
    return std::move(names).error();
  const std::string type = "com.atproto.repo.applyWrites#" + std::string(to_string(write.action));
  std::string json = "{" + json_member("$type", json_quote(type)) + ',' +
                     name_members(write.collection, write.rkey);
  if (write.action == RecordAction::remove) return json + '}';
  auto value = typed_record(write.collection, write.record);
  if (!value) return std::move(value).error();
  return json + ',' + json_member("value", *value) + '}';
}

// Of the record, that is: who does not know the repository says nothing about it.
bool is_gone(const Result<Record>& there) {
  return !there && there.error().detail == "xrpc.RecordNotFound";
}

std::string uri_of(const std::string& did, const RecordWrite& write) {
  return "at://" + did + '/' + write.collection + '/' + write.rkey;
}

// `deletes`: the URIs of what was deleted, empty for other writes.
Result<AppliedWrites> read_applied(const std::string& text,
                                   const std::vector<std::string>& deletes) {
  auto answer = JsonObject::parse(text, ErrorCode::invalid_response, "xrpc");
  if (!answer) return std::move(answer).error();
  auto results = answer->objects("results");
  if (!results) return std::move(results).error();
  if (!results->has_value() || (**results).size() != deletes.size())
    return answer->missing("results");
  AppliedWrites applied;
  for (std::size_t i = 0; i < deletes.size(); ++i) {
    auto ref = deletes[i].empty() ? read_record_ref((**results)[i])
                                  : RecordRef{.uri = deletes[i], .cid = {}};
    if (!ref) return std::move(ref).error();
    applied.refs.push_back(*std::move(ref));
  }
  auto commit = answer->object("commit");
  if (!commit) return std::move(commit).error();
  if (commit->has_value()) {
    auto cid = (**commit).string("cid");
    if (!cid) return std::move(cid).error();
    applied.commit_cid = cid->value_or("");
  }
  return applied;
}

}  // namespace

PdsClient::Written PdsClient::call_write(std::string_view nsid, std::string_view body,
                                         const Actions& actions, const std::stop_token& stop) {
  const XrpcCall call{.nsid = std::string(nsid), .stop = stop};
  XrpcConduct conduct{.connection = Connection::pooled,
                      .lacking = [&actions](const Permissions& permissions) {
                        std::vector<std::string> words;
                        for (const auto& [collection, action] : actions) {
                          if (permissions.allows_record(collection, action) == Answer::no)
                            words.push_back(record_permission(collection, action));
                        }
                        return words;
                      }};
  const auto text_of = [](XrpcAnswer&& answer) { return std::move(answer.text); };
  auto first = xrpc_.post(call, {.text = body}, conduct).transform(text_of);
  if (first || first.error().code != ErrorCode::connection_lost)
    return {.answer = std::move(first)};
  conduct.connection = Connection::fresh;
  auto second = xrpc_.post(call, {.text = body}, conduct).transform(text_of);
  if (!second) second = error_of_repetition(first.error(), std::move(second).error());
  return {.answer = std::move(second), .repeated = true};
}

Result<RecordRef> PdsClient::write(std::string_view nsid, std::string_view collection,
                                   std::string_view rkey, RecordKey key, std::string_view record,
                                   const Actions& actions, const WriteOptions& options) {
  if (auto names = check_record_name(collection, rkey); !names) return std::move(names).error();
  auto typed = typed_record(collection, record);
  if (!typed) return std::move(typed).error();
  std::string body = key_members(did(), collection, rkey) + ',' + json_member("record", *typed);
  add_validation(body, options.validation);
  add_swaps(body, options);
  auto [answer, repeated] = call_write(nsid, body + '}', actions, options.stop);
  if (answer) {
    return JsonObject::parse(*answer, ErrorCode::invalid_response, "xrpc")
        .and_then([](const JsonObject& object) { return read_record_ref(object); });
  }
  if (repeated && answer.error().http_status != 0) {
    // Refused, perhaps because the first has arrived. Under a key that was drawn for it only that
    // can be there.
    auto there = get_record(collection, rkey, {}, options.stop);
    if (there && (key == RecordKey::drawn || is_same_value(there->value, *typed))) {
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
  return write("com.atproto.repo.createRecord", collection, create.rkey, key, record,
               {{std::string(collection), RecordAction::create}}, create);
}

Result<RecordRef> PdsClient::put_record(std::string_view collection, std::string_view rkey,
                                        std::string_view record, const WriteOptions& options) {
  const std::string name(collection);
  return write("com.atproto.repo.putRecord", collection, rkey, RecordKey::given, record,
               {{name, RecordAction::create}, {name, RecordAction::update}}, options);
}

Result<void> PdsClient::delete_record(std::string_view collection, std::string_view rkey,
                                      const WriteOptions& options) {
  if (auto names = check_record_name(collection, rkey); !names) return names;
  if (options.swap_record.kind == SwapRecord::Kind::absent) {
    return bad_swap(
        "a record that is deleted only if it is absent is never deleted; leave the condition out");
  }
  std::string body = key_members(did(), collection, rkey);
  add_swaps(body, options);
  auto [answer, repeated] =
      call_write("com.atproto.repo.deleteRecord", body + '}',
                 {{std::string(collection), RecordAction::remove}}, options.stop);
  if (answer) return {};
  if (repeated && answer.error().http_status != 0) {
    if (is_gone(get_record(collection, rkey, {}, options.stop))) return {};
  }
  return std::move(answer).error();
}

// Whether the repository is as the writes leave it: they happen together, so that one that is not
// there tells of all.
std::optional<AppliedWrites> PdsClient::find_applied(std::span<const KeyedWrite> writes,
                                                     const std::stop_token& stop) {
  AppliedWrites applied;
  for (const auto& [write, key] : writes) {
    auto there = get_record(write.collection, write.rkey, {}, stop);
    if (write.action == RecordAction::remove) {
      if (!is_gone(there)) return std::nullopt;
      applied.refs.push_back({.uri = uri_of(did(), write), .cid = {}});
      continue;
    }
    if (!there) return std::nullopt;
    const auto typed = typed_record(write.collection, write.record);
    const bool ours = key == RecordKey::drawn || (typed && is_same_value(there->value, *typed));
    if (!ours) return std::nullopt;
    applied.refs.push_back({.uri = std::move(there->uri), .cid = std::move(there->cid)});
  }
  return applied;
}

Result<AppliedWrites> PdsClient::apply_writes(std::span<const RecordWrite> writes,
                                              const ApplyOptions& options) {
  if (writes.empty() || writes.size() > kMostWrites) {
    return make_error(ErrorCode::invalid_argument, "writes.count",
                      "cannot write " + std::to_string(writes.size()) +
                          " records together: there must be 1 to 200; make several calls");
  }
  std::vector<KeyedWrite> keyed;
  Actions actions;
  std::vector<std::string> deletes;
  std::string list;
  for (const RecordWrite& asked : writes) {
    auto& [write, key] = keyed.emplace_back(KeyedWrite{.write = asked});
    if (write.action == RecordAction::create && write.rkey.empty()) {
      write.rkey = tids_->next();
      key = RecordKey::drawn;
    }
    auto json = write_json(write);
    if (!json) return std::move(json).error();
    list += (list.empty() ? "" : ",") + *json;
    actions.emplace_back(write.collection, write.action);
    deletes.push_back(write.action == RecordAction::remove ? uri_of(did(), write) : "");
  }
  std::string body =
      "{" + json_member("repo", json_quote(did())) + ',' + json_member("writes", '[' + list + ']');
  add_validation(body, options.validation);
  add_swap_commit(body, options.swap_commit);
  auto [answer, repeated] =
      call_write("com.atproto.repo.applyWrites", body + '}', actions, options.stop);
  if (answer) return read_applied(*answer, deletes);
  if (repeated && answer.error().http_status != 0) {
    if (auto applied = find_applied(keyed, options.stop)) return *std::move(applied);
  }
  return std::move(answer).error();
}

}  // namespace latchkey
