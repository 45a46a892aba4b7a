// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <chrono>
#include <memory>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
module latchkey.strategy.app_password;
import latchkey.atproto.identifier;
import latchkey.atproto.xrpc;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.secret;
import latchkey.core.time;
import latchkey.flows.app_password;
import latchkey.http;
import latchkey.http.policy;
import latchkey.session;
import latchkey.session.unverified;
import latchkey.strategy;
import latchkey.strategy.renewal;

namespace latchkey {
namespace {

// A password that was refused does not get better by being asked again.
constexpr std::chrono::seconds kAfterRefusal = std::chrono::minutes{10};

bool is_did(std::string_view identifier) {
  return identifier.starts_with("did:");
}

// Whose the token says it is. A store may have the session under a name of its own.
std::string account_of(const OAuthSession& session) {
  const auto claims = peek_claims(session.access_token);
  return claims ? claims->subject : std::string();
}

}  // namespace

// What logging in takes, and doing it.
struct AppPasswordStrategy::Login {
  AppPasswordOptions options;

  Result<OAuthSession> obtain(const OAuthSession* held, std::stop_token stop) const;
  bool is_ours(const OAuthSession& held) const;

 private:
  Result<OAuthSession> refresh(const OAuthSession& held, std::stop_token stop) const;
  Result<OAuthSession> log_in(std::stop_token stop) const;
  Result<OAuthSession> session_of(Result<AppSession> answer, TimePoint requested_at) const;
};

Result<OAuthSession> AppPasswordStrategy::Login::obtain(const OAuthSession* held,
                                                        std::stop_token stop) const {
  if (held != nullptr && held->refresh_token) {
    auto renewed = refresh(*held, stop);
    if (renewed || renewed.error().code != ErrorCode::invalid_grant) return renewed;
  }
  return log_in(std::move(stop));
}

// What was stored may be of the account or PDS that the configuration had before. An e-mail address
// can't be compared: then the configuration is trusted.
bool AppPasswordStrategy::Login::is_ours(const OAuthSession& held) const {
  if (held.resource_server != options.pds) return false;
  if (is_did(options.identifier)) return account_of(held) == options.identifier;
  const bool e_mail = options.identifier.find('@') != std::string::npos;
  return e_mail || held.handle == options.identifier;
}

Result<OAuthSession> AppPasswordStrategy::Login::refresh(const OAuthSession& held,
                                                         std::stop_token stop) const {
  const auto request = build_refresh_session_request(options.pds, *held.refresh_token);
  if (!request) return request.error();
  const TimePoint requested_at = options.clock->now();
  const auto response = options.transport->send(*request, token_limits(std::move(stop)));
  if (!response) return response.error();
  auto renewed =
      session_of(process_refresh_session_response(*response, options.clock->now()), requested_at);
  if (renewed) renewed->session_started_at = held.session_started_at;
  return renewed;
}

Result<OAuthSession> AppPasswordStrategy::Login::log_in(std::stop_token stop) const {
  const auto request =
      build_create_session_request(options.pds, options.identifier, options.password);
  if (!request) return request.error();
  const TimePoint requested_at = options.clock->now();
  const auto response = options.transport->send(*request, token_limits(std::move(stop)));
  if (!response) return response.error();
  auto begun =
      session_of(process_create_session_response(*response, options.clock->now()), requested_at);
  if (begun || begun.error().code != ErrorCode::access_denied) return begun;
  Error refused = std::move(begun).error();
  refused.retry_after = std::max(refused.retry_after.value_or(kAfterRefusal), kAfterRefusal);
  return refused;
}

Result<OAuthSession> AppPasswordStrategy::Login::session_of(Result<AppSession> answer,
                                                            TimePoint requested_at) const {
  if (!answer) return std::move(answer).error();
  if (is_did(options.identifier) && answer->did != options.identifier) {
    return make_error(ErrorCode::identity_mismatch, "app_password.other_account",
                      "cannot use the session: it is for " + printable(answer->did, 100) +
                          ", and the login was for " + printable(options.identifier, 100));
  }
  return session_from_app_session(*std::move(answer), options.pds, requested_at);
}

AppPasswordStrategy::AppPasswordStrategy(std::shared_ptr<const Login> login)
    : renewal_({.purpose = "log in with the app password",
                .source = [login](const OAuthSession* held,
                                  std::stop_token stop) { return login->obtain(held, stop); },
                .is_ours = [login](const OAuthSession& stored) { return login->is_ours(stored); },
                .store = login->options.store,
                .clock = login->options.clock,
                .random = login->options.random,
                .on_warning = login->options.on_warning}) {}

bool AppPasswordStrategy::refuses(const HttpResponse& response) const {
  if (response.status != 400 && response.status != 401) return false;
  const Error error = xrpc_error("", response, TimePoint{});
  return error.detail == "xrpc.ExpiredToken" || error.detail == "xrpc.InvalidToken";
}

Result<std::shared_ptr<AppPasswordStrategy>> AppPasswordStrategy::create(
    AppPasswordOptions options) {
  if (auto handle = parse_handle(options.identifier)) options.identifier = *std::move(handle);
  // What can't be sent is said now, and not at the first token.
  const auto request =
      build_create_session_request(options.pds, options.identifier, options.password);
  if (!request) return request.error();
  if (!options.clock) options.clock = std::make_shared<SystemClock>();
  auto login = std::make_shared<Login>();
  login->options = std::move(options);
  return std::shared_ptr<AppPasswordStrategy>(new AppPasswordStrategy(std::move(login)));
}

Result<AuthToken> AppPasswordStrategy::get_token(const TokenOptions& options) {
  const auto session = renewal_.get(options);
  if (!session) return session.error();
  return auth_token_of(**session);
}

}  // namespace latchkey
