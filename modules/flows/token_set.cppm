// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
export module latchkey.flows.token_set;
import latchkey.core.error;
import latchkey.core.secret;
import latchkey.core.time;
import latchkey.oauth.token;
import latchkey.oidc.id_token;

// Tokens in the hand of a program that keeps them itself. Whether the id token among them was
// verified is part of their type: only TokenSet<Validated> says who logged in, and only a
// validator's answer makes one.

export namespace latchkey {

/// What a token answer granted, read only. Move-only. Safe to read from several threads.
class GrantedTokens {
 public:
  /// `requested_at`: before the request was sent, so that the expiry is never late.
  /// `requested_scope` counts if the answer names none (RFC 6749 §5.1). `dpop_jkt`: the key that
  /// the tokens are bound to; empty: none.
  GrantedTokens(TokenAnswer answer, TimePoint requested_at, std::string requested_scope,
                std::string dpop_jkt = {});

  [[nodiscard]] const SecretString& access_token() const noexcept { return answer_.access_token; }
  /// "Bearer" or "DPoP", or what the server calls it.
  [[nodiscard]] const std::string& token_type() const noexcept { return answer_.token_type; }
  [[nodiscard]] const std::string& scope() const noexcept { return scope_; }
  /// Null if there is none.
  [[nodiscard]] const SecretString* refresh_token() const noexcept;
  /// As it came, for a program that hands it to its own backend; null if there is none.
  [[nodiscard]] const SecretString* raw_id_token() const noexcept;
  [[nodiscard]] TimePoint issued_at() const noexcept { return issued_at_; }
  /// Empty: the server did not say.
  [[nodiscard]] std::optional<TimePoint> expires_at() const noexcept;
  /// now >= expires_at; false if that is not known.
  [[nodiscard]] bool is_expired(TimePoint now) const noexcept;
  /// Remaining time <= threshold; false if the expiry is not known.
  [[nodiscard]] bool needs_refresh(TimePoint now,
                                   Duration threshold = std::chrono::seconds{60}) const noexcept;
  /// Members that OAuth does not know, with their JSON text.
  [[nodiscard]] const std::vector<std::pair<std::string, SecretString>>& other_members()
      const noexcept {
    return answer_.others;
  }
  /// The JSON text of one of them; null if it is not there.
  [[nodiscard]] const SecretString* other_member(std::string_view name) const noexcept;
  /// RFC 7638 thumbprint of the key that the tokens are bound to; empty for Bearer.
  [[nodiscard]] const std::string& dpop_jkt() const noexcept { return dpop_jkt_; }

 private:
  TokenAnswer answer_;
  TimePoint issued_at_;
  std::string scope_;
  std::string dpop_jkt_;
};

struct Unvalidated {};  ///< nobody has verified the id token, or there is none
struct Validated {};    ///< a validator has said that the id token is genuine

template <class V>
class TokenSet;

template <>
class TokenSet<Unvalidated> : public GrantedTokens {
 public:
  explicit TokenSet(GrantedTokens tokens) : GrantedTokens(std::move(tokens)) {}
};

template <>
class TokenSet<Validated> : public GrantedTokens {
 public:
  [[nodiscard]] const IdTokenClaims& claims() const noexcept { return claims_; }

 private:
  friend Result<TokenSet<Validated>> validate(TokenSet<Unvalidated> tokens,
                                              IdTokenValidator& validator,
                                              IdTokenExpectations expectations,
                                              std::stop_token stop);
  TokenSet(GrantedTokens tokens, IdTokenClaims claims)
      : GrantedTokens(std::move(tokens)), claims_(std::move(claims)) {}

  IdTokenClaims claims_;
};

/// The claims of the id token, as far as `validator` goes. The access token of `tokens` is the one
/// that the id token must go with, whatever `expectations` names. Errors: token_invalid,
/// "token.id_token_missing"; those of IdTokenValidator::validate.
[[nodiscard]] Result<IdTokenClaims> read_claims(const GrantedTokens& tokens,
                                                IdTokenValidator& validator,
                                                IdTokenExpectations expectations,
                                                std::stop_token stop = {});

/// The only way to a TokenSet<Validated>. Errors: invalid_argument, "id_token.signature_unchecked"
/// (the validator does not check it); those of read_claims.
[[nodiscard]] Result<TokenSet<Validated>> validate(TokenSet<Unvalidated> tokens,
                                                   IdTokenValidator& validator,
                                                   IdTokenExpectations expectations,
                                                   std::stop_token stop = {});

}  // namespace latchkey
