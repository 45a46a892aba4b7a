// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
module latchkey.atproto.client;
import latchkey.atproto.client_identity;
import latchkey.atproto.discovery;
import latchkey.atproto.identifier;
import latchkey.atproto.identity;
import latchkey.atproto.login;
import latchkey.atproto.pds;
import latchkey.core.crypto;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.secret;
import latchkey.core.time;
import latchkey.core.url;
import latchkey.dpop.nonce;
import latchkey.dpop.transport;
import latchkey.flows.interaction;
import latchkey.flows.login_page;
import latchkey.flows.resource_call;
import latchkey.flows.tracing;
import latchkey.flows.web_login;
import latchkey.http;
import latchkey.http.cares;
import latchkey.http.cpprest;
import latchkey.http.curl;
import latchkey.http.dns;
import latchkey.http.policy;
import latchkey.http.trace;
import latchkey.http.trace.dns;
import latchkey.loopback.browser;
import latchkey.loopback.pages;
import latchkey.loopback.receiver;
import latchkey.oauth.client_auth;
import latchkey.oauth.client_keys;
import latchkey.oauth.client_metadata;
import latchkey.oauth.token;
import latchkey.refresh.context;
import latchkey.refresh.keeper;
import latchkey.refresh.key_collection;
import latchkey.refresh.provers;
import latchkey.session;
import latchkey.store;

namespace latchkey {

struct AtprotoClient::Impl {
  AtprotoClientOptions options;
  std::shared_ptr<AtprotoDiscovery> discovery;
  std::shared_ptr<SessionKeeper> keeper;
  std::shared_ptr<AtprotoLogin> login;
  std::shared_ptr<TidSource> tids;

  std::unique_ptr<KeyCollector> collector;  // null where the vault serves other stores too

