// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <memory>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
module latchkey.strategy.access_key;
import latchkey.core.crypto;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.secret;
import latchkey.core.time;
import latchkey.flows.client_credentials;
import latchkey.flows.grant;
import latchkey.flows.key_exchange;
import latchkey.http;
import latchkey.http.policy;
import latchkey.oauth.client_auth;
import latchkey.oauth.token;
import latchkey.session;
import latchkey.strategy;
import latchkey.strategy.renewal;

namespace latchkey {
namespace {

Error bad_key(std::string_view fact, const std::string& why) {
  return make_error(ErrorCode::invalid_argument, "access_key." + std::string(fact),
                    "cannot use the access key: " + why + "; copy it again from where it was made");
}

// A program's own token is nobody's: where it came from stands for whose it is, unless a store has
// a name for it.
GrantTerms terms_of(std::string endpoint, std::string scope, std::string client_id) {
  GrantTerms terms;
  terms.subject = endpoint;
  terms.server.token_endpoint = std::move(endpoint);
  terms.client_id = std::move(client_id);
  terms.scope = std::move(scope);
  return terms;
}

RenewalOptions renewal_options(std::string purpose, const GrantTerms& terms, TokenSource source,
                               ObtainingOptions options) {
  return {.purpose = std::move(purpose),
          .source = std::move(source),
          .is_ours =
              [endpoint = terms.server.token_endpoint,
               client_id = terms.client_id](const OAuthSession& stored) {
                return stored.token_endpoint == endpoint && stored.client_id == client_id;
              },
          .store = std::move(options.store),
          .clock = std::move(options.clock),
          .random = std::move(options.random),
          .on_warning = std::move(options.on_warning)};
}

Result<OAuthSession> exchange_key(const KeyExchange& exchange, const GrantTerms& terms,
                                  HttpTransport& transport, const Clock& clock,
                                  std::stop_token stop) {
  const auto request = build_key_exchange_request(exchange);
  if (!request) return request.error();
  const TimePoint requested_at = clock.now();
  const auto response = transport.send(*request, token_limits(stop));
  if (!response) return response.error();
  const auto answer = process_token_response("key_exchange", *response, clock.now());
  if (!answer) return answer.error();
  auto session = session_from_grant(*answer, terms, requested_at, std::move(stop));
  // The key is what the next token is obtained with.
  if (session) session->refresh_token.reset();
  return session;
}

}  // namespace

Result<AccessKey> AccessKey::parse(const SecretString& text, std::string_view prefix) {
  auto rest = text.expose();
  if (!rest.starts_with(prefix)) {
    return bad_key("missing_prefix", "it does not begin with " + printable(prefix, 32));
  }
  rest.remove_prefix(prefix.size());
  const auto dot = rest.find('.');
  if (dot == std::string_view::npos) {
    return bad_key("missing_dot", "it has no dot between its id and its secret");
  }
  if (dot == 0) return bad_key("empty_key_id", "there is no id before its dot");
  if (dot + 1 == rest.size()) return bad_key("empty_secret", "there is no secret after its dot");
  if (std::any_of(rest.begin(), rest.end(), [](char c) { return c <= 0x20 || c >= 0x7f; })) {
    return bad_key("characters", "it has spaces, line ends or non-ASCII characters");
  }
  return AccessKey{.id = std::string(rest.substr(0, dot)),
                   .secret = SecretString(rest.substr(dot + 1))};
}

std::shared_ptr<AccessKeyStrategy> AccessKeyStrategy::with_client_credentials(
    std::string client_id, ClientCredentialsRequest request,
    std::shared_ptr<ClientAuthenticator> client, ObtainingOptions options) {
  if (!options.clock) options.clock = std::make_shared<SystemClock>();
  const GrantTerms terms = terms_of(request.token_endpoint, request.scope, std::move(client_id));
  auto source = [request = std::move(request), client = std::move(client), terms,
                 transport = options.transport, clock = options.clock](
                    const OAuthSession*, std::stop_token stop) -> Result<OAuthSession> {
    auto token = obtain_client_credentials_token(*transport, request, *client, *clock, stop);
    if (!token) return std::move(token).error();
    return session_from_grant(token->answer, terms, token->issued_at, std::move(stop));
  };
  return std::shared_ptr<AccessKeyStrategy>(
      new AccessKeyStrategy(renewal_options("obtain a token with the client's credentials", terms,
                                            std::move(source), std::move(options))));
}

std::shared_ptr<AccessKeyStrategy> AccessKeyStrategy::with_key_exchange(KeyExchange exchange,
                                                                        ObtainingOptions options) {
  if (!options.clock) options.clock = std::make_shared<SystemClock>();
  // Which key a stored token is from can be told without keeping the key.
  const GrantTerms terms =
      terms_of(exchange.endpoint, "", "access-key:" + token_fingerprint(exchange.key));
  // A std::function is copied, a secret is not.
  auto shared = std::make_shared<const KeyExchange>(std::move(exchange));
  auto source = [shared, terms, transport = options.transport, clock = options.clock](
                    const OAuthSession*, std::stop_token stop) {
    return exchange_key(*shared, terms, *transport, *clock, std::move(stop));
  };
  return std::shared_ptr<AccessKeyStrategy>(new AccessKeyStrategy(
      renewal_options("exchange the access key", terms, std::move(source), std::move(options))));
}

Result<AuthToken> AccessKeyStrategy::get_token(const TokenOptions& options) {
  const auto session = renewal_.get(options);
  if (!session) return session.error();
  return auth_token_of(**session);
}

}  // namespace latchkey
