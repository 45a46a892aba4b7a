// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
module latchkey.oauth.authorization;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.json;
import latchkey.core.secret;
import latchkey.core.time;
import latchkey.http;

namespace latchkey {
namespace {

constexpr std::size_t kMaxErrorName = 64;
constexpr std::size_t kMaxShown = 512;
// Tokens, codes, assertions and request URIs are longer than this, a did:plc identifier (24) is
// not.
constexpr std::size_t kTokenLike = 32;

// Servers put what they refused into their descriptions. Long runs of token characters are cut out.
std::string without_tokens(std::string_view text) {
  constexpr std::string_view token_characters =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~+/=";
  std::string out;
  while (!text.empty()) {
    const auto run = std::min(text.find_first_not_of(token_characters), text.size());
    if (run >= kTokenLike) {
      out += "[...]";
    } else {
      out += text.substr(0, run);
    }
    text.remove_prefix(run);
    const auto rest = std::min(text.find_first_of(token_characters), text.size());
    out += text.substr(0, rest);
    text.remove_prefix(rest);
  }
  return out;
}

// An error name as the RFCs have them. A long one with digits may be anything, a token included.
bool is_plain_word(std::string_view text) {
  const bool known_characters = std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
  });
  return !text.empty() && text.size() <= kMaxErrorName && known_characters &&
         (text.size() < kTokenLike || text.find_first_of("0123456789") == std::string_view::npos);
}

struct OAuthBody {
  std::string error;
  OAuthErrorBody shown;
};

std::optional<OAuthBody> read_body(const HttpResponse& response) {
  if (!has_json_content(response)) return std::nullopt;
  const auto object =
      JsonObject::parse(response.body.expose(), ErrorCode::invalid_response, "error");
  if (!object) return std::nullopt;
  auto error = object->required_string("error");
  if (!error) return std::nullopt;
  // The error alone decides; texts for people may be wrong without consequence.
  const auto text = [&](std::string_view name) {
    auto value = object->string(name);
    return value && *value ? std::move(**value) : std::string{};
  };
  auto shown = shown_error(*error, text("error_description"), text("error_uri"));
  return OAuthBody{std::move(*error), std::move(shown)};
}

struct Judgement {
  ErrorCode code;
  std::string fact;
  std::string_view remedy;
};

Judgement judge(int status, const std::optional<OAuthBody>& body) {
  if (status >= 500) {
    return {ErrorCode::provider_error, "server_error", "the server has a problem; try again later"};
  }
  if (status == 429) return {ErrorCode::rate_limited, "rate_limited", "wait, then try again"};
  // Proxies and redirects do not speak OAuth, whatever they send. 200 is there for servers that
  // answer errors so.
  if (!body || (status != 200 && (status < 400 || status > 499))) {
    return {ErrorCode::invalid_response, "status", "this is not an answer that OAuth knows"};
  }
  if (!is_plain_word(body->error)) {
    return {ErrorCode::provider_error, "unknown_error", "the server named no error that is known"};
  }
  struct Known {
    std::string_view error;
    ErrorCode code;
    std::string_view remedy;
  };
  static constexpr Known known[] = {
      {"invalid_grant", ErrorCode::invalid_grant, "log in again"},
      {"invalid_client", ErrorCode::invalid_client, "check the client_id and how it authenticates"},
      {"access_denied", ErrorCode::access_denied, "the user or the server said no"},
      {"invalid_dpop_proof", ErrorCode::dpop_refused, "check the clock of this machine"},
      {"use_dpop_nonce", ErrorCode::dpop_refused, "the server wants yet another nonce; try again"},
  };
  for (const auto& [error, code, remedy] : known) {
    if (body->error == error) return {code, body->error, remedy};
  }
  return {ErrorCode::provider_error, body->error, "see what the server says"};
}

}  // namespace

OAuthErrorBody shown_error(std::string_view error, std::string_view description,
                           std::string_view uri) {
  const auto shown = [](std::string_view text) {
    return printable(without_tokens(text), kMaxShown);
  };
  const auto name = is_plain_word(error) ? std::string(error) : without_tokens(error);
  return {printable(name, kMaxErrorName), shown(description), shown(uri)};
}

Error oauth_error(std::string_view step, const HttpResponse& response, TimePoint now) {
  auto body = read_body(response);
  auto [code, fact, remedy] = judge(response.status, body);
  std::string message =
      std::string(step) + " failed: the server answered HTTP " + std::to_string(response.status);
  if (body) message += " " + body->shown.error;
  if (body && !body->shown.error_description.empty()) {
    message += " (" + body->shown.error_description + ")";
  }
  message += "; " + std::string(remedy);
  Error error = make_error(code, std::string(step) + "." + fact, std::move(message));
  if (body) error.oauth = std::move(body->shown);
  error.http_status = response.status;
  error.retry_after = retry_after(response, now);
  return error;
}

}  // namespace latchkey
