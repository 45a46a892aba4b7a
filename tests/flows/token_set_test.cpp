// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <concepts>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

import latchkey.core;
import latchkey.flows.token_set;
import latchkey.oauth.token;
import latchkey.oidc.id_token;
import latchkey.test.flow_world;
import latchkey.test.outcome;
import latchkey.test.refresh_world;

using namespace latchkey;
using namespace latchkey::test;
using namespace std::chrono_literals;

namespace {

template <class Tokens>
constexpr bool has_claims = requires(const Tokens& tokens) { tokens.claims(); };

// G-44, LA-60: claims can only be had from what a validator has seen.
static_assert(has_claims<TokenSet<Validated>>);
static_assert(!has_claims<TokenSet<Unvalidated>>);
static_assert(!std::constructible_from<TokenSet<Validated>, GrantedTokens, IdTokenClaims>);
static_assert(!std::constructible_from<TokenSet<Validated>, GrantedTokens>);
static_assert(!std::constructible_from<TokenSet<Validated>, TokenSet<Unvalidated>>);
static_assert(!std::default_initializable<TokenSet<Validated>>);
static_assert(!std::is_copy_constructible_v<TokenSet<Validated>>);
static_assert(std::constructible_from<TokenSet<Unvalidated>, GrantedTokens>);

TokenSet<Unvalidated> tokens(std::optional<std::chrono::seconds> expires_in = 100s) {
  TokenAnswer answer{.access_token = SecretString("access"),
                     .token_type = "dpop",
                     .expires_in = expires_in,
                     .refresh_token = SecretString("refresh"),
                     .id_token = SecretString("the.id.token"),
                     .scope = "read",
                     .sub = {}};
  answer.others.emplace_back("team", SecretString(R"({"id":"T1"})"));
  return TokenSet<Unvalidated>(GrantedTokens(std::move(answer), kNow, "read write", "jkt-1"));
}

TokenSet<Unvalidated> bare() {
  return TokenSet<Unvalidated>(GrantedTokens({.access_token = SecretString("access"),
                                              .token_type = "Bearer",
                                              .expires_in = {},
                                              .refresh_token = {},
                                              .id_token = {},
                                              .scope = {},
                                              .sub = {}},
                                             kNow, "read write"));
}

}  // namespace

TEST_CASE("token set: it shows what the answer granted", "[token_set]") {
  const auto set = tokens();
  CHECK(set.access_token().expose() == std::string_view("access"));
  CHECK(set.token_type() == "DPoP");
  CHECK(set.scope() == "read");
  CHECK(set.refresh_token()->expose() == std::string_view("refresh"));
  CHECK(set.raw_id_token()->expose() == std::string_view("the.id.token"));
  CHECK(set.issued_at() == kNow);
  CHECK(set.dpop_jkt() == "jkt-1");
  CHECK(set.other_member("team")->expose() == std::string_view(R"({"id":"T1"})"));
  CHECK(set.other_members().size() == 1);
}

TEST_CASE("token set: what the answer left out is null, and the scope the requested one",
          "[token_set]") {
  const auto set = bare();
  CHECK(set.refresh_token() == nullptr);
  CHECK(set.raw_id_token() == nullptr);
  CHECK(set.other_member("team") == nullptr);
  CHECK(set.scope() == "read write");
  CHECK(set.dpop_jkt().empty());
}

TEST_CASE("LA-62: tokens are expired exactly at their expiry, and never if it is unknown",
          "[token_set]") {
  const auto set = tokens();
  CHECK(set.expires_at() == kNow + 100s);
  CHECK_FALSE(set.is_expired(kNow + 99'999ms));
  CHECK(set.is_expired(kNow + 100s));
  CHECK(set.is_expired(kNow + 1000h));
  CHECK_FALSE(bare().expires_at());
  CHECK_FALSE(bare().is_expired(kNow + 1000h));
}

TEST_CASE("LA-63: a refresh is due exactly at the threshold, and once they are expired",
          "[token_set]") {
  const auto set = tokens();
  CHECK_FALSE(set.needs_refresh(kNow + 39'999ms));
  CHECK(set.needs_refresh(kNow + 40s));
  CHECK(set.needs_refresh(kNow + 100s));
  CHECK(set.needs_refresh(kNow, 100s));
  CHECK_FALSE(set.needs_refresh(kNow, 99s));
  CHECK_FALSE(bare().needs_refresh(kNow + 1000h));
}

TEST_CASE("LA-60: a validator's answer makes a token set a validated one", "[token_set]") {
  ToldValidator validator;
  const auto set =
      validate(tokens(), validator,
               {.issuer = "https://op.test", .client_id = "c", .nonce = "n", .subject = {}})
          .value();
  CHECK(set.claims().subject == "alice-1");
  CHECK(set.access_token().expose() == std::string_view("access"));
  CHECK(validator.token == "the.id.token");
  CHECK(validator.nonce == "n");
  CHECK(validator.access_token == "access");
}

TEST_CASE("LA-60: what a validator refuses, or does not look at, stays unvalidated",
          "[token_set]") {
  ToldValidator validator;
  validator.refusal = make_error(ErrorCode::token_invalid, "id_token.signature", "no");
  CHECK(outcome(validate(tokens(), validator, {})) == "token_invalid id_token.signature");
  validator.refusal.reset();
  CHECK(outcome(validate(bare(), validator, {})) == "token_invalid token.id_token_missing");
  validator.signature = false;
  validator.asked = 0;
  CHECK(outcome(validate(tokens(), validator, {})) ==
        "invalid_argument id_token.signature_unchecked");
  CHECK(validator.asked == 0);
}
