// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <array>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
module latchkey.sandbox.authorization_request;
import latchkey.atproto.identifier;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.oauth.client_metadata;
import latchkey.oauth.scope;
import latchkey.sandbox.client_auth;
import latchkey.sandbox.clients;
import latchkey.sandbox.message;
import latchkey.sandbox.permissions;
import latchkey.session;

namespace latchkey::sandbox {
namespace {

constexpr std::size_t kMaxState = 512;
constexpr std::size_t kMaxNonce = 512;
constexpr std::size_t kChallengeSize = 43;
constexpr std::size_t kThumbprintSize = 43;
constexpr std::size_t kMaxAgeDigits = 9;

bool is_base64url(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_';
  });
}

bool is_digits(std::string_view text) {
  return !text.empty() &&
         std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

/// Reads the parameters of one request.
struct Reader {
  const FormFields& form;
  const Client& client;
  std::string_view step;

  [[nodiscard]] Error refuse(std::string_view name, std::string_view what,
                             std::string description) const {
    return refusal(name, std::string(step) + '.' + std::string(what), std::move(description));
  }
  [[nodiscard]] Error invalid(std::string_view what, std::string description) const {
    return refuse("invalid_request", what, std::move(description));
  }

  [[nodiscard]] Result<void> check_response() const {
    for (const std::string_view name : {"request", "request_uri"}) {
      if (field(form, name)) {
        return invalid("request_uri", "a request must not name another, or hold one");
      }
    }
    if (!client.allows_grant("authorization_code")) {
      return refuse("unauthorized_client", "grant_type", "the client does not register for codes");
    }
    if (field(form, "response_type") != "code") {
      return refuse("unsupported_response_type", "response_type", "response_type must be code");
    }
    if (field(form, "response_mode").value_or("query") != "query") {
      return invalid("response_mode", "response_mode must be query");
    }
    return {};
  }

  [[nodiscard]] Result<std::string> challenge() const {
    auto challenge = required_field(form, step, "code_challenge");
    if (!challenge) return challenge;
    if (field(form, "code_challenge_method") != "S256") {
      return invalid("code_challenge_method", "code_challenge_method must be S256");
    }
    if (challenge->size() != kChallengeSize || !is_base64url(*challenge)) {
      return invalid("code_challenge", "code_challenge is no SHA-256 in base64url");
    }
    return challenge;
  }

  [[nodiscard]] Result<std::string> state() const {
    auto state = required_field(form, step, "state");
    if (state && state->size() > kMaxState) return invalid("state", "state is over 512 characters");
    return state;
  }

  [[nodiscard]] Result<std::string> hint() const {
    const auto hint = field(form, "login_hint");
    if (!hint) return std::string();
    // In OpenID Connect it may be anything, an e-mail address for one.
    if (client.atproto && !parse_did(*hint) && !parse_handle(*hint)) {
      return invalid("login_hint", "login_hint is neither a handle nor a DID");
    }
    return *hint;
  }

  // OpenID Connect Core §3.1.2.1; the ATProto profile has it too.
  [[nodiscard]] Result<std::string> prompt() const {
    constexpr std::array<std::string_view, 4> kPrompts{"none", "login", "consent",
                                                       "select_account"};
    const auto prompt = field(form, "prompt");
    if (!prompt) return std::string();
    const auto words = ScopeSet::parse(*prompt);
    const bool known =
        words && std::all_of(words->tokens().begin(), words->tokens().end(), [&](const auto& word) {
          return std::find(kPrompts.begin(), kPrompts.end(), word) != kPrompts.end();
        });
    if (!known || (words->contains("none") && words->tokens().size() > 1)) {
      return invalid("prompt", "prompt must be none, or of login, consent and select_account");
    }
    if (client.atproto && client.identity.auth_method == ClientAuthMethod::none &&
        words->contains("none")) {
      return invalid("prompt", "public clients can't ask for prompt=none");
    }
    return *prompt;
  }

  [[nodiscard]] Result<std::string> nonce() const {
    auto nonce = field(form, "nonce").value_or("");
    if (nonce.size() > kMaxNonce) return invalid("nonce", "nonce is over 512 characters");
    const auto age = field(form, "max_age");
    // Nobody stays signed in here, so every login is young enough.
    if (age && (!is_digits(*age) || age->size() > kMaxAgeDigits)) {
      return invalid("max_age", "max_age must be a number of seconds");
    }
    return nonce;
  }

  // RFC 9449 §10: the key that the code will be bound to.
  [[nodiscard]] Result<std::string> jkt(const std::string& proven) const {
    const auto named = field(form, "dpop_jkt");
    if (!named) return proven;
    if (!proven.empty() && *named != proven) {
      return invalid("dpop_jkt", "dpop_jkt is not the key of the proof");
    }
    if (named->size() != kThumbprintSize || !is_base64url(*named)) {
      return invalid("dpop_jkt", "dpop_jkt is no thumbprint");
    }
    return *named;
  }
};

}  // namespace

Result<std::string> read_redirect(const FormFields& form, const Caller& caller,
                                  std::string_view step) {
  auto redirect = required_field(form, step, "redirect_uri");
  if (redirect && !allows_redirect(caller.client->identity, *redirect)) {
    return refusal("invalid_request", std::string(step) + ".redirect_uri",
                   "redirect_uri is not one of the client's");
  }
  return redirect;
}

Result<std::string> read_scope(const FormFields& form, const Client& client,
                               std::string_view step) {
  const Reader reader{form, client, step};
  auto scope = required_field(form, step, "scope");
  if (!scope) return scope;
  const auto asked = ScopeSet::parse(*scope), declared = ScopeSet::parse(client.identity.scope);
  if (!asked) return reader.refuse("invalid_scope", "scope", "scope is malformed");
  if (client.atproto && !asked->contains("atproto")) {
    return reader.refuse("invalid_scope", "scope_without_atproto", "scope must contain atproto");
  }
  if (!declared || !declared->covers(*asked)) {
    return reader.refuse("invalid_scope", "scope_not_declared", "scope is more than the client's");
  }
  return client.atproto ? known_scope(*scope) : asked->text();
}

Result<AuthorizationRequest> read_request(const FormFields& form, Caller caller,
                                          std::string redirect_uri, std::string_view step) {
  const auto client = caller.client;
  const Reader reader{form, *client, step};
  if (auto good = reader.check_response(); !good) return std::move(good).error();
  AuthorizationRequest out{.caller = std::move(caller),
                           .redirect_uri = std::move(redirect_uri),
                           .scope = {},
                           .state = {},
                           .code_challenge = {}};
  const std::pair<Result<std::string>, std::string*> parts[] = {
      {reader.challenge(), &out.code_challenge},
      {read_scope(form, *client, step), &out.scope},
      {reader.state(), &out.state},
      {reader.hint(), &out.login_hint},
      {reader.prompt(), &out.prompt},
      {reader.nonce(), &out.nonce},
      {reader.jkt(out.caller.jkt), &out.caller.jkt}};
  for (const auto& [value, into] : parts) {
    if (!value) return value.error();
    *into = *value;
  }
  return out;
}

}  // namespace latchkey::sandbox
