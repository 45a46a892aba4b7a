// SPDX-License-Identifier: MIT
module;
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
module latchkey.cli.profile.client;
import latchkey.cli.options;
import latchkey.cli.profile;
import latchkey.cli.profile.folder;
import latchkey.cli.profile.secret;
import latchkey.cli.workspace;
import latchkey.core.crypto;
import latchkey.core.error;
import latchkey.core.time;
import latchkey.core.url;
import latchkey.dpop.nonce;
import latchkey.dpop.transport;
import latchkey.flows.client;
import latchkey.flows.client_options;
import latchkey.http;
import latchkey.http.cpprest;
import latchkey.http.policy;
import latchkey.http.trace;
import latchkey.oauth.client_auth;
import latchkey.oauth.client_secret;
import latchkey.oauth.scope;
import latchkey.oauth.server_metadata;
import latchkey.oidc.claims_only_validator;
import latchkey.refresh.context;
import latchkey.refresh.keeper;
import latchkey.refresh.provers;
import latchkey.session;
import latchkey.store;

namespace latchkey::cli {
namespace {

class SecretClient final : public ClientAuthenticator {
 public:
  SecretClient(std::string client_id, ClientAuthMethod method, SecretSource source,
               std::stop_token stop)
      : client_id_(std::move(client_id)),
        method_(method),
        source_(std::move(source)),
        stop_(std::move(stop)) {}

  [[nodiscard]] ClientAuthMethod method() const noexcept override { return method_; }
  [[nodiscard]] std::string kid() const override { return {}; }
  [[nodiscard]] Result<void> apply(ClientRequest& request, std::string_view issuer,
                                   std::string_view kid) override {
    const std::scoped_lock lock(mutex_);
    if (!client_) {
      auto made = make();
      if (!made) return std::move(made).error();
      client_ = *std::move(made);
    }
    return client_->apply(request, issuer, kid);
  }

 private:
  Result<std::shared_ptr<ClientAuthenticator>> make() const {
    if (!source_.is_set()) {
      return make_error(
          ErrorCode::invalid_client, "profile.secret_missing",
          "cannot ask the provider: its client needs a secret, and the profile's file, which says "
          "where that is, is gone or says nothing of it; log in again with --client-secret-file");
    }
    auto secret = read_client_secret(source_, stop_);
    if (!secret) return std::move(secret).error();
    return method_ == ClientAuthMethod::client_secret_basic
               ? client_secret_basic(client_id_, *std::move(secret))
               : client_secret_post(client_id_, *std::move(secret));
  }

