// SPDX-License-Identifier: MIT
module;
#include <string>
#include <string_view>
#include <utility>
#include <vector>
module latchkey.sandbox.metadata;
import latchkey.core.json;
import latchkey.sandbox.clients;
import latchkey.sandbox.jose;
import latchkey.sandbox.message;

namespace latchkey::sandbox {
namespace {

std::string alg_names() {
  return json_strings(
      {std::string(to_string(JwsAlg::rs256)), std::string(to_string(JwsAlg::es256))});
}

JsonMembers common(std::string_view issuer) {
  const auto at = [&](std::string_view path) {
    return json_quote(std::string(issuer) + std::string(path));
  };
  return {{"issuer", json_quote(issuer)},
          {"authorization_endpoint", at("/oauth/authorize")},
          {"token_endpoint", at("/oauth/token")},
          {"pushed_authorization_request_endpoint", at("/oauth/par")},
          {"revocation_endpoint", at("/oauth/revoke")},
          {"device_authorization_endpoint", at("/oauth/device")},
          {"jwks_uri", at("/oauth/jwks")},
          {"scopes_supported",
           json_strings({"atproto", "transition:email", "transition:generic",
                         "transition:chat.bsky", "openid", "profile", "email", "offline_access"})},
          {"response_types_supported", json_strings({"code"})},
          {"response_modes_supported", json_strings({"query"})},
          {"grant_types_supported",
           json_strings({"authorization_code", "refresh_token", std::string(kDeviceGrant)})},
          {"code_challenge_methods_supported", json_strings({"S256"})},
          {"token_endpoint_auth_methods_supported",
           json_strings({"none", "private_key_jwt", "client_secret_basic", "client_secret_post"})},
          {"token_endpoint_auth_signing_alg_values_supported", alg_names()},
          {"dpop_signing_alg_values_supported", json_strings({"ES256"})},
          {"authorization_response_iss_parameter_supported", "true"}};
}

}  // namespace

std::string authorization_server_metadata(std::string_view issuer, std::string_view pds) {
  auto members = common(issuer);
  members.emplace_back("protected_resources", json_strings({std::string(pds)}));
  members.emplace_back("require_pushed_authorization_requests", "true");
  members.emplace_back("client_id_metadata_document_supported", "true");
  return json_object(members);
}

std::string openid_configuration(std::string_view issuer) {
  auto members = common(issuer);
  members.emplace_back("userinfo_endpoint", json_quote(std::string(issuer) + "/oauth/userinfo"));
  members.emplace_back("subject_types_supported", json_strings({"public"}));
  members.emplace_back("id_token_signing_alg_values_supported", alg_names());
  members.emplace_back("claims_supported",
                       json_strings({"iss", "sub", "aud", "exp", "iat", "auth_time", "nonce",
                                     "at_hash", "preferred_username", "email", "email_verified"}));
  members.emplace_back("prompt_values_supported",
                       json_strings({"none", "login", "consent", "select_account"}));
  members.emplace_back("request_parameter_supported", "false");
  members.emplace_back("request_uri_parameter_supported", "false");
  members.emplace_back("claims_parameter_supported", "false");
  return json_object(members);
}

}  // namespace latchkey::sandbox
