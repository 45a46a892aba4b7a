// SPDX-License-Identifier: MIT
module;
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
module latchkey.flows.code_flow;
import latchkey.core.error;
import latchkey.core.secret;
import latchkey.core.time;
import latchkey.flows.client_options;
import latchkey.flows.code_login;
import latchkey.flows.environment;
import latchkey.flows.grant;
import latchkey.flows.interaction;
import latchkey.flows.login_page;
import latchkey.flows.token_set;
import latchkey.loopback.pages;
import latchkey.oauth.authorization;
import latchkey.oauth.token;
import latchkey.oidc.claims_only_validator;
import latchkey.oidc.id_token;
import latchkey.refresh.context;

namespace latchkey {
namespace {

// As much of an answer as its revocation needs.
TokenAnswer revocable_part(const TokenAnswer& answer) {
  return {.access_token = answer.access_token.clone(),
          .token_type = answer.token_type,
          .expires_in = {},
          .refresh_token = clone(answer.refresh_token),
          .id_token = {},
          .scope = {},
          .sub = {}};
}

OAuthClientOptions options_in(const CodeFlowSettings& settings,
                              const FlowEnvironment& environment) {
  OAuthClientOptions options = client_options_of(settings);
  options.http_rule = environment.http_rule;
  options.proxy = environment.proxy.clone();
  options.extra_ca_file = environment.extra_ca_file;
  options.vault = environment.vault;
  options.transport = environment.transport;
  options.browser = environment.browser;
  options.clock = environment.clock;
  options.random = environment.random;
  options.tracer = environment.tracer;
  if (settings.id_token == IdTokenChoice::unvalidated && environment.clock) {
    options.validator = claims_only_validator(environment.clock);
  }
  return options;
}

// One run of a flow. The login that was begun is held here, not in a store.
class FlowRun {
 public:
  /// Takes the tokens over, and tells what the page shows of them.
  using Taker = std::function<Result<SuccessContext>(TokenSet<Unvalidated>, IdTokenExpectations)>;

  FlowRun(OAuthClientOptions options, LoginInteraction interaction, Taker take)
      : options_(std::move(options)),
        interaction_(std::move(interaction)),
        take_(std::move(take)) {}

  Result<void> run() {
    if (auto good = check_client_options(options_); !good) return good;
    auto context = make_context(options_);
    if (!context) return std::move(context).error();
    context_ = *std::move(context);
    return run_login(place_of(options_), interaction_,
                     {.begin = [&](const std::string& redirect) { return begin(redirect); },
                      .finish = [&](std::string_view query) { return finish(query); },
                      .abandon = [&](std::string_view) { drop_login_key(context_, pending_); }});
  }

 private:
  Result<BegunLogin> begin(const std::string& redirect_uri) {
    auto request = make_code_request(options_, interaction_.scope, redirect_uri);
    if (!request) return std::move(request).error();
    auto begun = begin_code(context_, *request, interaction_.stop);
    if (!begun) return std::move(begun).error();
    pending_ = std::move(begun->pending);
    return BegunLogin{.url = std::move(begun->url), .state = pending_.state};
  }

  Result<SuccessContext> finish(std::string_view query) {
    auto exchanged = exchange_code(context_, pending_, query, options_.map_answer);
    auto page = std::move(exchanged).and_then(
        [&](ExchangedCode code) { return hand_out(std::move(code)); });
    if (!page) drop_login_key(context_, pending_);
    return page;
  }

  Result<SuccessContext> hand_out(ExchangedCode code) {
    const TokenAnswer spare = revocable_part(code.answer);
    auto right = check_token_type(code.answer, pending_.dpop_jkt);
    auto page = std::move(right).and_then([&] {
      return take_(TokenSet<Unvalidated>(GrantedTokens(std::move(code.answer), code.requested_at,
                                                       pending_.scope, pending_.dpop_jkt)),
                   {.issuer = pending_.issuer,
                    .client_id = pending_.client_id,
                    .nonce = pending_.nonce,
                    .subject = {},
                    .max_age = pending_.max_age});
    });
    if (!page) revoke_answer(context_, terms_of(pending_), spare);
    return page;
  }

