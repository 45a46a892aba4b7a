// SPDX-License-Identifier: MIT
module;
#include <sodium.h>
#include <algorithm>
#include <chrono>
#include <cstddef>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
module latchkey.oauth.token;
import latchkey.atproto.identifier;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.json;
import latchkey.core.secret;
import latchkey.core.time;
import latchkey.http;
import latchkey.oauth.authorization;
import latchkey.oauth.client_auth;
import latchkey.oauth.scope;
import latchkey.session;

namespace latchkey {
namespace {

constexpr std::size_t kMaxToken = 32 * 1024;
constexpr std::size_t kMaxTokenType = 64;
constexpr std::chrono::seconds kMaxExpiry = std::chrono::hours(24 * 366);
constexpr std::chrono::seconds kMaxAtprotoExpiry = std::chrono::hours(24);

bool equals_ignoring_case(std::string_view a, std::string_view b) {
  const auto lower = [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  };
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [&](char x, char y) { return lower(x) == lower(y); });
}

bool is_header_safe(std::string_view text, std::size_t max) {
  return !text.empty() && text.size() <= max &&
         std::all_of(text.begin(), text.end(), [](char c) { return c > 0x20 && c < 0x7f; });
}

Error answer_error(std::string_view step, std::string_view fact, const std::string& why) {
  return make_error(ErrorCode::invalid_response, std::string(step) + "." + std::string(fact),
                    "cannot use the " + std::string(step) + " answer: " + why);
}

Error refused(std::string_view fact, const std::string& why) {
  return make_error(ErrorCode::token_invalid, "token." + std::string(fact),
                    "token answer refused: " + why);
}

// Reads one token; absent is allowed.
Result<std::optional<SecretString>> read_token(JsonObject& object, std::string_view step,
                                               std::string_view name) {
  auto token = object.take_secret(name);
  if (!token || !*token || is_header_safe((*token)->expose(), kMaxToken)) return token;
  return answer_error(step, "bad_token",
                      "its " + std::string(name) +
                          " is empty, over 32 KiB, or has characters that no header may carry");
}

Result<std::optional<std::chrono::seconds>> read_expiry(const JsonObject& object,
                                                        std::string_view step) {
  const auto seconds = object.number("expires_in");
  if (!seconds) return seconds.error();
  if (!*seconds) return std::nullopt;
  if (!(**seconds >= 1) || **seconds > static_cast<double>(kMaxExpiry.count())) {
    return answer_error(step, "expires_in", "its expires_in is under a second or over 366 days");
  }
  return std::optional(std::chrono::seconds(static_cast<std::chrono::seconds::rep>(**seconds)));
}

// What nobody here asks for, kept for the program. The text may be a secret, and so is its copy.
std::vector<std::pair<std::string, SecretString>> other_members(const JsonObject& object) {
  static constexpr std::string_view known[] = {
      "access_token", "token_type", "refresh_token", "id_token", "expires_in", "scope", "sub"};
  std::vector<std::pair<std::string, SecretString>> others;
  for (std::string& name : object.names()) {
    if (std::find(std::begin(known), std::end(known), name) != std::end(known)) continue;
    auto text = object.json_text(name).value_or("");
    others.emplace_back(std::move(name), SecretString(text));
    if (!text.empty()) sodium_memzero(text.data(), text.size());
  }
  return others;
}

Result<std::string> read_type(const JsonObject& object, std::string_view default_type) {
  if (default_type.empty()) return object.required_string("token_type");
  auto type = object.string("token_type");
  if (!type) return std::move(type).error();
  return std::move(*type).value_or(std::string(default_type));
}

Error not_mapped(std::string_view step, const Error& why) {
  return answer_error(step, "not_mapped",
                      "the program's mapping refused it (" + std::string(to_string(why.code)) +
                          ", " + printable(why.detail, 100) + ")");
}

// A mapper is not trusted to look at what it moves.
Result<void> check_tokens(const TokenAnswer& answer, std::string_view step) {
  const auto good = [](const std::optional<SecretString>& token) {
    return !token || is_header_safe(token->expose(), kMaxToken);
  };
  if (is_header_safe(answer.access_token.expose(), kMaxToken) &&
      is_header_safe(answer.token_type, kMaxTokenType) && good(answer.refresh_token) &&
      good(answer.id_token) &&
      (!answer.expires_in ||
       (answer.expires_in->count() >= 1 && *answer.expires_in <= kMaxExpiry))) {
    return {};
  }
  return answer_error(
      step, "bad_token",
      "the program's mapping gave no access token or token_type, one that no header "
      "may carry, or an expiry under a second or over 366 days");
}

Result<void> check_subject(const TokenAnswer& answer, std::string_view expected_subject) {
  if (answer.sub.empty()) return refused("sub_missing", "it does not say whose it is (sub)");
  if (!parse_did(answer.sub)) {
    return refused("sub_malformed", "its sub " + printable(answer.sub, 100) + " is not a DID");
  }
  if (!expected_subject.empty() && answer.sub != expected_subject) {
    return refused("sub_mismatch", "it is for " + printable(answer.sub, 100) +
                                       ", and the login began with " +
                                       printable(expected_subject, 100));
  }
  return {};
}

}  // namespace

std::string canonical_token_type(std::string_view type) {
  if (equals_ignoring_case(type, "dpop")) return "DPoP";
  if (equals_ignoring_case(type, "bearer")) return "Bearer";
  return std::string(type);
}

