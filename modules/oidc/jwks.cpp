// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
module latchkey.oidc.jwks;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.json;
import latchkey.core.secret;
import latchkey.http;
import latchkey.oidc.jws;
import latchkey.oidc.jws_algorithm;
import latchkey.oidc.verification_key;

namespace latchkey {
namespace {

constexpr std::size_t kMaxKeys = 100;

Error refused(std::string_view fact, const std::string& why) {
  return make_error(ErrorCode::token_invalid, "id_token." + std::string(fact),
                    "cannot trust the id token: " + why +
                        "; log in again in a minute, in case the server has just changed its keys");
}

Error bad_answer(std::string_view jwks_uri, std::string_view fact, const std::string& why) {
  return make_error(
      ErrorCode::invalid_metadata, "jwks." + std::string(fact),
      "cannot use the keys at " + printable(jwks_uri, 200) + ": " + why + "; tell the provider");
}

Error bad_signature() {
  return refused("signature", "its signature is not that of the server's key");
}

bool any_verifies(const std::vector<const VerificationKey*>& keys, const CompactJws& token) {
  return std::any_of(keys.begin(), keys.end(), [&](const VerificationKey* key) {
    return key->verifies(token.algorithm, token.signed_text, token.signature);
  });
}

}  // namespace

Result<JwkSet> JwkSet::parse(std::string_view json) {
  const auto document = JsonObject::parse(json, ErrorCode::invalid_metadata, "jwks");
  if (!document) return document.error();
  const auto listed = document->objects("keys");
  if (!listed) return listed.error();
  if (!*listed) return document->missing("keys");
  JwkSet set;
  for (const auto& jwk : **listed) {
    if (set.keys_.size() == kMaxKeys) break;
    if (auto key = VerificationKey::from_jwk(jwk)) set.keys_.push_back(*std::move(key));
  }
  set.skipped_ = (*listed)->size() - set.keys_.size();
  return set;
}

Result<void> JwkSet::verify(const CompactJws& token) const {
  return token.kid ? verify_named(token) : verify_unnamed(token);
}

Result<void> JwkSet::verify_named(const CompactJws& token) const {
  std::vector<const VerificationKey*> fitting;
  bool found = false;
  for (const auto& key : keys_) {
    if (key.kid() != token.kid) continue;
    found = true;
    if (key.fits(token.algorithm)) fitting.push_back(&key);
  }
  const std::string name = "\"" + printable(*token.kid, 64) + "\"";
  if (!found) {
    return refused("key_not_found", "its key " + name + " is none of the server's " +
                                        std::to_string(keys_.size()) + " keys (" +
                                        std::to_string(skipped_) + " more cannot be used)");
  }
  if (fitting.empty()) {
    return refused("key_mismatch", "the server's key " + name + " is not for the algorithm " +
                                       std::string(to_string(token.algorithm)));
  }
  if (!any_verifies(fitting, token)) return bad_signature();
  return {};
}

Result<void> JwkSet::verify_unnamed(const CompactJws& token) const {
  std::vector<const VerificationKey*> fitting;
  for (const auto& key : keys_) {
    if (key.fits(token.algorithm)) fitting.push_back(&key);
  }
  if (fitting.empty()) {
    return refused("key_not_found", "none of the server's " + std::to_string(keys_.size()) +
                                        " keys is for the algorithm " +
                                        std::string(to_string(token.algorithm)) + " (" +
                                        std::to_string(skipped_) + " more cannot be used)");
  }
  if (fitting.size() > 1) {
    return refused("kid_missing", "it names no key, and the server has several for its algorithm");
  }
  if (!any_verifies(fitting, token)) return bad_signature();
  return {};
}

Result<JwkSet> process_jwks_response(std::string_view jwks_uri, const HttpResponse& response) {
  if (response.status != 200) {
    Error error = bad_answer(
        jwks_uri, "status",
        "the answer was HTTP " + std::to_string(response.status) + ", and only 200 is allowed");
    error.http_status = response.status;
    return error;
  }
  if (!has_json_content(response)) {
    return bad_answer(jwks_uri, "content_type", "the answer's content type is not JSON");
  }
  return JwkSet::parse(response.body.expose());
}

}  // namespace latchkey
