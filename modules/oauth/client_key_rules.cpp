// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <array>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
module latchkey.oauth.client_key_rules;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.json;
import latchkey.core.url;
import latchkey.dpop.jwk;
import latchkey.oauth.client_finding;

namespace latchkey {
namespace {

using Findings = std::vector<ClientFinding>;
constexpr std::string_view kRule = "C1.8";

void add(Findings& findings, std::string_view name, std::string message) {
  findings.push_back(client_finding(kRule, name, std::move(message)));
}

// The text of a member, or nothing: what has the wrong type is as good as absent.
std::optional<std::string> text_of(const JsonObject& object, std::string_view name) {
  const auto value = object.string(name);
  return value ? *value : std::nullopt;
}

// RFC 7518 §6: what a private key has and a public one has not.
bool is_private(const JsonObject& key) {
  constexpr std::array<std::string_view, 7> kPrivate{"d", "p", "q", "dp", "dq", "qi", "k"};
  return std::any_of(kPrivate.begin(), kPrivate.end(),
                     [&](std::string_view name) { return key.contains(name); });
}

std::optional<std::vector<JsonObject>> keys_of(const JsonObject& document) {
  const auto set = document.object("jwks");
  if (!set || !*set) return std::nullopt;
  const auto keys = (*set)->objects("keys");
  return keys ? *keys : std::nullopt;
}

void check_private(const std::vector<JsonObject>& keys, Findings& findings) {
  if (std::any_of(keys.begin(), keys.end(), is_private)) {
    add(findings, "private_key",
        "jwks publishes a private key: everybody can be this client now; remove it, and make a new "
        "key");
  }
}

// True if ES256 signatures can be checked with it.
bool signs_es256(const JsonObject& key, Findings& findings) {
  if (text_of(key, "kty") != "EC" || text_of(key, "crv") != "P-256") return false;
  const auto alg = text_of(key, "alg"), use = text_of(key, "use");
  if ((alg && *alg != "ES256") || (use && *use != "sig")) return false;
  const std::string jwk = R"({"kty":"EC","crv":"P-256","x":)" +
                          json_quote(text_of(key, "x").value_or("")) + R"(,"y":)" +
                          json_quote(text_of(key, "y").value_or("")) + "}";
  if (parse_p256_jwk(jwk)) return true;
  add(findings, "key",
      "the key " + printable(text_of(key, "kid").value_or(""), 64) + " of jwks is no P-256 key");
  return false;
}

void check_kids(const std::vector<JsonObject>& keys, Findings& findings) {
  std::set<std::string> kids;
  for (const JsonObject& key : keys) {
    const std::string kid = text_of(key, "kid").value_or("");
    if (kid.empty()) {
      add(findings, "kid_missing", "every key of jwks must have a kid: assertions name theirs");
    } else if (!kids.insert(kid).second) {
      add(findings, "kid_twice", "two keys of jwks have the kid " + printable(kid, 64));
    }
  }
}

void check_jwks(const JsonObject& document, Findings& findings) {
  const auto keys = keys_of(document);
  if (!keys) return add(findings, "jwks", "jwks must be a JWK Set: {\"keys\": [...]}");
  if (keys->empty()) return add(findings, "no_keys", "jwks must have a key");
  check_private(*keys, findings);
  check_kids(*keys, findings);
  const auto usable = std::count_if(keys->begin(), keys->end(), [&](const JsonObject& key) {
    return signs_es256(key, findings);
  });
  if (usable == 0) {
    add(findings, "no_es256_key", "jwks must have a P-256 key for ES256, which all servers know");
  }
}

void check_alg(const JsonObject& document, Findings& findings) {
  const auto alg = text_of(document, "token_endpoint_auth_signing_alg");
  if (!alg) {
    add(findings, "alg_missing", "token_endpoint_auth_signing_alg must be ES256");
  } else if (*alg == "none") {
    add(findings, "alg_none",
        "token_endpoint_auth_signing_alg must not be none: anybody could be this client");
  } else if (*alg != "ES256") {
    add(findings, "alg",
        "token_endpoint_auth_signing_alg must be ES256, not " + printable(*alg, 20));
  }
}

void check_secret(const JsonObject& document, Findings& findings) {
  if (!document.contains("client_secret")) return;
  findings.push_back(client_finding("C1.9", "secret",
                                    "client_secret must go: the document is public, and no server "
                                    "of this profile takes one"));
}

}  // namespace

void check_confidential_client(const JsonObject& document, std::vector<ClientFinding>& findings) {
  check_alg(document, findings);
  check_secret(document, findings);
  const bool inside = document.contains("jwks"), outside = document.contains("jwks_uri");
  if (!inside && !outside) {
    return add(findings, "no_keys", "private_key_jwt needs the public keys: set jwks or jwks_uri");
  }
  if (inside && outside) {
    add(findings, "both_jwks", "jwks and jwks_uri must not both be there; keep one");
  }
  if (outside) {
    const auto url = Url::parse(text_of(document, "jwks_uri").value_or(""));
    if (!url || url->scheme() != "https") {
      add(findings, "jwks_uri", "jwks_uri must be an https URL");
    }
  }
  if (inside) check_jwks(document, findings);
}

void check_public_client(const JsonObject& document, std::vector<ClientFinding>& findings) {
  check_secret(document, findings);
  if (document.contains("token_endpoint_auth_signing_alg")) {
    findings.push_back(client_finding("C1.9", "alg",
                                      "token_endpoint_auth_signing_alg must go: with the method "
                                      "none nothing is signed"));
  }
  if (!document.contains("jwks") && !document.contains("jwks_uri")) return;
  findings.push_back(client_finding("C1.9", "keys",
                                    "the keys are of no use: with the method none nothing is "
                                    "signed; did you mean private_key_jwt?",
                                    ClientFinding::Severity::warning));
  if (const auto keys = keys_of(document)) check_private(*keys, findings);
}

}  // namespace latchkey