  const std::string client_id_;
  const ClientAuthMethod method_;
  const SecretSource source_;
  const std::stop_token stop_;
  std::mutex mutex_;
  std::shared_ptr<ClientAuthenticator> client_;
};

bool has_openid(std::string_view scope) {
  const auto set = ScopeSet::parse(scope);
  return set && set->contains("openid");
}

// Without an issuer a server is known by where it gives tokens.
bool is_of_server(const SessionSummary& session, const ServerMetadata& server) {
  return session.issuer == server.issuer &&
         (!server.issuer.empty() || session.token_endpoint == server.token_endpoint);
}

std::string holder_of(const SessionSummary& session, const std::string& client_id) {
  if (session.client_id.empty()) return "an API key";
  return session.client_id == client_id ? "another provider" : "another client";
}

}  // namespace

Result<std::optional<Profile>> stored_profile(const Options& options,
                                              const SessionSummary& session) {
  const auto where = places(options);
  if (!where) return where.error();
  auto profile = ProfileFolder(where->config).load(original_subject(session.subject));
  if (profile && *profile && !is_configured_by(session, **profile)) return std::optional<Profile>();
  return profile;
}

Result<std::vector<SessionSummary>> sessions_of_profile(OAuthTokenStore& store,
                                                        std::string_view name) {
  auto rows = all_sessions(store);
  if (!rows) return std::move(rows).error();
  std::vector<SessionSummary> sessions;
  for (ListedSession& row : *rows) {
    if (row.summary && original_subject(row.summary->subject) == name)
      sessions.push_back(*std::move(row.summary));
  }
  return sessions;
}

std::shared_ptr<ClientAuthenticator> profile_authenticator(std::string client_id,
                                                           ClientAuthMethod method,
                                                           SecretSource secret,
                                                           std::stop_token stop) {
  if (method == ClientAuthMethod::none) return public_client(std::move(client_id));
  return std::make_shared<SecretClient>(std::move(client_id), method, std::move(secret),
                                        std::move(stop));
}

Result<void> check_name_free(OAuthTokenStore& store, const std::string& name,
                             const std::string& client_id, const ServerMetadata& server) {
  const auto stored = store.load(name);
  if (!stored) return stored.error();
  if (!*stored || (*stored)->state == SessionState::dead) return {};
  const SessionSummary& session = **stored;
  if (session.client_id == client_id && is_of_server(session, server)) return {};
  return make_error(ErrorCode::conflict, "profile.taken",
                    "cannot log in to the profile " + name + ": a session of " +
                        holder_of(session, client_id) +
                        " has that name; choose another --profile, or end it with latchkey logout "
                        "--profile " +
                        name);
}

Result<OAuthClientOptions> profile_client_options(const Workspace& workspace,
                                                  const Options& options) {
  auto network = network_of_environment();
  if (!network) return std::move(network).error();
  OAuthClientOptions out;
  out.store = workspace.store;
  out.vault = workspace.vault;
  out.http_rule = http_rule_of(options);
  out.proxy = std::move(network->proxy);
  out.extra_ca_file = std::move(network->extra_ca_file);
  out.clock = std::make_shared<SystemClock>();
  out.tracer = options.tracer;
  return out;
}

Result<std::shared_ptr<SessionKeeper>> profile_keeper(const Workspace& workspace,
                                                      const Options& options,
                                                      const SessionSummary& session,
                                                      const std::optional<Profile>& profile) {
  if (session.token_endpoint.empty()) return api_key_keeper(workspace, options);
  auto made = profile_client_options(workspace, options);
  if (!made) return std::move(made).error();
  made->server.issuer = session.issuer;
  made->server.token_endpoint = session.token_endpoint;
  made->server.revocation_endpoint = session.revocation_endpoint;
  made->client_id = session.client_id;
  made->client = profile_authenticator(session.client_id, session.client_auth_method,
                                       profile ? profile->secret : SecretSource{}, options.stop);
  if (profile) made->resources = profile->resources;
  // Nobody is told what an id token of a refresh says, so its signature does not matter; that it
  // is of the same person does.
  if (!session.issuer.empty() && has_openid(session.scope))
    made->validator = claims_only_validator(made->clock);
  auto client = OAuthClient::create(*std::move(made));
  if (!client) return std::move(client).error();
  return client->shared_keeper();
}

Result<std::shared_ptr<SessionKeeper>> api_key_keeper(const Workspace& workspace,
                                                      const Options& options) {
  auto made = profile_client_options(workspace, options);
  if (!made) return std::move(made).error();
  auto transport = CpprestTransport::open({.http_rule = made->http_rule,
                                           .extra_ca_file = made->extra_ca_file,
                                           .proxy = made->proxy.clone()});
  if (!transport) return std::move(transport).error();
  const auto random = std::make_shared<SystemRandom>();
  SessionContext context{.store = workspace.store,
                         .provers = std::make_shared<ProverCache>(workspace.vault, random),
                         .transport = traced(*std::move(transport), options.tracer),
                         .nonces = std::make_shared<NonceCache>(nonce_storage(workspace.store)),
                         .skew = std::make_shared<ClockSkew>(),
                         .clock = made->clock,
                         .random = random,
                         .client = public_client({}),
                         .client_id = {}};
  return std::make_shared<SessionKeeper>(std::move(context));
}

}  // namespace latchkey::cli
