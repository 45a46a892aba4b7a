// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
module latchkey.dpop.guard;
import latchkey.core.error;
import latchkey.core.secret;
import latchkey.core.time;
import latchkey.core.url;
import latchkey.dpop.nonce_issuer;
import latchkey.dpop.verifier;
import latchkey.http;

namespace latchkey {
namespace {

constexpr std::size_t kMaxToken = 32 * 1024;
constexpr std::chrono::seconds kTryAgain{5};

Error refused(ErrorCode code, std::string_view detail, std::string_view cause) {
  return make_error(code, detail,
                    "cannot let the request pass: " + std::string(cause) +
                        "; send one access token as Authorization: DPoP, and a proof");
}

bool is_alphanumeric(char c) {
  return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

bool is_made_of(std::string_view text, std::string_view others) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [others](char c) {
    return is_alphanumeric(c) || others.find(c) != std::string_view::npos;
  });
}

// A token of RFC 9110 §5.6.2.
bool is_scheme(std::string_view text) {
  return is_made_of(text, "!#$%&'*+-.^_`|~");
}

// token68 of RFC 9110 §11.2.
bool is_token68(std::string_view text) {
  if (text.size() > kMaxToken) return false;
  return is_made_of(text.substr(0, text.find_last_not_of('=') + 1), "-._~+/");
}

bool is_dpop(std::string_view scheme) {
  constexpr std::string_view kDpop = "dpop";
  return std::equal(scheme.begin(), scheme.end(), kDpop.begin(), kDpop.end(),
                    [](char a, char b) { return (a >= 'A' && a <= 'Z' ? a - 'A' + 'a' : a) == b; });
}

Result<std::string_view> token_of(const std::vector<std::string_view>& authorization) {
  if (authorization.empty()) {
    return refused(ErrorCode::login_required, "guard.token_missing", "it has no access token");
  }
  if (authorization.size() > 1) {
    return refused(ErrorCode::invalid_argument, "guard.authorization_several",
                   "it has more than one Authorization field");
  }
  const std::string_view field = authorization.front();
  const auto space = field.find(' ');
  const std::string_view scheme = field.substr(0, space);
  const Error malformed = refused(ErrorCode::invalid_argument, "guard.authorization_malformed",
                                  "its Authorization is not a scheme and a token");
  if (!is_scheme(scheme)) return malformed;
  // A token that is bound to a key is good for nothing without the proof (RFC 9449 §7.2), and
  // others are not accepted here.
  if (!is_dpop(scheme)) {
    return refused(ErrorCode::token_invalid, "guard.scheme", "its Authorization is not DPoP");
  }
  const auto token = field.find_first_not_of(' ', scheme.size());
  if (token == std::string_view::npos || !is_token68(field.substr(token))) return malformed;
  return field.substr(token);
}

// The `error` of a challenge; empty where none came into question.
std::string_view challenge_error(const Error& error) {
  if (needs_nonce(error)) return "use_dpop_nonce";
  switch (error.code) {
    case ErrorCode::dpop_refused:
      return "invalid_dpop_proof";
    case ErrorCode::invalid_argument:
      return "invalid_request";
    case ErrorCode::login_required:
      return {};
    default:
      return "invalid_token";
  }
}

bool is_of_the_guard(const Error& error) {
  return error.detail.starts_with("guard.") ||
         (error.code == ErrorCode::dpop_refused && error.detail.starts_with("proof."));
}

// Names and values are ours: neither can be refused.
void set(Headers& headers, std::string_view name, std::string_view value) {
  static_cast<void>(headers.set(name, value).has_value());
}

GuardAnswer unavailable(const Error& error) {
  // One key's holder is told so (RFC 6585 section 4); of all else the server is to blame.
  GuardAnswer answer{.status = error.detail == "proof.key_quota" ? 429 : 503};
  const auto seconds = error.retry_after.value_or(kTryAgain);
  set(answer.headers, "Retry-After", std::to_string(seconds.count()));
  return answer;
}

}  // namespace

DpopGuard::DpopGuard(DpopVerifierOptions options)
    : clock_(options.clock), nonces_(options.nonces), verifier_(std::move(options)) {}

Result<VerifiedProof> DpopGuard::check(const GuardedRequest& request, const TokenLookup& lookup) {
  const auto sent = token_of(request.authorization);
  if (!sent) return sent.error();
  const SecretString token(*sent);
  const auto known = lookup(token);
  if (!known) return known.error();
  if (!*known) {
    return refused(ErrorCode::token_invalid, "guard.token_unknown",
                   "its access token is not known, or over");
  }
  if ((*known)->jkt.empty()) {
    return refused(ErrorCode::token_invalid, "guard.token_unbound",
                   "its access token is bound to no key");
  }
  return verifier_.verify(
      request.dpop,
      {.htm = request.method, .htu = request.url, .access_token = &token, .jkt = (*known)->jkt});
}

GuardAnswer DpopGuard::answer_to(const Error& error) const {
  if (!is_of_the_guard(error)) return unavailable(error);
  GuardAnswer answer{.status = error.code == ErrorCode::invalid_argument ? 400 : 401,
                     .headers = answer_fields()};
  std::string challenge = R"(DPoP algs="ES256")";
  if (const auto name = challenge_error(error); !name.empty()) {
    challenge.append(R"(, error=")").append(name).append(1, '"');
  }
  set(answer.headers, "WWW-Authenticate", challenge);
  return answer;
}

Headers DpopGuard::answer_fields() const {
  Headers headers;
  if (!nonces_) return headers;
  set(headers, "DPoP-Nonce", nonces_->current(clock_->now()));
  set(headers, "Cache-Control", "no-store");
  return headers;
}

}  // namespace latchkey
