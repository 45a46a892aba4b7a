// SPDX-License-Identifier: MIT
module;
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
module latchkey.sandbox.pds;
import latchkey.core.error;
import latchkey.core.json;
import latchkey.sandbox.accounts;
import latchkey.sandbox.blobs;
import latchkey.sandbox.message;
import latchkey.sandbox.permissions;
import latchkey.sandbox.repo;
import latchkey.sandbox.tokens;
import latchkey.sandbox.write_request;

// XRPC procedures: what changes a repository.

namespace latchkey::sandbox {
namespace {

constexpr std::size_t kMaxBlob = 1'000'000;

std::string commit_json(const Commit& commit) {
  return json_object({{"cid", json_quote(commit.cid)}, {"rev", json_quote(commit.rev)}});
}

Response written(const Repositories::Written& written) {
  return json_answer(200, json_object({{"uri", json_quote(written.record.uri)},
                                       {"cid", json_quote(written.record.cid)},
                                       {"commit", commit_json(written.commit)},
                                       {"validationStatus", "\"unknown\""}}));
}

// `record` has no CID if it was removed.
std::string result_json(RepoAction action, const StoredRecord& record) {
  constexpr std::string_view type = "com.atproto.repo.applyWrites#";
  const std::string kind =
      json_quote(std::string(type) + std::string(to_string(action)) + "Result");
  if (action == RepoAction::remove) return json_object({{"$type", kind}});
  return json_object({{"$type", kind},
                      {"uri", json_quote(record.uri)},
                      {"cid", json_quote(record.cid)},
                      {"validationStatus", "\"unknown\""}});
}

Result<void> check_scope(const Grant& grant, std::string_view collection, RepoAction action) {
  if (permits(grant.scope, collection, action)) return {};
  return refusal("ScopeMissingError", "scope.missing",
                 "Missing required scope \"" + repo_scope(collection, action) + "\"", 403);
}

Error unknown_procedure() {
  return refusal("MethodNotImplemented", "xrpc.unknown", "Method Not Implemented", 501);
}

}  // namespace

Result<Response> Pds::procedure(std::string_view nsid, const Request& request,
                                const std::optional<Grant>& grant) {
  constexpr std::string_view repo = "com.atproto.repo.";
  if (!nsid.starts_with(repo)) return unknown_procedure();
  const auto name = nsid.substr(repo.size());
  const bool blob = name == "uploadBlob", batch = name == "applyWrites";
  const bool creates = name == "createRecord", puts = name == "putRecord";
  if (!blob && !batch && !creates && !puts && name != "deleteRecord") return unknown_procedure();
  if (!grant) return refusal("AuthMissing", "access.missing", "Authentication Required", 401);
  if (blob) return upload_blob(request, *grant);
  if (batch) return apply_writes(request, *grant);
  return write_record(request, *grant,
                      creates ? RepoAction::create
                      : puts  ? RepoAction::update
                              : RepoAction::remove);
}

Result<Response> Pds::write_record(const Request& request, const Grant& grant, RepoAction action) {
  auto asked = read_write(request, action);
  if (!asked) return std::move(asked).error();
  RecordWrite& write = asked->write;
  const auto account = own_repo(asked->repo, grant);
  if (!account) return account.error();
  write.did = (*account)->did;
  // A put may do either.
  if (action == RepoAction::update) {
    if (auto may = check_scope(grant, write.collection, RepoAction::create); !may) {
      return std::move(may).error();
    }
  }
  if (auto may = check_scope(grant, write.collection, action); !may) return std::move(may).error();
  if (action == RepoAction::remove) return delete_record(write);
  if (auto known = check_blobs(write); !known) return std::move(known).error();
  auto done = action == RepoAction::create ? repositories_.create(std::move(write))
                                           : repositories_.put(std::move(write));
  if (!done) return std::move(done).error();
  return written(*done);
}

Result<Response> Pds::delete_record(const RecordWrite& write) {
  const auto removed = repositories_.remove(write);
  if (!removed) return removed.error();
  return json_answer(200, *removed ? json_object({{"commit", commit_json(**removed)}}) : "{}");
}

Result<Response> Pds::apply_writes(const Request& request, const Grant& grant) {
  auto asked = read_batch(request);
  if (!asked) return std::move(asked).error();
  const auto account = own_repo(asked->repo, grant);
  if (!account) return account.error();
  for (auto& [action, write] : asked->writes) {
    write.did = (*account)->did;
    if (auto may = check_scope(grant, write.collection, action); !may) {
      return std::move(may).error();
    }
    if (auto known = check_blobs(write); !known) return std::move(known).error();
  }
  const auto done = repositories_.apply((*account)->did, asked->writes, asked->swap_commit);
  if (!done) return done.error();
  std::string results = "[";
  for (std::size_t i = 0; i < done->records.size(); ++i) {
    if (i > 0) results += ',';
    results += result_json(asked->writes[i].action, done->records[i]);
  }
  return json_answer(
      200, json_object({{"commit", commit_json(done->commit)}, {"results", results + ']'}}));
}

Result<Response> Pds::upload_blob(const Request& request, const Grant& grant) {
  std::string type = content_type_of(request);
  if (type.find('/') == std::string::npos) {
    return invalid_input("blob.content_type", "the content type must say what the blob is");
  }
  if (!permits_blob(grant.scope, type)) {
    return refusal("ScopeMissingError", "scope.missing",
                   "Missing required scope \"blob:" + type + '"', 403);
  }
  if (request.body.empty()) return invalid_input("blob.empty", "the blob is empty");
  if (request.body.size() > kMaxBlob) {
    return refusal("PayloadTooLarge", "blob.too_large", "the blob is over 1000000 bytes", 413);
  }
  const auto account = own_repo(grant.did, grant);
  if (!account) return account.error();
  Blob blob{.mime_type = std::move(type), .bytes = request.body};
  const std::string cid = blobs_.add((*account)->did, blob);
  return json_answer(200, json_object({{"blob", blob_json(cid, blob)}}));
}

Result<void> Pds::check_blobs(const RecordWrite& write) const {
  for (const auto& cid : blobs_in(write.value)) {
    if (blobs_.find(write.did, cid) != nullptr) continue;
    return refusal("BlobNotFound", "record.blob_unknown", "Could not find blob: " + cid);
  }
  return {};
}

}  // namespace latchkey::sandbox
