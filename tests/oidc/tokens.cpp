// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
module latchkey.test.oidc_tokens;
import latchkey.core.error;
import latchkey.core.secret;
import latchkey.core.time;
import latchkey.http;
import latchkey.oidc.id_token;
import latchkey.oidc.jwks_validator;
import latchkey.oidc.jws;
import latchkey.oidc.jws_algorithm;
import latchkey.test.jws_key;
import latchkey.test.proof_key;
import latchkey.test.scripted_transport;

namespace latchkey::test {

std::string seconds_text(TimePoint time) {
  return std::to_string(std::chrono::floor<std::chrono::seconds>(time).time_since_epoch().count());
}

const JwsKey& shared_key(std::string_view alg) {
  static std::map<std::string, JwsKey, std::less<>> keys;
  auto found = keys.find(alg);
  if (found == keys.end()) found = keys.emplace(std::string(alg), JwsKey(alg)).first;
  return found->second;
}

Members good_header(std::string_view alg, std::string_view kid) {
  return {{"alg", quoted(alg)}, {"typ", quoted("JWT")}, {"kid", quoted(kid)}};
}

Members good_claims(TimePoint now) {
  using std::chrono::minutes;
  return {{"iss", quoted(kIssuer)},   {"sub", quoted("person-1")},
          {"aud", quoted(kClient)},   {"exp", seconds_text(now + minutes(10))},
          {"iat", seconds_text(now)}, {"nonce", quoted(kNonce)}};
}

IdTokenExpectations good_expectations() {
  IdTokenExpectations out;
  out.issuer = kIssuer;
  out.client_id = kClient;
  out.nonce = kNonce;
  return out;
}

Members with(Members base, const Members& changes) {
  for (const auto& [name, text] : changes) {
    if (text.empty()) {
      base.erase(name);
    } else {
      base[name] = text;
    }
  }
  return base;
}

std::string jwks_text(const std::vector<std::string>& keys) {
  std::string listed;
  for (const auto& key : keys) listed += (listed.empty() ? "" : ",") + key;
  return R"({"keys":[)" + listed + "]}";
}

std::string published(std::string_view alg, std::string_view kid) {
  return shared_key(alg).jwk({{"kid", quoted(kid)}});
}

std::string good_token(std::string_view alg, const Members& changes) {
  return shared_key(alg).sign(good_header(alg), with(good_claims(), changes));
}

Result<CompactJws> parse_token(std::string_view text) {
  return parse_compact_jws(text, jws_algorithms());
}

Checked::Checked(std::string keys)
    : clock(std::make_shared<ManualClock>(kNow)),
      transport(std::make_shared<ScriptedTransport>(
          [this](const HttpRequest&, const SendOptions&) { return json_answer(200, jwks); })),
      jwks(std::move(keys)),
      validator(JwksIdTokenValidator::create(
                    {.transport = transport, .clock = clock, .jwks_uri = std::string(kJwksUri)})
                    .value()) {}

Result<IdTokenClaims> Checked::check(std::string_view token) {
  return check(token, good_expectations());
}

Result<IdTokenClaims> Checked::check(std::string_view token,
                                     const IdTokenExpectations& expectations) {
  return validator->validate(SecretString(token), expectations, {});
}

}  // namespace latchkey::test
