// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
module latchkey.atproto.pds;
import latchkey.atproto.identifier;
import latchkey.atproto.pagination;
import latchkey.atproto.record;
import latchkey.atproto.xrpc_client;
import latchkey.core.error;
import latchkey.core.json;
import latchkey.http;
import latchkey.refresh.authorized;

// Reading records and repositories, and calls of any kind. What writes is in pds_writes.cpp and
// pds_blobs.cpp.

namespace latchkey {

Result<XrpcAnswer> PdsClient::query(const XrpcCall& call) {
  return xrpc_.get(call);
}

Result<XrpcAnswer> PdsClient::procedure(const XrpcCall& call, std::string_view json) {
  return xrpc_.post(call, {.text = json}, {});
}

Result<std::string> PdsClient::query(std::string_view nsid, const QueryParameters& parameters,
                                     std::stop_token stop) {
  return query({.nsid = std::string(nsid), .parameters = parameters, .stop = std::move(stop)})
      .transform([](XrpcAnswer&& answer) { return std::move(answer.text); });
}

Result<std::string> PdsClient::procedure(std::string_view nsid, std::string_view json,
                                         std::stop_token stop) {
  return procedure({.nsid = std::string(nsid), .stop = std::move(stop)}, json)
      .transform([](XrpcAnswer&& answer) { return std::move(answer.text); });
}

Result<JsonObject> PdsClient::query_json(std::string_view nsid, const QueryParameters& parameters,
                                         std::stop_token stop) {
  auto answer = query(nsid, parameters, std::move(stop));
  if (!answer) return std::move(answer).error();
  return JsonObject::parse(*answer, ErrorCode::invalid_response, "xrpc");
}

Result<Record> PdsClient::get_record(std::string_view collection, std::string_view rkey,
                                     std::string_view repo, std::stop_token stop) {
  if (auto names = check_record_name(collection, rkey); !names) return std::move(names).error();
  return query_json("com.atproto.repo.getRecord",
                    {{"repo", std::string(repo.empty() ? std::string_view(did()) : repo)},
                     {"collection", std::string(collection)},
                     {"rkey", std::string(rkey)}},
                    std::move(stop))
      .and_then([](const JsonObject& answer) { return read_record(answer); });
}

Result<RecordPage> PdsClient::list_records(std::string_view collection,
                                           const ListOptions& options) {
  if (auto nsid = parse_nsid(collection); !nsid) return std::move(nsid).error();
  QueryParameters parameters{{"repo", options.repo.empty() ? did() : options.repo},
                             {"collection", std::string(collection)},
                             {"limit", std::to_string(std::clamp(options.limit, 1, 100))}};
  if (!options.cursor.empty()) parameters.emplace_back("cursor", options.cursor);
  if (options.reverse) parameters.emplace_back("reverse", "true");
  return query_json("com.atproto.repo.listRecords", parameters, options.stop)
      .and_then([](const JsonObject& answer) { return read_record_page(answer); });
}

PagedRange<Record> PdsClient::list_all_records(std::string collection, ListOptions options) const {
  return PagedRange<Record>(
      [client = *this, collection = std::move(collection),
       options = std::move(options)](const std::string& cursor) mutable -> Result<Page<Record>> {
        if (!cursor.empty()) options.cursor = cursor;
        auto page = client.list_records(collection, options);
        if (!page) return std::move(page).error();
        return Page<Record>{.items = std::move(page->records), .cursor = std::move(page->cursor)};
      });
}

Result<RepoDescription> PdsClient::describe_repo(std::string_view repo, std::stop_token stop) {
  const std::string whose(repo.empty() ? std::string_view(did()) : repo);
  auto answer = query_json("com.atproto.repo.describeRepo", {{"repo", whose}}, std::move(stop));
  if (!answer) return std::move(answer).error();
  auto did = answer->required_string("did");
  if (!did) return std::move(did).error();
  auto handle = answer->required_string("handle");
  if (!handle) return std::move(handle).error();
  auto correct = answer->boolean("handleIsCorrect");
  if (!correct) return std::move(correct).error();
  auto collections = answer->strings("collections");
  if (!collections) return std::move(collections).error();
  if (!collections->has_value()) return answer->missing("collections");
  return RepoDescription{.did = *std::move(did),
                         .handle = *std::move(handle),
                         .handle_is_correct = correct->value_or(false),
                         .collections = std::move(**collections),
                         .did_document = answer->json_text("didDoc").value_or("")};
}

}  // namespace latchkey