  OAuthClientOptions options_;
  LoginInteraction interaction_;
  Taker take_;
  SessionContext context_{};
  PendingLogin pending_{};
};

LoginInteraction interaction_of(const CodeFlowSettings& settings, std::stop_token stop) {
  LoginInteraction interaction = settings.interaction;
  if (stop.stop_possible()) interaction.stop = std::move(stop);
  return interaction;
}

}  // namespace

OAuthClientOptions client_options_of(const CodeFlowSettings& settings) {
  OAuthClientOptions options{
      .server = settings.server,
      .client_id = settings.client_id,
      .client = settings.client,
      .scope = settings.scope,
      .resources = settings.resources,
      .validator = settings.validator,
      .requires_validated_id_token = settings.id_token == IdTokenChoice::validated,
      .store = nullptr,
      .proof = settings.proof,
      .extra_parameters = settings.extra_parameters,
      .max_age = settings.max_age,
      .map_answer = settings.map_answer,
      .receiver = settings.receiver,
      .pages = settings.pages,
      .application_name = settings.application_name};
  if (settings.id_token == IdTokenChoice::unvalidated) {
    options.validator = claims_only_validator(std::make_shared<SystemClock>());
  }
  return options;
}

template <>
Result<TokenSet<Unvalidated>> CodeFlow<Unvalidated>::authorize(const FlowEnvironment& environment,
                                                               std::stop_token stop) const {
  OAuthClientOptions options = options_in(*settings_, environment);
  const auto reader = options.validator;
  const std::shared_ptr<Clock> clock =
      environment.clock ? environment.clock : std::make_shared<SystemClock>();
  LoginInteraction interaction = interaction_of(*settings_, std::move(stop));
  std::optional<TokenSet<Unvalidated>> out;
  FlowRun run(
      std::move(options), interaction,
      [&](TokenSet<Unvalidated> tokens,
          IdTokenExpectations expectations) -> Result<SuccessContext> {
        std::optional<IdTokenClaims> claims;
        if (reader) {
          auto read = read_claims(tokens, *reader, std::move(expectations), interaction.stop);
          if (!read) return std::move(read).error();
          claims = *std::move(read);
        }
        out.emplace(std::move(tokens));
        return describe_login(*out, claims ? IdentityCheck::unvalidated : IdentityCheck::none,
                              claims ? &*claims : nullptr, clock->now());
      });
  if (auto done = run.run(); !done) return std::move(done).error();
  return *std::move(out);
}

template <>
Result<TokenSet<Validated>> CodeFlow<Validated>::authorize(const FlowEnvironment& environment,
                                                           std::stop_token stop) const {
  const auto validator = settings_->validator;
  if (!validator || !validator->checks_signature()) {
    return make_error(ErrorCode::invalid_argument, "flow.validator",
                      "cannot validate id tokens: the validator is null, or checks no signature; "
                      "say without_jwks_validation() if that is meant");
  }
  const std::shared_ptr<Clock> clock =
      environment.clock ? environment.clock : std::make_shared<SystemClock>();
  LoginInteraction interaction = interaction_of(*settings_, std::move(stop));
  std::optional<TokenSet<Validated>> out;
  FlowRun run(options_in(*settings_, environment), interaction,
              [&](TokenSet<Unvalidated> tokens,
                  IdTokenExpectations expectations) -> Result<SuccessContext> {
                auto valid = validate(std::move(tokens), *validator, std::move(expectations),
                                      interaction.stop);
                if (!valid) return std::move(valid).error();
                out.emplace(*std::move(valid));
                return describe_login(*out, IdentityCheck::validated, &out->claims(), clock->now());
              });
  if (auto done = run.run(); !done) return std::move(done).error();
  return *std::move(out);
}

}  // namespace latchkey
