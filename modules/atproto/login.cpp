// SPDX-License-Identifier: MIT
module;
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
module latchkey.atproto.login;
import latchkey.atproto.discovery;
import latchkey.atproto.identity;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.secret;
import latchkey.core.time;
import latchkey.flows.code_login;
import latchkey.flows.grant;
import latchkey.flows.web_login;
import latchkey.oauth.authorization;
import latchkey.oauth.client_metadata;
import latchkey.oauth.scope;
import latchkey.oauth.token;
import latchkey.refresh.keeper;
import latchkey.session;

namespace latchkey {
namespace {

Result<std::string> requested_scope(const ClientIdentity& client, std::string_view wanted) {
  if (wanted.empty()) return client.scope;
  auto asked = ScopeSet::parse(wanted);
  if (!asked) return std::move(asked).error();
  const auto declared = ScopeSet::parse(client.scope);
  if (!declared || !declared->covers(*asked) || !asked->contains("atproto")) {
    return make_error(ErrorCode::invalid_argument, "login.scope",
                      "cannot ask for these permissions: they must contain atproto and be declared "
                      "by the client");
  }
  return asked->text();
}

// Whose answer it is, and whether the server may say so (C5.5 to C5.10).
Result<OAuthSession> judge(AtprotoDiscovery& discovery, const TokenAnswer& answer,
                           const PendingLogin& pending, TimePoint requested_at,
                           std::stop_token stop) {
  if (auto good = check_atproto_token(answer, pending.expected_subject); !good) {
    return std::move(good).error();
  }
  OAuthSession session = new_session(answer, terms_of(pending), requested_at);
  session.subject = answer.sub;
  if (!pending.expected_subject.empty()) return session;
  // The server said who logged in: is it the one that may say so? (C5.8)
  auto pds = discovery.confirm_authority(session.subject, session.issuer, stop);
  if (!pds) return std::move(pds).error();
  session.resource_server = *std::move(pds);
  session.handle = discovery.display_handle(session.subject, std::move(stop));
  return session;
}

Result<CodeRequest> request_for(const ClientIdentity& client, const LoginTarget& target,
                                const std::string& redirect_uri, std::string_view wanted_scope) {
  if (!allows_redirect(client, redirect_uri)) {
    return make_error(ErrorCode::invalid_argument, "login.redirect",
                      "cannot log in with the redirect " + printable(redirect_uri, 200) +
                          ": the client does not declare it");
  }
  auto scope = requested_scope(client, wanted_scope);
  if (!scope) return std::move(scope).error();
  return CodeRequest{.server = target.server,
                     .redirect_uri = redirect_uri,
                     .scope = *std::move(scope),
                     .binding = TokenBinding::dpop,
                     .iss_required = true,
                     .login_hint = target.login_hint,
                     .subject = target.identity.did,
                     .handle = target.identity.handle,
                     .resource_server = target.pds};
}

// A choice among several is the caller's.
std::string redirect_of(const ClientIdentity& client, const AuthorizeOptions& options) {
  const bool only_one = options.redirect_uri.empty() && client.redirect_uris.size() == 1;
  return only_one ? client.redirect_uris.front() : options.redirect_uri;
}

}  // namespace

AtprotoLogin::AtprotoLogin(std::shared_ptr<SessionKeeper> keeper,
                           std::shared_ptr<AtprotoDiscovery> discovery, ClientIdentity client)
    : discovery_(std::move(discovery)),
      client_(std::move(client)),
      login_(std::move(keeper),
             [discovery = discovery_](const TokenAnswer& answer, const PendingLogin& pending,
                                      TimePoint requested_at, std::stop_token stop) {
               return judge(*discovery, answer, pending, requested_at, std::move(stop));
             }) {}

Result<BegunLogin> AtprotoLogin::begin(const LoginTarget& target, const LoginBeginning& beginning) {
  auto request = request_for(client_, target, beginning.redirect_uri, beginning.scope);
  if (!request) return std::move(request).error();
  request->app_state = beginning.app_state;
  return login_.begin(*request, beginning.stop);
}

Result<BegunLogin> AtprotoLogin::authorize(const LoginTarget& target,
                                           const AuthorizeOptions& options) {
  auto request = request_for(client_, target, redirect_of(client_, options), options.scope);
  if (!request) return std::move(request).error();
  if (auto good = add_web_options(options, client_.auth_method, *request); !good) {
    return std::move(good).error();
  }
  return login_.begin(*request, options.stop);
}

CallbackOutcome AtprotoLogin::callback(std::string_view query, const SecretString& browser_binding,
                                       std::stop_token stop) {
  return callback_outcome(login_.answer(query, browser_binding, std::move(stop)));
}

Result<std::shared_ptr<const OAuthSession>> AtprotoLogin::finish(std::string_view query,
                                                                 std::stop_token stop) {
  return login_.finish(query, std::move(stop));
}

void AtprotoLogin::abandon(std::string_view state) {
  login_.abandon(state);
}

}  // namespace latchkey
