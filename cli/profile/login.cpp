// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <memory>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>
module latchkey.cli.profile.login;
import latchkey.cli.interaction;
import latchkey.cli.options;
import latchkey.cli.profile;
import latchkey.cli.profile.assembly;
import latchkey.cli.profile.client;
import latchkey.cli.profile.device;
import latchkey.cli.profile.folder;
import latchkey.cli.profile.server;
import latchkey.cli.report;
import latchkey.cli.workspace;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.os.process;
import latchkey.flows.client;
import latchkey.flows.code_login;
import latchkey.flows.device;
import latchkey.flows.interaction;
import latchkey.http.cpprest;
import latchkey.http.trace;
import latchkey.loopback.certificate;
import latchkey.loopback.receiver;
import latchkey.oauth.scope;
import latchkey.oauth.server_metadata;
import latchkey.refresh.keeper;
import latchkey.session;
import latchkey.store;

namespace latchkey::cli {
namespace {

Result<ReceiverOptions> receiver_of(const Profile& profile, const Places& where,
                                    std::stop_token stop) {
  ReceiverOptions receiver{.port = profile.port};
  if (!profile.https) return receiver;
  auto certificate =
      TlsCertificate::ensure_localhost(where.config / "https", {.stop = std::move(stop)});
  if (!certificate) {
    Error error = std::move(certificate).error();
    if (error.detail.starts_with("certificate.mkcert"))
      error.message += "\n" + std::string(kLocalhostCertificateGuide);
    return error;
  }
  receiver.certificate = *std::move(certificate);
  receiver.host = LoopbackHost::localhost;
  return receiver;
}

// Everything a login needs, before anybody is asked to sign in.
struct Prepared {
  NamedProfile named;
  Provider provider;
  OAuthClientOptions client;
};

Result<Prepared> prepare(NamedProfile named, const Workspace& workspace, const Places& where,
                         const ProfileLogin& login, const Options& options) {
  auto basis = profile_client_options(workspace, options);
  if (!basis) return std::move(basis).error();
  Prepared prepared{.named = std::move(named), .provider = {}, .client = *std::move(basis)};
  const Profile& profile = prepared.named.profile;
  OAuthClientOptions& client = prepared.client;
  auto transport = CpprestTransport::open({.http_rule = client.http_rule,
                                           .extra_ca_file = client.extra_ca_file,
                                           .proxy = client.proxy.clone()});
  if (!transport) return std::move(transport).error();
  client.transport = traced(*std::move(transport), options.tracer);
  auto provider = find_provider(profile, {.transport = client.transport,
                                          .clock = client.clock,
                                          .http_rule = client.http_rule,
                                          .stop = options.stop});
  if (!provider) return std::move(provider).error();
  prepared.provider = *std::move(provider);
  auto scope = scope_without_openid(profile);
  if (!scope) return std::move(scope).error();
  // No browser ends at a device, so that it needs no port and no certificate.
  auto receiver = login.device ? Result<ReceiverOptions>(ReceiverOptions{})
                               : receiver_of(profile, where, options.stop);
  if (!receiver) return std::move(receiver).error();
  client.server = prepared.provider.server;
  client.validator = prepared.provider.validator;
  client.client_id = profile.client_id;
  client.client =
      profile_authenticator(profile.client_id, profile.client_auth, profile.secret, options.stop);
  client.scope = *std::move(scope);
  client.resources = profile.resources;
  client.extra_parameters = profile.parameters;
  client.receiver = *std::move(receiver);
  return prepared;
}

bool offers_proofs(const ServerMetadata& server) {
  const auto& algorithms = server.dpop_signing_alg_values_supported;
  return std::find(algorithms.begin(), algorithms.end(), "ES256") != algorithms.end();
}

Result<SessionSummary> by_device(const Prepared& prepared, const OAuthClient& client,
                                 const ProfileLogin& login, const Options& options) {
  const Profile& profile = prepared.named.profile;
  auto flow =
      DeviceFlow::create({.keeper = client.shared_keeper(),
                          .server = prepared.provider.server,
                          .scope = profile.scope,
                          .subject = prepared.named.name,
                          .validator = prepared.provider.validator,
                          .binding = offers_proofs(prepared.provider.server) ? TokenBinding::dpop
                                                                             : TokenBinding::bearer,
                          .extra = profile.parameters});
  if (!flow) return std::move(flow).error();
  return login_device(*flow, {.name = prepared.named.name,
                              .resume = login.resume,
                              .qr_code = login.qr_code,
                              .stop = options.stop});
}

Result<void> check_login(const NamedProfile& named, const ProfileLogin& login) {
  if (named.profile.kind == ProfileKind::api_key)
    return make_error(ErrorCode::invalid_argument, "profile.is_api_key",
                      "cannot sign in to the profile " + named.name +
                          ": it is an API key; replace it with --api-key-file FILE");
  if (login.device && !named.profile.resources.empty())
    return make_error(ErrorCode::invalid_argument, "cli.device_resource",
                      "cannot log in to the profile " + named.name +
                          " as a device: its resources are not sent with a device's login yet, so "
                          "that the token would be for others; log in with a browser, or to a "
                          "profile without resources");
  return {};
}

// So that a login that fails can be tried again, and a device's resumed. Not while a session is
// there: that needs the file as it is until another session takes its place.
Result<void> save_for_another_try(const ProfileFolder& folder, OAuthTokenStore& store,
                                  const NamedProfile& named) {
  const auto sessions = sessions_of_profile(store, named.name);
  if (!sessions) return sessions.error();
  const bool needed =
      std::any_of(sessions->begin(), sessions->end(),
                  [](const SessionSummary& one) { return one.state != SessionState::dead; });
  return needed ? Result<void>() : folder.save(named.name, named.profile);
}

// The file of the session that has just been saved: a logout meanwhile may have removed the one of
// before.
Result<void> save_for_session(const ProfileFolder& folder, const NamedProfile& named) {
  auto saved = folder.save(named.name, named.profile);
  if (saved) return saved;
  Error error = std::move(saved).error();
  error.message +=
      "; you are logged in, but the profile's file is not saved: log in again when that is mended";
  return error;
}

// Servers may grant less than was asked for (RFC 6749 §3.3), and seldom say so to people.
void tell_missing(const std::string& asked, const std::string& granted) {
  const auto wanted = ScopeSet::parse(asked), got = ScopeSet::parse(granted);
  if (!wanted || !got) return;
  std::string missing;
  for (const std::string& token : wanted->tokens()) {
    if (!got->contains(token)) missing += (missing.empty() ? "" : ", ") + printable(token, 100);
  }
  if (!missing.empty()) say("the provider granted less than was asked for; missing: " + missing);
}

}  // namespace

Result<SessionSummary> login_profile(const Options& options, const ProfileFlags& flags,
                                     const ProfileLogin& login) {
  const auto where = places(options);
  if (!where) return where.error();
  const ProfileFolder folder(where->config);
  auto named = assemble_profile(options.profile, flags, folder, environment_variable);
  if (!named) return std::move(named).error();
  if (auto good = check_login(*named, login); !good) return std::move(good).error();
  auto workspace = open_workspace(options);
  if (!workspace) return std::move(workspace).error();
  auto prepared = prepare(*std::move(named), *workspace, *where, login, options);
  if (!prepared) return std::move(prepared).error();
  const auto& [name, profile] = prepared->named;
  const ServerMetadata& server = prepared->provider.server;
  if (auto free = check_name_free(*workspace->store, name, profile.client_id, server); !free)
    return std::move(free).error();
  const bool has_devices = !server.device_authorization_endpoint.empty();
  auto client = OAuthClient::create(std::move(prepared->client));
  if (!client) return std::move(client).error();
  if (auto saved = save_for_another_try(folder, *workspace->store, prepared->named); !saved)
    return std::move(saved).error();
  auto session =
      login.device
          ? by_device(*prepared, *client, login, options)
          : client->login(name, interaction_for(options, meeting_here(login.meeting, has_devices),
                                                login.timeout_seconds));
  if (!session) return session;
  tell_missing(profile.scope, session->scope);
  if (auto saved = save_for_session(folder, prepared->named); !saved)
    return std::move(saved).error();
  return session;
}

}  // namespace latchkey::cli
