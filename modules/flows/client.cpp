// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
module latchkey.flows.client;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.secret;
import latchkey.core.time;
import latchkey.core.url;
import latchkey.flows.client_options;
import latchkey.flows.code_login;
import latchkey.flows.grant;
import latchkey.flows.interaction;
import latchkey.flows.login_page;
import latchkey.flows.resource_call;
import latchkey.flows.tracing;
import latchkey.flows.web_login;
import latchkey.http;
import latchkey.loopback.pages;
import latchkey.oauth.authorization;
import latchkey.oauth.token;
import latchkey.oidc.id_token;
import latchkey.refresh.context;
import latchkey.refresh.keeper;
import latchkey.session;

namespace latchkey {

struct OAuthClient::Impl {
  OAuthClientOptions options;
  std::shared_ptr<SessionKeeper> keeper;
  std::unique_ptr<CodeLogin> login;
  std::set<std::string, std::less<>> origins{};  // that get the access token

  Result<void> check_subject(std::string_view subject) const;
  Result<BegunLogin> begin(std::string_view subject, const LoginInteraction& interaction,
                           const std::string& redirect_uri);
  Result<BegunLogin> authorize(std::string_view subject, const AuthorizeOptions& web);
};

namespace {

// A resource that is no URL has no origin to send anything to.
std::set<std::string, std::less<>> origins_of(const OAuthClientOptions& options) {
  std::set<std::string, std::less<>> origins(options.allowed_origins.begin(),
                                             options.allowed_origins.end());
  for (const std::string& resource : options.resources) {
    if (const auto url = Url::parse(resource)) origins.insert(url->origin());
  }
  return origins;
}

}  // namespace

OAuthClient::OAuthClient(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}

Result<OAuthClient> OAuthClient::create(OAuthClientOptions options) {
  if (!options.store) {
    return make_error(
        ErrorCode::invalid_argument, "client.store_missing",
        "cannot make a client: it has no store for sessions; set OAuthClientOptions::store");
  }
  if (auto good = check_client_options(options); !good) return std::move(good).error();
  auto context = make_context(options);
  if (!context) return std::move(context).error();
  auto impl = std::make_shared<Impl>();
  impl->keeper = std::make_shared<SessionKeeper>(*std::move(context));
  impl->login = std::make_unique<CodeLogin>(
      impl->keeper,
      [validator = options.validator](const TokenAnswer& answer, const PendingLogin& pending,
                                      TimePoint requested_at, std::stop_token stop) {
        GrantTerms terms = terms_of(pending);
        terms.validator = validator;
        return session_from_grant(answer, terms, requested_at, std::move(stop));
      },
      options.map_answer,
      OwnServer{.issuer = options.server.issuer, .token_endpoint = options.server.token_endpoint});
  impl->origins = origins_of(options);
  impl->options = std::move(options);
  return OAuthClient(std::move(impl));
}

Result<void> OAuthClient::Impl::check_subject(std::string_view subject) const {
  if (!subject.empty() || options.validator) return {};
  return make_error(ErrorCode::invalid_argument, "login.subject_missing",
                    "cannot log in: without an id token nobody says whose session it is; give it "
                    "a name of your own");
}

Result<BegunLogin> OAuthClient::Impl::begin(std::string_view subject,
                                            const LoginInteraction& interaction,
                                            const std::string& redirect_uri) {
  auto request = make_code_request(options, interaction.scope, redirect_uri);
  if (!request) return std::move(request).error();
  request->subject = subject;
  return login->begin(*request, interaction.stop);
}

Result<SessionSummary> OAuthClient::login(std::string_view subject,
                                          const LoginInteraction& interaction) {
  if (auto named = impl_->check_subject(subject); !named) return std::move(named).error();
  std::shared_ptr<const OAuthSession> session;
  auto done = run_login(place_of(impl_->options), interaction,
                        {.begin =
                             [&](const std::string& redirect_uri) {
                               return impl_->begin(subject, interaction, redirect_uri);
                             },
                         .finish = [&](std::string_view query) -> Result<SuccessContext> {
                           auto saved = impl_->login->finish(query, interaction.stop);
                           if (!saved) return std::move(saved).error();
                           session = *std::move(saved);
                           return describe_login(*session, identity_check(impl_->options),
                                                 impl_->options.clock->now());
                         },
                         .abandon = [&](std::string_view state) { impl_->login->abandon(state); }});
  if (!done) return std::move(done).error();
  return static_cast<const SessionSummary&>(*session);
}

Result<BegunLogin> OAuthClient::authorize(std::string_view subject,
                                          const AuthorizeOptions& options) {
  return traced_beginning(impl_->options.tracer,
                          [&] { return impl_->authorize(subject, options); });
}

Result<BegunLogin> OAuthClient::Impl::authorize(std::string_view subject,
                                                const AuthorizeOptions& web) {
  if (auto named = check_subject(subject); !named) return std::move(named).error();
  if (web.redirect_uri.empty()) {
    return make_error(ErrorCode::invalid_argument, "login.redirect_missing",
                      "cannot log in: nobody said where the browser comes back; set "
                      "AuthorizeOptions::redirect_uri");
  }
  auto request = make_code_request(options, web.scope, web.redirect_uri);
  if (!request) return std::move(request).error();
  request->subject = subject;
  const ClientAuthMethod method = keeper->context().client->method();
  if (auto good = add_web_options(web, method, *request); !good) return std::move(good).error();
  return login->begin(*request, web.stop);
}

CallbackOutcome OAuthClient::callback(std::string_view query, const SecretString& browser_binding,
                                      std::stop_token stop) {
  return traced_callback(impl_->options.tracer, [&] {
    return callback_outcome(impl_->login->answer(query, browser_binding, std::move(stop)));
  });
}

Result<HttpResponse> OAuthClient::request(std::string_view subject, std::string method,
                                          std::string_view url, std::string content_type,
                                          std::string_view body, std::stop_token stop) const {
  const auto target = Url::parse(url);
  if (!target) return target.error();
  if (!impl_->origins.contains(target->origin())) {
    return make_error(ErrorCode::insecure_address, "resource.other_origin",
                      "cannot send the access token to " + printable(target->origin(), 200) +
                          ": it is neither of a resource that the tokens are for nor an allowed "
                          "origin; add it to the client's options if it may see the token");
  }
  return call_resource(*impl_->keeper, subject,
                       {.method = std::move(method),
                        .content_type = std::move(content_type),
                        .body = body,
                        .stop = std::move(stop)},
                       [&](const SessionSummary&) { return target; });
}

Result<std::shared_ptr<const OAuthSession>> OAuthClient::fresh(std::string_view subject,
                                                               const FreshOptions& options) const {
  return impl_->keeper->fresh(subject, options);
}

Result<LogoutOutcome> OAuthClient::logout(std::string_view subject,
                                          const LogoutOptions& options) const {
  return impl_->keeper->logout(subject, options);
}

SessionKeeper& OAuthClient::keeper() const noexcept {
  return *impl_->keeper;
}

std::shared_ptr<SessionKeeper> OAuthClient::shared_keeper() const noexcept {
  return impl_->keeper;
}

const OAuthClientOptions& OAuthClient::options() const noexcept {
  return impl_->options;
}

}  // namespace latchkey
