// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
module latchkey.sandbox.client_auth;
import latchkey.core.crypto;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.json;
import latchkey.core.time;
import latchkey.dpop.replay;
import latchkey.sandbox.clients;
import latchkey.sandbox.jose;
import latchkey.sandbox.message;
import latchkey.session;

namespace latchkey::sandbox {
namespace {

using std::chrono::seconds;

constexpr seconds kMaxAge{60};       // C8.2
constexpr seconds kMaxLifetime{60};  // C8.2
constexpr seconds kMaxLead{30};      // clocks differ
constexpr std::size_t kMaxJti = 512;
constexpr std::size_t kRemembered = 100'000;
constexpr std::string_view kAssertionType =
    "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// What HTTP Basic says (RFC 6749 §2.3.1): both parts form-encoded.
struct Basic {
  std::string client_id, secret;
};

std::optional<std::string> decode_base64(std::string text) {
  while (text.ends_with('=')) text.pop_back();
  for (char& c : text) c = c == '+' ? '-' : c == '/' ? '_' : c;
  const auto bytes = base64url_decode(text);
  if (!bytes) return std::nullopt;
  return std::string(as_text(*bytes));
}

std::optional<std::string> decode_form_text(std::string_view text) {
  const auto fields = form_decode("x=" + std::string(text));
  if (!fields || fields->size() != 1) return std::nullopt;
  return fields->front().second;
}

// Empty members where the header is there and can't be read.
std::optional<Basic> basic_of(const Request& request) {
  constexpr std::string_view kScheme = "Basic ";
  const auto headers = request.headers.all("Authorization");
  if (headers.empty() || !same_word(headers[0].substr(0, kScheme.size()), kScheme)) {
    return std::nullopt;
  }
  if (headers.size() > 1) return Basic{};
  const auto pair = decode_base64(std::string(headers[0].substr(kScheme.size())));
  const auto colon = pair ? pair->find(':') : std::string::npos;
  if (colon == std::string::npos) return Basic{};
  const auto client_id = decode_form_text(std::string_view(*pair).substr(0, colon));
  const auto secret = decode_form_text(std::string_view(*pair).substr(colon + 1));
  return Basic{client_id.value_or(""), secret.value_or("")};
}

/// Refusals of one step. A client that tried HTTP Basic is told so by a 401 (RFC 6749 §5.2).
struct Refusal {
  std::string_view step;
  int status = 400;
  [[nodiscard]] std::string detail(std::string_view what) const {
    return std::string(step) + '.' + std::string(what);
  }
  [[nodiscard]] Error operator()(std::string_view what, std::string description) const {
    return refusal("invalid_client", detail(what), std::move(description), status);
  }
};

// The registered one and no other.
bool uses_method(ClientAuthMethod method, const FormFields& form, bool has_basic) {
  const bool assertion = field(form, "client_assertion").has_value() ||
                         field(form, "client_assertion_type").has_value();
  const bool secret = field(form, "client_secret").has_value();
  return has_basic == (method == ClientAuthMethod::client_secret_basic) &&
         secret == (method == ClientAuthMethod::client_secret_post) &&
         assertion == (method == ClientAuthMethod::private_key_jwt);
}

struct Claims {
  std::string iss, sub, jti, aud;
  TimePoint iat, exp;
};

// Every one must be there; an aud that is a list is none that we take.
std::optional<Claims> read_claims(const JsonObject& object) {
  Claims out;
  for (const auto& [name, into] :
       {std::pair{"iss", &out.iss}, std::pair{"sub", &out.sub}, std::pair{"jti", &out.jti}}) {
    auto text = object.required_string(name);
    if (!text) return std::nullopt;
    *into = *std::move(text);
  }
  const auto aud = object.string("aud");
  if (aud) out.aud = aud->value_or("");
  for (const auto& [name, into] : {std::pair{"iat", &out.iat}, std::pair{"exp", &out.exp}}) {
    const auto time = object.integer(name);
    constexpr std::int64_t kEndOfTime = 253'402'300'800;  // the year 10000
    if (!time || !*time || **time < 0 || **time >= kEndOfTime) return std::nullopt;
    *into = TimePoint(seconds(**time));
  }
  if (out.jti.size() > kMaxJti) return std::nullopt;
  return out;
}

// The key of the client that the header names, if the signature is its.
Result<const VerifyingKey*> check_signature(const CompactJws& jws, const Client& client,
                                            const Refusal& refuse) {
  const auto text = [&](std::string_view name) {
    const auto value = jws.header.string(name);
    return value ? value->value_or("") : std::string();
  };
  const auto alg = parse_alg(text("alg"));
  if (!alg || (client.assertion_alg && *client.assertion_alg != *alg)) {
    return refuse("assertion_alg", "the assertion's alg is not the client's");
  }
  if (jws.header.contains("crit")) {
    return refuse("assertion_crit", "the assertion has critical extensions");
  }
  const std::string kid = text("kid");
  const auto key = std::find_if(client.keys.begin(), client.keys.end(), [&](const auto& one) {
    return one.kid() == kid && one.alg() == *alg;
  });
  if (key == client.keys.end()) {
    return refuse("assertion_kid", "the assertion's kid is not in the client's jwks");
  }
  if (!key->verifies(jws.signed_text, jws.signature)) {
    return refuse("assertion_signature", "the assertion's signature is wrong");
  }
  return &*key;
}

Result<void> check_times(const Claims& claims, TimePoint now, const Refusal& refuse) {
  if (claims.iat > now + kMaxLead) {
    return refuse("assertion_future", "the assertion is from the future");
  }
  if (claims.exp <= now || claims.iat + kMaxAge < now) {
    return refuse("assertion_expired", "the assertion is over");
  }
  if (claims.exp <= claims.iat || claims.exp - claims.iat > kMaxLifetime) {
    return refuse("assertion_lifetime", "the assertion must be good for 60 seconds at most");
  }
  return {};
}

}  // namespace

ClientGate::ClientGate(const Clients& clients, std::shared_ptr<Clock> clock, std::string issuer)
    : clients_(clients), clock_(std::move(clock)), issuer_(std::move(issuer)), seen_(kRemembered) {}

std::shared_ptr<const Client> ClientGate::named(const Request& request,
                                                const FormFields& form) const {
  const auto basic = basic_of(request);
  return clients_.find(basic ? basic->client_id : field(form, "client_id").value_or(""));
}

Result<Caller> ClientGate::authenticate(const Request& request, const FormFields& form,
                                        std::string_view jkt, std::string_view step) {
  const auto basic = basic_of(request);
  const Refusal refuse{.step = step, .status = basic ? 401 : 400};
  const auto in_form = field(form, "client_id");
  if (!basic && !in_form) return required_field(form, step, "client_id").error();
  if (basic && in_form && *in_form != basic->client_id) {
    return refusal("invalid_request", refuse.detail("client_id_differs"),
                   "the client_id is another than in the Authorization header");
  }
  Caller caller{.client = named(request, form), .key = {}, .jkt = std::string(jkt)};
  if (!caller.client) {
    return refuse("client_id", "client_id is neither registered nor a loopback client");
  }
  const Client& client = *caller.client;
  const auto method = client.identity.auth_method;
  if (!uses_method(method, form, basic.has_value())) {
    return refuse("client_authentication", method == ClientAuthMethod::none
                                               ? "a public client must not authenticate"
                                               : "the client must use its registered method, once");
  }
  if (method == ClientAuthMethod::private_key_jwt) {
    auto key = check_assertion(client, form, jkt, step);
    if (!key) return std::move(key).error();
    caller.key = *std::move(key);
  } else if (method != ClientAuthMethod::none) {
    const std::string secret = basic ? basic->secret : field(form, "client_secret").value_or("");
    if (!constant_time_equal(secret, client.secret)) {
      return refuse("client_secret", "the client_secret is wrong");
    }
  }
  return caller;
}

Result<std::string> ClientGate::check_assertion(const Client& client, const FormFields& form,
                                                std::string_view jkt, std::string_view step) {
  const Refusal refuse{.step = step};
  if (field(form, "client_assertion_type") != kAssertionType) {
    return refuse("assertion_type", "client_assertion_type must be jwt-bearer");
  }
  const auto jws = parse_jws(field(form, "client_assertion").value_or(""));
  if (!jws) return refuse("assertion_malformed", "client_assertion is no JWT");
  const auto key = check_signature(*jws, client, refuse);
  if (!key) return key.error();
  const auto claims = read_claims(jws->claims);
  if (!claims) {
    return refuse("assertion_claims", "the assertion lacks iss, sub, jti, iat or exp");
  }
  if (claims->iss != client.identity.client_id || claims->sub != client.identity.client_id) {
    return refuse("assertion_iss", "the assertion's iss and sub must be the client_id");
  }
  if (claims->aud != issuer_) {
    return refuse("assertion_aud", "the assertion's aud must be the issuer");
  }
  const TimePoint now = clock_->now();
  if (auto good = check_times(*claims, now, refuse); !good) return std::move(good).error();
  if ((*key)->thumbprint() == jkt) {
    return refuse("assertion_dpop_key", "the key of DPoP proofs must not sign assertions");
  }
  switch (seen_.remember(client.identity.client_id, claims->jti, claims->exp, now)) {
    case ReplayCache::Outcome::replayed:
      return refuse("assertion_replayed", "the assertion was used before");
    case ReplayCache::Outcome::quota:
    case ReplayCache::Outcome::full:
      return refusal("temporarily_unavailable", refuse.detail("assertion_cache_full"),
                     "too many assertions", 503);
    case ReplayCache::Outcome::first_use:
      break;
  }
  return (*key)->thumbprint();
}

}  // namespace latchkey::sandbox
