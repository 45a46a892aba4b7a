// SPDX-License-Identifier: MIT
module;
#include <string>
#include <string_view>
#include <utility>
module latchkey.sandbox.userinfo;
import latchkey.core.error;
import latchkey.core.json;
import latchkey.http;
import latchkey.oauth.scope;
import latchkey.sandbox.access;
import latchkey.sandbox.accounts;
import latchkey.sandbox.message;
import latchkey.sandbox.proofs;
import latchkey.sandbox.tokens;

namespace latchkey::sandbox {
namespace {

Result<Grant> check_bearer(std::string_view token, const TokenLedger& ledger) {
  const auto access = ledger.find_access(token);
  if (!access) return invalid_token("access.unknown", "Unknown token");
  // RFC 9449 §7.2: or a stolen token would be as good as one with its key.
  if (!access->grant.jkt.empty()) {
    return invalid_token("access.bound", "The token is bound to a key and needs a proof");
  }
  if (!access->problem.empty()) return invalid_token(access->problem, "The token is over");
  return access->grant;
}

Result<Grant> authenticate(const Request& request, const TokenLedger& ledger, ProofGate& proofs) {
  const auto values = request.headers.all("Authorization");
  if (values.empty()) return invalid_token("access.missing", "There is no token");
  const auto space = values[0].find(' ');
  if (values.size() > 1 || space == std::string_view::npos) {
    return refusal("invalid_request", "access.malformed", "Malformed authorization");
  }
  const auto scheme = values[0].substr(0, space), token = values[0].substr(space + 1);
  if (same_word(scheme, "DPoP")) return check_bound_token(request, token, ledger, proofs);
  if (same_word(scheme, "Bearer")) return check_bearer(token, ledger);
  return refusal("invalid_request", "access.scheme", "The scheme must be DPoP or Bearer");
}

Result<Response> answer(const Grant& grant, Accounts& accounts) {
  const auto scope = ScopeSet::parse(grant.scope);
  if (!scope || !scope->contains("openid")) {
    return refusal("insufficient_scope", "scope.missing", "The token lacks the scope openid", 403);
  }
  const Account* account = accounts.find(grant.did);
  if (account == nullptr) return invalid_token("access.ended", "The account is gone");
  JsonMembers claims{{"sub", json_quote(grant.did)}};
  if (scope->contains("profile")) {
    claims.emplace_back("preferred_username", json_quote(account->handle));
  }
  if (scope->contains("email")) {
    claims.emplace_back("email", json_quote(account->email()));
    claims.emplace_back("email_verified", "true");
  }
  return json_answer(200, json_object(claims));
}

// A request without a token is told the schemes and no error (RFC 6750 §3.1).
void add_challenges(Response& response, const Error& error) {
  std::string rest;
  if (error.detail != "access.missing" && error.oauth) {
    rest = "error=\"" + error.oauth->error + '"';
  }
  response.headers.emplace_back("WWW-Authenticate",
                                "DPoP algs=\"ES256\"" + (rest.empty() ? "" : ", " + rest));
  response.headers.emplace_back("WWW-Authenticate", "Bearer" + (rest.empty() ? "" : ' ' + rest));
}

}  // namespace

Response userinfo(const Request& request, Accounts& accounts, const TokenLedger& ledger,
                  ProofGate& proofs) {
  const auto grant = authenticate(request, ledger, proofs);
  auto answered = grant ? answer(*grant, accounts) : Result<Response>(grant.error());
  Response response = answered ? *std::move(answered) : oauth_answer(answered.error());
  if (!answered) add_challenges(response, answered.error());
  response.headers.emplace_back("Cache-Control", "no-store");
  if (!request.headers.all("DPoP").empty()) {
    response.headers.emplace_back("DPoP-Nonce", proofs.nonce());
  }
  return response;
}

}  // namespace latchkey::sandbox
