// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
module latchkey.strategy.static_token;
import latchkey.core.error;
import latchkey.core.secret;
import latchkey.session;
import latchkey.strategy;

namespace latchkey {
namespace {

constexpr std::size_t kMaxToken = 32 * 1024;

Error bad_token(std::string_view fact, const std::string& why) {
  return make_error(ErrorCode::invalid_argument, "static_token." + std::string(fact),
                    "cannot use the token: " + why + "; check where it was copied from");
}

Result<void> check_token(const SecretString& token) {
  const auto text = token.expose();
  if (text.empty()) return bad_token("empty", "it is empty");
  if (text.size() > kMaxToken) return bad_token("too_long", "it is over 32 KiB");
  if (std::any_of(text.begin(), text.end(), [](char c) { return c <= 0x20 || c >= 0x7f; })) {
    return bad_token("characters", "it has spaces, line ends or characters that no header carries");
  }
  return {};
}

}  // namespace

Result<std::shared_ptr<StaticTokenStrategy>> StaticTokenStrategy::create(SecretString token) {
  if (auto checked = check_token(token); !checked) return std::move(checked).error();
  std::string fingerprint = token_fingerprint(token);
  return std::shared_ptr<StaticTokenStrategy>(new StaticTokenStrategy(
      AuthToken{.access_token = std::move(token), .fingerprint = std::move(fingerprint)}));
}

Result<AuthToken> StaticTokenStrategy::get_token(const TokenOptions&) {
  return token_.clone();
}

Result<OAuthSession> static_token_session(std::string subject, std::string client_id,
                                          SecretString token) {
  if (auto checked = check_token(token); !checked) return std::move(checked).error();
  OAuthSession session;
  session.subject = std::move(subject);
  session.client_id = std::move(client_id);
  session.token_type = "Bearer";
  session.access_token = std::move(token);
  return session;
}

}  // namespace latchkey