Result<HttpRequest> build_code_exchange(const PendingLogin& pending, const SecretString& code,
                                        ClientAuthenticator& client) {
  auto url = parse_endpoint(pending.token_endpoint, "token");
  if (!url) return std::move(url).error();
  ClientRequest request{.url = *std::move(url)};
  request.form.add("grant_type", "authorization_code")
      .add("code", code.expose())
      .add("redirect_uri", pending.redirect_uri)
      .add("code_verifier", pending.code_verifier.expose());
  for (const std::string& resource : pending.resources) request.form.add("resource", resource);
  return finish_request(std::move(request), client, pending.issuer, pending.client_auth_kid);
}

Result<HttpRequest> build_refresh_request(const OAuthSession& session, ClientAuthenticator& client,
                                          const std::vector<std::string>& resources) {
  if (!session.refresh_token || session.refresh_token->empty()) {
    return make_error(ErrorCode::login_required, "refresh.no_refresh_token",
                      "cannot renew the session of " + printable(session.subject, 100) +
                          ": it has no refresh token; log in again");
  }
  if (client.method() != session.client_auth_method) {
    return make_error(ErrorCode::client_mismatch, "refresh.auth_method",
                      "cannot renew the session of " + printable(session.subject, 100) +
                          ": the client authenticates in another way than at its login; use the "
                          "client it was made with");
  }
  auto url = parse_endpoint(session.token_endpoint, "refresh");
  if (!url) return std::move(url).error();
  ClientRequest request{.url = *std::move(url)};
  request.form.add("grant_type", "refresh_token")
      .add("refresh_token", session.refresh_token->expose());
  for (const std::string& resource : resources) request.form.add("resource", resource);
  return finish_request(std::move(request), client, session.issuer, session.client_auth_kid);
}

Result<TokenAnswer> read_token_answer(JsonObject& object, std::string_view step,
                                      std::string_view default_type) {
  auto access = read_token(object, step, "access_token");
  if (!access) return std::move(access).error();
  if (!*access) return object.missing("access_token");
  auto type = read_type(object, default_type);
  if (!type) return std::move(type).error();
  if (!is_header_safe(*type, kMaxTokenType)) {
    return answer_error(step, "bad_token", "its token_type is not a word");
  }
  auto refresh = read_token(object, step, "refresh_token");
  if (!refresh) return std::move(refresh).error();
  auto id_token = read_token(object, step, "id_token");
  if (!id_token) return std::move(id_token).error();
  auto expires_in = read_expiry(object, step);
  if (!expires_in) return std::move(expires_in).error();
  auto scope = object.string("scope");
  if (!scope) return std::move(scope).error();
  auto sub = object.string("sub");
  if (!sub) return std::move(sub).error();
  return TokenAnswer{.access_token = std::move(**access),
                     .token_type = std::move(*type),
                     .expires_in = *expires_in,
                     .refresh_token = std::move(*refresh),
                     .id_token = std::move(*id_token),
                     .scope = std::move(*scope),
                     .sub = std::move(*sub).value_or(""),
                     .others = other_members(object)};
}

Result<TokenAnswer> process_token_response(std::string_view step, const HttpResponse& response,
                                           TimePoint now, const TokenAnswerMapper& map) {
  if (response.status != 200) return oauth_error(step, response, now);
  auto object = JsonObject::parse(response.body.expose(), ErrorCode::invalid_response, step);
  if (!object) {
    if (has_json_content(response)) return std::move(object).error();
    return answer_error(step, "content_type", "its content type is not JSON, nor is its content");
  }
  // Some servers answer errors with 200.
  if (object->contains("error") && !object->contains("access_token")) {
    return oauth_error(step, response, now);
  }
  if (!map) return read_token_answer(*object, step);
  auto answer = map(*object);
  if (!answer) return not_mapped(step, answer.error());
  if (auto good = check_tokens(*answer, step); !good) return std::move(good).error();
  return answer;
}

Result<void> check_atproto_token(const TokenAnswer& answer, std::string_view expected_subject) {
  if (!equals_ignoring_case(answer.token_type, "dpop")) {
    return refused("type", "its token_type is " + printable(answer.token_type, 32) +
                               ", and ATProto allows only DPoP");
  }
  if (auto checked = check_subject(answer, expected_subject); !checked) return checked;
  if (!answer.scope || answer.scope->empty()) {
    return refused("scope_missing", "it does not say what was granted (scope)");
  }
  const auto scope = ScopeSet::parse(*answer.scope);
  if (!scope || !scope->contains("atproto")) {
    return refused("scope_without_atproto", "the scope granted does not have atproto");
  }
  if (answer.expires_in && *answer.expires_in > kMaxAtprotoExpiry) {
    return refused("expires_in", "it is said to be valid for more than a day");
  }
  if (answer.id_token)
    return refused("unexpected_id_token", "it has an id token, which nobody asked for");
  return {};
}

OAuthSession session_from_refresh(const OAuthSession& before, TokenAnswer answer,
                                  TimePoint requested_at) {
  OAuthSession session;
  static_cast<SessionSummary&>(session) = before;
  session.revision = {};
  session.state = SessionState::active;
  session.state_cause.clear();
  session.state_changed_at = std::nullopt;
  session.token_type = canonical_token_type(answer.token_type);
  if (answer.scope) session.scope = std::move(*answer.scope);
  session.issued_at = requested_at;
  session.expires_at = std::nullopt;
  if (answer.expires_in) session.expires_at = requested_at + *answer.expires_in;
  // How long a new refresh token lives is not said; what was known is true of the old one only.
  if (answer.refresh_token) session.refresh_expires_at = std::nullopt;
  session.access_token = std::move(answer.access_token);
  session.refresh_token =
      answer.refresh_token ? std::move(answer.refresh_token) : clone(before.refresh_token);
  session.id_token = answer.id_token ? std::move(answer.id_token) : clone(before.id_token);
  return session;
}

}  // namespace latchkey
