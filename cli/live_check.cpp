// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
module latchkey.cli.live_check;
import latchkey.cli.account;
import latchkey.cli.options;
import latchkey.cli.workspace;
import latchkey.core.error;
import latchkey.core.url;
import latchkey.http;
import latchkey.http.policy;
import latchkey.oauth.scope;
import latchkey.oidc.discovery;
import latchkey.refresh.authorized;
import latchkey.refresh.context;
import latchkey.refresh.keeper;
import latchkey.session;

namespace latchkey::cli {
namespace {

constexpr std::string_view kWhoAmI = "/xrpc/com.atproto.server.getSession";

// A transport that lets nothing take longer than what is left: discovery has limits of its own.
class Hurried final : public HttpTransport {
 public:
  Hurried(std::shared_ptr<HttpTransport> inner, std::chrono::milliseconds limit)
      : inner_(std::move(inner)), limit_(limit) {}
  Result<HttpResponse> send(const HttpRequest& request, const SendOptions& options) override {
    SendOptions hurried = options;
    hurried.timeout = std::min(options.timeout, limit_);
    return inner_->send(request, hurried);
  }

 private:
  std::shared_ptr<HttpTransport> inner_;
  std::chrono::milliseconds limit_;
};

bool has_openid(const SessionSummary& session) {
  const auto scope = ScopeSet::parse(session.scope);
  return scope && scope->contains("openid") && !session.issuer.empty();
}

// Where to ask; empty: nowhere.
Result<std::optional<Url>> place_to_ask(const Account& account, const Options& options,
                                        std::chrono::milliseconds left) {
  const SessionSummary& session = account.summary();
  std::string text;
  if (account.atproto() != nullptr) {
    const auto pds = Url::parse(session.resource_server);
    if (!pds) return pds.error();
    auto url = pds->with_target(kWhoAmI);
    return url ? Result<std::optional<Url>>(*std::move(url)) : std::move(url).error();
  }
  if (!has_openid(session)) return std::optional<Url>();
  Hurried transport(account.keeper().context().transport, left);
  const auto provider = discover_openid(transport, session.issuer,
                                        {.http_rule = http_rule_of(options), .stop = options.stop});
  if (!provider) return provider.error();
  if (provider->userinfo_endpoint.empty()) return std::optional<Url>();
  auto url = Url::parse(provider->userinfo_endpoint);
  return url ? Result<std::optional<Url>>(*std::move(url)) : std::move(url).error();
}

}  // namespace

LiveCheck::LiveCheck(const Workspace& workspace, const Options& options,
                     std::chrono::milliseconds limit)
    : workspace_(workspace),
      options_(options),
      deadline_(std::chrono::steady_clock::now() + limit) {}

std::chrono::milliseconds LiveCheck::left() const {
  const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
      deadline_ - std::chrono::steady_clock::now());
  return std::max(left, std::chrono::milliseconds{1});
}

Result<void> LiveCheck::operator()(const SessionSummary& session) {
  // Not even the profile's file is read any more.
  if (std::chrono::steady_clock::now() >= deadline_) {
    return make_error(ErrorCode::timeout, "check.timeout",
                      "the servers were not asked: the time for all checks is over; run latchkey "
                      "status --check again");
  }
  auto account = Account::of(workspace_, options_, session);
  if (!account) return std::move(account).error();
  account->give_notice();
  auto fresh = account->keeper().fresh(session.subject, {.timeout = left(), .stop = options_.stop});
  if (!fresh) return std::move(fresh).error();
  const auto place = place_to_ask(*account, options_, left());
  if (!place) return place.error();
  if (!*place) return {};
  SendOptions limits = resource_limits(options_.stop);
  limits.timeout = left();
  const auto answer = send_authorized(
      account->keeper(), session.subject,
      [&](const SessionSummary&) -> Result<HttpRequest> { return json_get(**place); }, Repeat::safe,
      limits);
  if (!answer) return answer.error();
  if (answer->status == 200) return {};
  Error error = make_error(ErrorCode::resource_error, "check.refused",
                           (*place)->origin() + " answered with status " +
                               std::to_string(answer->status) + "; log in again if this lasts");
  error.http_status = answer->status;
  return error;
}

}  // namespace latchkey::cli
