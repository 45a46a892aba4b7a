// SPDX-License-Identifier: MIT
module;
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
import latchkey.sandbox.app_sessions;
import latchkey.sandbox.blobs;
import latchkey.sandbox.message;
import latchkey.sandbox.permissions;
import latchkey.sandbox.proofs;
import latchkey.sandbox.repo;
import latchkey.sandbox.storage;
import latchkey.sandbox.tokens;
import latchkey.sandbox.write_request;

namespace latchkey::sandbox {
namespace {

constexpr std::string_view kXrpc = "/xrpc/";

// A 401 says how to do it right (RFC 9449 §7.1). AuthMissing has no error in its challenge
// (RFC 6750 §3).
void add_challenge(Response& response, const Error& error) {
  if (response.status != 401 || !error.oauth) return;
  std::string challenge = "DPoP algs=\"ES256\"";
  if (error.oauth->error != "AuthMissing") challenge += ", error=\"" + error.oauth->error + '"';
  response.headers.emplace_back("WWW-Authenticate", challenge);
}

std::string record_json(const StoredRecord& record) {
  return json_object(
      {{"uri", json_quote(record.uri)}, {"cid", json_quote(record.cid)}, {"value", record.value}});
}

Error moved() {
  return refusal("RepoDeactivated", "xrpc.repo_moved", "The repository is at another server");
}

Result<std::size_t> read_limit(const FormFields& fields, std::size_t usual, std::size_t most) {
  const auto text = field(fields, "limit");
  if (!text) return usual;
  std::size_t limit = 0;
  const auto [end, fault] = std::from_chars(text->data(), text->data() + text->size(), limit);
  if (fault == std::errc{} && end == text->data() + text->size() && limit >= 1 && limit <= most) {
    return limit;
  }
  return invalid_input("xrpc.limit", "limit must be 1 to " + std::to_string(most));
}

}  // namespace

Pds::Pds(PdsOptions options, std::shared_ptr<Clock> clock, Random& random, Accounts& accounts,
         TokenLedger& ledger)
    : options_(std::move(options)),
      accounts_(accounts),
      ledger_(ledger),
      repositories_(random, *clock),
      proofs_(options_.origin, clock, random, options_.nonce_rotation),
      app_sessions_(options_.origin, *clock, random, accounts) {}

Result<void> Pds::restore(Storage& storage) {
  if (auto restored = repositories_.restore(storage); !restored) return restored;
  return blobs_.restore(storage);
}

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
  if (same_word(scheme, "Bearer")) {
    if (auto grant = app_sessions_.find_access(token)) {
      if (!*grant) return std::move(*grant).error();
      return std::optional(**std::move(grant));
    }
  }
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
    // They bring tokens of their own kind.
    if (auto answered = app_sessions_.procedure(nsid, request)) return *std::move(answered);
    const auto grant = authenticate(request);
    if (!grant) return grant.error();
    if (request.method == "POST") return procedure(nsid, request, *grant);
    if (request.method != "GET") {
      return refusal("InvalidRequest", "xrpc.method", "Incorrect HTTP method", 405);
    }
    const auto fields = form_decode(request.query);
    if (!fields) return invalid_input("xrpc.query", "the query is malformed");
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
  if (nsid == "com.atproto.sync.getBlob") return get_blob(fields);
  if (nsid == "com.atproto.sync.listBlobs") return list_blobs(fields);
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

Result<Response> Pds::resolve_handle(const FormFields& fields) {
  const auto handle = parse_handle(field(fields, "handle").value_or(""));
  const Account* account = handle ? accounts_.find(*handle) : nullptr;
  if (account == nullptr) {
    return invalid_input("xrpc.handle", "Unable to resolve handle");
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

Result<const Account*> Pds::own_repo(std::string_view repo, const Grant& grant) {
  const Account* account = accounts_.find(repo);
  if (account == nullptr || account->did != grant.did) {
    return invalid_input("xrpc.repo", "the repository is not the token's");
  }
  if (!account->moved_to.empty()) return moved();
  return account;
}

Result<Response> Pds::get_blob(const FormFields& fields) {
  const std::string did = field(fields, "did").value_or("");
  const Blob* blob = blobs_.find(did, field(fields, "cid").value_or(""));
  if (blob == nullptr || accounts_.find_here(did) == nullptr) {
    return refusal("BlobNotFound", "xrpc.blob_not_found", "Blob not found");
  }
  // What somebody uploaded must not become a page of this origin.
  return Response{.content_type = blob->mime_type,
                  .body = blob->bytes,
                  .headers = {{"X-Content-Type-Options", "nosniff"},
                              {"Content-Security-Policy", "default-src 'none'; sandbox"}}};
}

Result<Response> Pds::list_blobs(const FormFields& fields) {
  const std::string did = field(fields, "did").value_or("");
  if (accounts_.find_here(did) == nullptr) {
    return refusal("RepoNotFound", "xrpc.repo_not_found", "Could not find repo: " + did);
  }
  const auto limit = read_limit(fields, 500, 1000);
  if (!limit) return limit.error();
  const auto page = blobs_.list(did, *limit, field(fields, "cursor").value_or(""));
  const std::string cids = json_strings(page.cids);
  return json_answer(200, page.cursor.empty()
                              ? json_object({{"cids", cids}})
                              : json_object({{"cursor", json_quote(page.cursor)}, {"cids", cids}}));
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
    return invalid_input("xrpc.collection", "collection must be an NSID");
  }
  const auto limit = read_limit(fields, 50, 100);
  if (!limit) return limit.error();
  const auto page =
      repositories_.list((*account)->did, collection, *limit, field(fields, "cursor").value_or(""),
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
