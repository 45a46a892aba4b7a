// SPDX-License-Identifier: MIT
module;
#include <string>
#include <string_view>
module latchkey.sandbox.plc;
import latchkey.core.encoding;
import latchkey.core.json;
import latchkey.sandbox.accounts;
import latchkey.sandbox.message;

namespace latchkey::sandbox {
namespace {

std::string document(const Account& account, const std::string& pds) {
  const std::string service = json_object({{"id", "\"#atproto_pds\""},
                                           {"type", "\"AtprotoPersonalDataServer\""},
                                           {"serviceEndpoint", json_quote(pds)}});
  return json_object({{"@context", json_strings({"https://www.w3.org/ns/did/v1"})},
                      {"id", json_quote(account.did)},
                      {"alsoKnownAs", json_strings({"at://" + account.handle})},
                      {"verificationMethod", "[]"},
                      {"service", '[' + service + ']'}});
}

Response refusal(int status, std::string_view detail, std::string_view message) {
  Response response = json_answer(status, json_object({{"message", json_quote(message)}}));
  response.detail = detail;
  return response;
}

}  // namespace

Response PlcDirectory::handle(const Request& request) {
  if (request.method != "GET") return refusal(405, "plc.method", "only GET here");
  const auto did = percent_decode(std::string_view(request.path).substr(1));
  const Account* account = did && did->starts_with("did:") ? accounts_.find(*did) : nullptr;
  if (account == nullptr) return refusal(404, "plc.unknown", "DID not registered");
  Response response =
      json_answer(200, document(*account, account->moved_to.empty() ? pds_ : account->moved_to));
  response.content_type = "application/did+ld+json; charset=utf-8";
  return response;
}

}  // namespace latchkey::sandbox