  void collect_keys() const;
};

namespace {

Result<void> fill_defaults(AtprotoClientOptions& options) {
  if (!options.store) {
    return make_error(
        ErrorCode::invalid_argument, "client.store_missing",
        "cannot make a client: it has no store for sessions; set AtprotoClientOptions::store");
  }
  if (!options.vault) {
    return make_error(
        ErrorCode::invalid_argument, "client.vault_missing",
        "cannot make a client: it has no vault for keys; set AtprotoClientOptions::vault");
  }
  for (const std::string& text : {options.plc_url, options.resolve_handles_at}) {
    if (text.empty()) continue;
    const auto url = Url::parse(text);
    if (!url) return url.error();
    if (auto allowed = check_scheme(*url, options.http_rule); !allowed) return allowed;
  }
  if (!options.clock) options.clock = std::make_shared<SystemClock>();
  if (!options.random) options.random = std::make_shared<SystemRandom>();
  if (!options.browser) options.browser = system_browser();
  return {};
}

Result<void> make_default_transports(AtprotoClientOptions& options) {
  const bool development = options.http_rule == HttpRule::allow_http_for_loopback;
  const auto address_rule = development ? AddressRule::any : AddressRule::public_only;
  if (!options.transport) {
    auto made = CpprestTransport::open({.address_rule = address_rule,
                                        .http_rule = options.http_rule,
                                        .extra_ca_file = options.extra_ca_file,
                                        .proxy = options.proxy.clone()});
    if (!made) return std::move(made).error();
    options.transport = *std::move(made);
  }
  // Whoever brings a network of their own wants no other asked.
  const bool own_network = options.strangers != nullptr;
  if (!options.configured) options.configured = options.strangers;
  for (auto [transport, rule] : {std::pair(&options.strangers, address_rule),
                                 std::pair(&options.configured, AddressRule::any)}) {
    if (*transport) continue;
    auto made = CurlTransport::open({.address_rule = rule,
                                     .http_rule = options.http_rule,
                                     .extra_ca_file = options.extra_ca_file,
                                     .proxy = options.proxy.clone()});
    if (!made) return std::move(made).error();
    *transport = *std::move(made);
  }
  if (!options.dns && !own_network) {
    auto made = CaresResolver::open();
    if (!made) return std::move(made).error();
    options.dns = *std::move(made);
  }
  return {};
}

// The same key for a client and a session would let whoever sees it use both (C1.12).
Result<void> check_keys_apart(const AtprotoClientOptions& options) {
  if (!options.client.keys()) return {};
  for (const std::string& jkt : options.client.keys()->thumbprints()) {
    const auto kept = options.vault->get(jkt);
    if (!kept) return kept.error();
    if (!*kept) continue;
    return make_error(ErrorCode::invalid_key, "client.key_in_vault",
                      "cannot make a client: its key " + printable(jkt, 64) +
                          " is in the vault, where the keys of sessions are; make a key for the "
                          "client alone");
  }
  return {};
}

// Where the browser ends, and how we hear of it.
Result<LoginPlace> place_of(const AtprotoClientOptions& options, bool by_paste) {
  const ClientIdentity& client = *options.client.description();
  LoginPlace place{.browser = options.browser,
                   .application_name = options.application_name,
                   .client_id = client.client_id,
                   .tracer = options.tracer};
  if (auto receiver = receiver_of(client)) {
    place.receiver = *std::move(receiver);
  } else if (by_paste) {
    place.pasted_redirect = client.redirect_uris.front();
  } else {
    return make_error(ErrorCode::invalid_argument, "login.no_loopback_redirect",
                      "cannot log in on this machine: none of the client's redirects leads to it; "
                      "use authorize() and callback() where they lead, or paste the address");
  }
  return place;
}

void trace(AtprotoClientOptions& options) {
  const auto& tracer = options.tracer;
  options.transport = traced(std::move(options.transport), tracer);
  options.strangers = traced(std::move(options.strangers), tracer);
  options.configured = traced(std::move(options.configured), tracer);
  options.dns = traced(std::move(options.dns), tracer);
  options.browser = traced(std::move(options.browser), tracer);
  options.on_event = traced(std::move(options.on_event), tracer);
}

}  // namespace

Result<AtprotoClient> AtprotoClient::create(AtprotoClientOptions options) {
  if (auto filled = fill_defaults(options); !filled) return std::move(filled).error();
  const auto& identity = options.client.description();
  if (!identity) return identity.error();
  if (auto apart = check_keys_apart(options); !apart) return std::move(apart).error();
  if (auto made = make_default_transports(options); !made) return std::move(made).error();
  trace(options);

  auto impl = std::make_shared<Impl>();
  const auto skew = std::make_shared<ClockSkew>();
  impl->discovery = std::make_shared<AtprotoDiscovery>(
      options.strangers,
      std::make_shared<IdentityResolver>(
          IdentityTransports{.strangers = options.strangers, .configured = options.configured},
          IdentityOptions{.plc_url = options.plc_url,
                          .resolve_handles_at = options.resolve_handles_at,
                          .http_rule = options.http_rule,
                          .dns = options.dns,
                          .clock = options.clock}),
      options.http_rule);
  impl->keeper = std::make_shared<SessionKeeper>(SessionContext{
      .store = options.store,
      .provers = std::make_shared<ProverCache>(options.vault, options.random),
      .transport = options.transport,
      .nonces = std::make_shared<NonceCache>(nonce_storage(options.store)),
      .skew = skew,
      .clock = options.clock,
      .random = options.random,
      .client = options.client.authenticator(
          {.clock = options.clock, .random = options.random, .skew = skew}),
      .client_id = identity->client_id,
      .profile = {
          .confirm =
              [discovery = impl->discovery](const SessionSummary& session, std::stop_token stop) {
                return discovery->confirm_authority(session.subject, session.issuer,
                                                    std::move(stop));
              },
          .check =
              [](const TokenAnswer& answer, const SessionSummary& session) {
                return check_atproto_token(answer, session.subject);
              },
          .require_dpop_nonce = options.require_dpop_nonce},
      .on_event = options.on_event});
  impl->login = std::make_shared<AtprotoLogin>(impl->keeper, impl->discovery, *identity);
  impl->tids = std::make_shared<TidSource>(*options.clock, *options.random);
  if (options.vault_serves_this_store_alone) {
    impl->collector = std::make_unique<KeyCollector>(options.vault, options.store, options.clock);
  }
  impl->options = std::move(options);
  return AtprotoClient(std::move(impl));
}

AtprotoClient::AtprotoClient(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}

Result<SessionSummary> AtprotoClient::login(std::string_view handle_did_or_url,
                                            const LoginInteraction& interaction) {
  const auto place = place_of(impl_->options, interaction.paste != nullptr);
  if (!place) return place.error();
  auto target = impl_->discovery->find(handle_did_or_url, interaction.stop);
  if (!target) return std::move(target).error();
  std::shared_ptr<const OAuthSession> session;
  auto done = run_login(*place, interaction,
                        {.begin =
                             [&](const std::string& redirect_uri) {
                               return impl_->login->begin(*target, {.redirect_uri = redirect_uri,
                                                                    .scope = interaction.scope,
                                                                    .app_state = {},
                                                                    .stop = interaction.stop});
                             },
                         .finish = [&](std::string_view query) -> Result<SuccessContext> {
                           auto saved = impl_->login->finish(query, interaction.stop);
                           if (!saved) return std::move(saved).error();
                           session = *std::move(saved);
                           return describe_login(*session, IdentityCheck::none,
                                                 impl_->options.clock->now());
                         },
                         .abandon = [&](std::string_view state) { impl_->login->abandon(state); }});
  if (!done) return std::move(done).error();
  impl_->collect_keys();
  return static_cast<const SessionSummary&>(*session);
}

Result<BegunLogin> AtprotoClient::authorize(std::string_view handle_did_or_url,
                                            const AuthorizeOptions& options) {
  auto begun = traced_beginning(impl_->options.tracer, [&]() -> Result<BegunLogin> {
    auto target = impl_->discovery->find(handle_did_or_url, options.stop);
    if (!target) return std::move(target).error();
    return impl_->login->authorize(*target, options);
  });
  if (begun) impl_->collect_keys();
  return begun;
}

CallbackOutcome AtprotoClient::callback(std::string_view query, const SecretString& browser_binding,
                                        std::stop_token stop) {
  auto outcome = traced_callback(impl_->options.tracer, [&] {
    return impl_->login->callback(query, browser_binding, std::move(stop));
  });
  if (outcome.session) impl_->collect_keys();
  return outcome;
}

// Also where nobody ever comes back from a login: strangers may begin them, and each makes a key.
void AtprotoClient::Impl::collect_keys() const {
  if (collector) collector->collect_if_due();
}

PdsClient AtprotoClient::pds(std::string did, PdsOptions options) const {
  return PdsClient(impl_->keeper, impl_->tids, std::move(did), options);
}

Result<HttpResponse> AtprotoClient::request(std::string_view did, std::string method,
                                            std::string target, std::string content_type,
                                            std::string_view body, std::stop_token stop) const {
  const TargetFinder at_its_pds = [&](const SessionSummary& session) -> Result<Url> {
    auto base = Url::parse(session.resource_server);
    if (!base) return base;
    auto url = target.starts_with('/') ? base->with_target(target) : Url::parse(target);
    if (url && url->origin() != base->origin()) {
      return make_error(ErrorCode::insecure_address, "resource.other_origin",
                        "cannot send the access token to " + printable(url->origin(), 200) +
                            ": it is meant for " + base->origin() + " only");
    }
    return url;
  };
  return call_resource(*impl_->keeper, did,
                       {.method = std::move(method),
                        .content_type = std::move(content_type),
                        .body = body,
                        .stop = std::move(stop)},
                       at_its_pds);
}

Result<std::shared_ptr<const OAuthSession>> AtprotoClient::fresh(
    std::string_view did, const FreshOptions& options) const {
  return impl_->keeper->fresh(did, options);
}

Result<LogoutOutcome> AtprotoClient::logout(std::string_view did,
                                            const LogoutOptions& options) const {
  return impl_->keeper->logout(did, options);
}

SessionKeeper& AtprotoClient::keeper() const noexcept {
  return *impl_->keeper;
}

}  // namespace latchkey
