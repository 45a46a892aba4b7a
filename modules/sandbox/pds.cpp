// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>
module latchkey.sandbox.pds;
import latchkey.atproto.identifier;
import latchkey.core.crypto;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.json;
import latchkey.core.time;
import latchkey.http;
import latchkey.oauth.scope;
import latchkey.sandbox.access;
import latchkey.sandbox.accounts;
import latchkey.sandbox.message;
import latchkey.sandbox.permissions;
import latchkey.sandbox.proofs;
import latchkey.sandbox.repo;
import latchkey.sandbox.tokens;

namespace latchkey::sandbox {
namespace {

constexpr std::string_view kXrpc = "/xrpc/";

Error invalid_request(std::string_view detail, std::string description) {
  return refusal("InvalidRequest", detail, std::move(description));
}

// A 401 says how to do it right (RFC 9449 §7.1). AuthMissing has no error in its challenge
// (RFC 6750 §3).
void add_challenge(Response& response, const Error& error) {
  if (response.status != 401 || !error.oauth) return;
  std::string challenge = "DPoP algs=\"ES256\"";
  if (error.oauth->error != "AuthMissing") challenge += ", error=\"" + error.oauth->error + '"';
  response.headers.emplace_back("WWW-Authenticate", challenge);
}

// What a write asks for; `record` must be there unless it is a deletion.
struct WriteRequest {
  RecordWrite write;
  std::string repo;
};

Result<std::string> text_member(const JsonObject& body, std::string_view name) {
  auto text = body.string(name);
  if (!text) return invalid_request("xrpc.input", std::string(name) + " has the wrong type");
  return text->value_or("");
}

Result<WriteRequest> read_write(const Request& request, bool with_record) {
  const auto* type = request.headers.find("Content-Type");
  if (type == nullptr ||
      !same_word(std::string_view(*type).substr(0, type->find(';')), "application/json")) {
    return invalid_request("xrpc.content_type", "the content type must be application/json");
  }
  const auto body = JsonObject::parse(request.body, ErrorCode::invalid_argument, "input");
  if (!body) return invalid_request(body.error().detail, "the body is not a JSON object");
  WriteRequest out;
  for (const auto& [name, into] :
       {std::pair{"repo", &out.repo}, std::pair{"collection", &out.write.collection},
        std::pair{"rkey", &out.write.rkey}, std::pair{"swapCommit", &out.write.swap_commit}}) {
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
  if (with_record) {
    if (body->kind("record") != JsonKind::object) {
      return invalid_request("xrpc.input", "record must be an object");
    }
    out.write.value = body->json_text("record").value_or("");
  }
  if (!parse_nsid(out.write.collection)) {
    return invalid_request("xrpc.collection", "collection must be an NSID");
  }
  if (!out.write.rkey.empty() && !parse_record_key(out.write.rkey)) {
    return invalid_request("xrpc.rkey", "rkey is malformed");
  }
  return out;
}

std::string commit_json(const Commit& commit) {
  return json_object({{"cid", json_quote(commit.cid)}, {"rev", json_quote(commit.rev)}});
}

Response written(const Repositories::Written& written) {
  return json_answer(200, json_object({{"uri", json_quote(written.record.uri)},
                                       {"cid", json_quote(written.record.cid)},
                                       {"commit", commit_json(written.commit)},
                                       {"validationStatus", "\"unknown\""}}));
}

std::string record_json(const StoredRecord& record) {
  return json_object(
      {{"uri", json_quote(record.uri)}, {"cid", json_quote(record.cid)}, {"value", record.value}});
}

Error moved() {
  return refusal("RepoDeactivated", "xrpc.repo_moved", "The repository is at another server");
}

Error missing_scope(std::string_view collection, RepoAction action) {
  return refusal("ScopeMissingError", "scope.missing",
                 "Missing required scope \"" + repo_scope(collection, action) + "\"", 403);
}

}  // namespace

Pds::Pds(PdsOptions options, std::shared_ptr<Clock> clock, Random& random, Accounts& accounts,
         TokenLedger& ledger)
    : options_(std::move(options)),
      accounts_(accounts),
      ledger_(ledger),
      repositories_(random, *clock),
      proofs_(options_.origin, clock, random, options_.nonce_rotation) {}

Response Pds::handle(const Request& request) {
  if (request.path.starts_with(kXrpc)) return xrpc(request);
  if (request.method != "GET") {
    return xrpc_answer(refusal("InvalidRequest", "pds.method", "wrong method", 405));
  }
  if (request.path == "/.well-known/oauth-protected-resource") {
    return json_answer(200, json_object({{"resource", json_quote(options_.origin)},
                                         {"authorization_servers", json_strings({options_.issuer})},
                                         {"scopes_supported", "[]"},
                                         {"bearer_methods_supported", json_strings({"header"})}}));
  }
  if (request.path == "/.well-known/atproto-did") {
    const auto* host = request.headers.find("Host");
    const Account* account =
        host == nullptr ? nullptr
                        : accounts_.find(std::string_view(*host).substr(0, host->find(':')));
    if (account != nullptr) {
      return {.status = 200, .content_type = "text/plain", .body = account->did};
    }
  }
  return xrpc_answer(refusal("NotFound", "pds.path", "there is nothing here", 404));
}

Response Pds::ask_for_bad_nonce() {
  const Error error = refusal("use_dpop_nonce", "fault.nonce_storm", "use another nonce", 401);
  Response response = xrpc_answer(error);
  add_challenge(response, error);
  response.headers.emplace_back("DPoP-Nonce", proofs_.bad_nonce());
  return response;
}

Result<std::optional<Grant>> Pds::authenticate(const Request& request) {
  const auto values = request.headers.all("Authorization");
  if (values.empty()) return std::nullopt;
  const auto space = values[0].find(' ');
  if (values.size() > 1 || space == std::string_view::npos) {
    return refusal("InvalidToken", "access.malformed", "Malformed authorization");
  }
  const auto scheme = values[0].substr(0, space), token = values[0].substr(space + 1);
  if (!same_word(scheme, "DPoP")) {
    return refusal("InvalidToken", "access.scheme", "The scheme must be DPoP");
  }
  auto grant = check_bound_token(request, token, ledger_, proofs_);
  if (!grant) return std::move(grant).error();
  // Tokens of other clients of the authorization server are not meant for a PDS.
  const auto scope = ScopeSet::parse(grant->scope);
  if (!scope || !scope->contains("atproto")) {
    return invalid_token("access.audience", "The token is not for a PDS");
  }
  return std::optional(*std::move(grant));
}

Response Pds::xrpc(const Request& request) {
  const auto nsid = std::string_view(request.path).substr(kXrpc.size());
  const auto respond = [&]() -> Result<Response> {
    const auto grant = authenticate(request);
    if (!grant) return grant.error();
    if (request.method == "POST") return procedure(nsid, request, *grant);
    if (request.method != "GET") {
      return refusal("InvalidRequest", "xrpc.method", "Incorrect HTTP method", 405);
    }
    const auto fields = form_decode(request.query);
    if (!fields) return invalid_request("xrpc.query", "the query is malformed");
    return query(nsid, *fields, *grant);
  };
  auto answered = respond();
  Response response = answered ? *std::move(answered) : xrpc_answer(answered.error());
  if (!answered) add_challenge(response, answered.error());
  const auto* authorization = request.headers.find("Authorization");
  if (authorization != nullptr &&
      same_word(std::string_view(*authorization).substr(0, 5), "DPoP ")) {
    response.headers.emplace_back("DPoP-Nonce", proofs_.nonce());
  }
  return response;
}

Result<Response> Pds::query(std::string_view nsid, const FormFields& fields,
                            const std::optional<Grant>& grant) {
  if (nsid == "com.atproto.identity.resolveHandle") return resolve_handle(fields);
  if (nsid == "com.atproto.repo.getRecord") return get_record(fields);
  if (nsid == "com.atproto.repo.listRecords") return list_records(fields);
  if (nsid == "com.atproto.repo.describeRepo") return describe_repo(fields);
  if (nsid == "com.atproto.server.describeServer") {
    return json_answer(200, json_object({{"did", json_quote("did:web:localhost")},
                                         {"availableUserDomains", json_strings({".test"})}}));
  }
  if (nsid == "com.atproto.server.getSession") {
    if (!grant) return refusal("AuthMissing", "access.missing", "Authentication Required", 401);
    return get_session(*grant);
  }
  return refusal("MethodNotImplemented", "xrpc.unknown", "Method Not Implemented", 501);
}

Response Pds::get_session(const Grant& grant) {
  const Account* account = accounts_.find(grant.did);
  JsonMembers members{
      {"did", json_quote(grant.did)},
      {"handle", json_quote(account == nullptr ? "handle.invalid" : account->handle)}};
  if (account != nullptr && permits_email(grant.scope)) {
    members.emplace_back("email", json_quote(account->email()));
    members.emplace_back("emailConfirmed", "true");
  }
  return json_answer(200, json_object(members));
}

Result<Response> Pds::procedure(std::string_view nsid, const Request& request,
                                const std::optional<Grant>& grant) {
  const bool creates = nsid == "com.atproto.repo.createRecord";
  const bool puts = nsid == "com.atproto.repo.putRecord";
  const bool deletes = nsid == "com.atproto.repo.deleteRecord";
  if (!creates && !puts && !deletes) {
    return refusal("MethodNotImplemented", "xrpc.unknown", "Method Not Implemented", 501);
  }
  if (!grant) return refusal("AuthMissing", "access.missing", "Authentication Required", 401);
  auto asked = read_write(request, !deletes);
  if (!asked) return std::move(asked).error();
  RecordWrite& write = asked->write;
  const Account* account = accounts_.find(asked->repo);
  if (account == nullptr || account->did != grant->did) {
    return invalid_request("xrpc.repo", "the repository is not the token's");
  }
  if (!account->moved_to.empty()) return moved();
  write.did = account->did;
  const auto lacks = [&](RepoAction action) {
    return !permits(grant->scope, write.collection, action);
  };
  // A put may do either.
  if ((creates || puts) && lacks(RepoAction::create)) {
    return missing_scope(write.collection, RepoAction::create);
  }
  if (puts && lacks(RepoAction::update)) return missing_scope(write.collection, RepoAction::update);
  if (deletes && lacks(RepoAction::remove)) {
    return missing_scope(write.collection, RepoAction::remove);
  }
  if (!creates && write.rkey.empty()) return invalid_request("xrpc.rkey", "rkey is missing");
  if (deletes) return delete_record(write);
  auto done =
      creates ? repositories_.create(std::move(write)) : repositories_.put(std::move(write));
  if (!done) return std::move(done).error();
  return written(*done);
}

Result<Response> Pds::delete_record(const RecordWrite& write) {
  const auto removed = repositories_.remove(write);
  if (!removed) return removed.error();
  return json_answer(200, *removed ? json_object({{"commit", commit_json(**removed)}}) : "{}");
}

Result<Response> Pds::resolve_handle(const FormFields& fields) {
  const auto handle = parse_handle(field(fields, "handle").value_or(""));
  const Account* account = handle ? accounts_.find(*handle) : nullptr;
  if (account == nullptr) {
    return invalid_request("xrpc.handle", "Unable to resolve handle");
  }
  return json_answer(200, json_object({{"did", json_quote(account->did)}}));
}

Result<const Account*> Pds::repo_of(const FormFields& fields) {
  const std::string repo = field(fields, "repo").value_or("");
  const Account* account = accounts_.find(repo);
  if (account != nullptr && !account->moved_to.empty()) return moved();
  if (account != nullptr) return account;
  return refusal("RepoNotFound", "xrpc.repo_not_found", "Could not find repo: " + repo);
}

Result<Response> Pds::describe_repo(const FormFields& fields) {
  const auto account = repo_of(fields);
  if (!account) return account.error();
  const std::string& did = (*account)->did;
  return json_answer(200,
                     json_object({{"handle", json_quote((*account)->handle)},
                                  {"did", json_quote(did)},
                                  {"didDoc", json_object({{"id", json_quote(did)}})},
                                  {"collections", json_strings(repositories_.collections(did))},
                                  {"handleIsCorrect", "true"}}));
}

Result<Response> Pds::get_record(const FormFields& fields) {
  const auto account = repo_of(fields);
  if (!account) return account.error();
  const auto record = repositories_.get((*account)->did, field(fields, "collection").value_or(""),
                                        field(fields, "rkey").value_or(""));
  const auto cid = field(fields, "cid");
  if (!record || (cid && *cid != record->cid)) {
    return refusal("RecordNotFound", "xrpc.record_not_found", "Could not locate record");
  }
  return json_answer(200, record_json(*record));
}

Result<Response> Pds::list_records(const FormFields& fields) {
  const auto account = repo_of(fields);
  if (!account) return account.error();
  const std::string collection = field(fields, "collection").value_or("");
  if (!parse_nsid(collection)) {
    return invalid_request("xrpc.collection", "collection must be an NSID");
  }
  std::size_t limit = 50;
  if (const auto text = field(fields, "limit")) {
    const auto [end, fault] = std::from_chars(text->data(), text->data() + text->size(), limit);
    if (fault != std::errc{} || end != text->data() + text->size() || limit < 1 || limit > 100) {
      return invalid_request("xrpc.limit", "limit must be 1 to 100");
    }
  }
  const auto page =
      repositories_.list((*account)->did, collection, limit, field(fields, "cursor").value_or(""),
                         field(fields, "reverse") == "true");
  std::string rows = "[";
  for (const auto& record : page.records) {
    if (rows.size() > 1) rows += ',';
    rows += record_json(record);
  }
  rows += ']';
  return json_answer(200, page.cursor.empty() ? json_object({{"records", rows}})
                                              : json_object({{"cursor", json_quote(page.cursor)},
                                                             {"records", rows}}));
}

}  // namespace latchkey::sandbox
