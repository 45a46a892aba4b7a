// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
module latchkey.test.device_world;
import latchkey.core;
import latchkey.dpop.nonce;
import latchkey.dpop.transport;
import latchkey.flows.device;
import latchkey.http;
import latchkey.oauth.client_auth;
import latchkey.refresh.context;
import latchkey.refresh.keeper;
import latchkey.refresh.provers;
import latchkey.session;
import latchkey.store;
import latchkey.store.memory;
import latchkey.store.vault;
import latchkey.test.oauth;
import latchkey.test.random;
import latchkey.test.scripted_transport;

namespace latchkey::test {
namespace {

double seconds_after_start(const Clock& clock) {
  return std::chrono::duration<double>(clock.now() - kStart).count();
}

// Revocations are always confirmed.
ScriptedTransport::Handler revoking() {
  return [](const HttpRequest& request, const SendOptions&) -> Result<HttpResponse> {
    if (request.url.path() == "/revoke") return json_answer(200, "{}");
    return make_error(ErrorCode::unreachable, "device_world.unexpected", "nothing was to be sent");
  };
}

SessionContext context_of(const DeviceWorld& world, std::shared_ptr<Random> random) {
  return {.store = world.store,
          .provers = std::make_shared<ProverCache>(world.vault, random),
          .transport = world.server,
          .nonces = std::make_shared<NonceCache>(nonce_storage(world.store)),
          .skew = std::make_shared<ClockSkew>(),
          .clock = world.clock,
          .random = random,
          .client = public_client("radio"),
          .client_id = "radio"};
}

}  // namespace

DeviceWorld::DeviceWorld(std::shared_ptr<OAuthTokenStore> kept, std::shared_ptr<KeyVault> keys,
                         TimePoint now)
    : clock(std::make_shared<ManualClock>(now)),
      vault(keys ? std::move(keys) : memory_vault(clock)),
      store(kept ? std::move(kept) : MemoryOAuthTokenStore::create(vault->sealer(), clock)),
      server(std::make_shared<ScriptedTransport>(revoking())) {
  options.keeper =
      std::make_shared<SessionKeeper>(context_of(*this, std::make_shared<SystemRandom>()));
  options.server.issuer = "https://id.test";
  options.server.device_authorization_endpoint = "https://id.test/device";
  options.server.token_endpoint = "https://id.test/token";
  options.server.revocation_endpoint = "https://id.test/revoke";
  options.scope = "books";
  options.subject = kProfile;
}

DeviceWorld& DeviceWorld::then(Result<HttpResponse> answer) {
  // A Handler must be copyable and an answer is not, so it is shared and used once.
  auto once = std::make_shared<Result<HttpResponse>>(std::move(answer));
  server->push([once, noted = times, time = clock](const HttpRequest& request, const SendOptions&) {
    if (request.url.path() == "/token") noted->push_back(seconds_after_start(*time));
    return std::move(*once);
  });
  return *this;
}

DeviceWorld& DeviceWorld::then(int status, std::string_view body, HeaderList headers) {
  return then(json_answer(status, body, headers));
}

DeviceWorld& DeviceWorld::then_codes(std::chrono::seconds lifetime, std::optional<int> interval) {
  return then(200, R"({"device_code":"the device code","user_code":"WDJB-MJHT",)"
                   R"("verification_uri":"https://id.test/go","expires_in":)" +
                       std::to_string(lifetime.count()) +
                       (interval ? ",\"interval\":" + std::to_string(*interval) : "") + '}');
}

DeviceWorld& DeviceWorld::then_error(std::string_view error, int status) {
  return then(status, R"({"error":")" + std::string(error) + "\"}");
}

DeviceWorld& DeviceWorld::then_tokens(std::string_view token_type) {
  return then(200, R"({"access_token":"at-1","refresh_token":"rt-1","expires_in":3600,)"
                   R"("token_type":")" +
                       std::string(token_type) + "\"}");
}

DeviceWorld& DeviceWorld::then_broken(ErrorCode code, Delivery delivery) {
  Error error = make_error(code, "device_world.broken", "the network is down");
  error.delivery = delivery;
  return then(std::move(error));
}

Result<std::shared_ptr<const OAuthSession>> DeviceWorld::log_in(
    const DevicePollOptions& waiting) const {
  return flow().begin().and_then(
      [&](PendingDeviceLogin&& pending) { return std::move(pending).poll(waiting); });
}

std::vector<double> DeviceWorld::poll_times() const {
  return *times;
}

double DeviceWorld::seconds_passed() const {
  return seconds_after_start(*clock);
}

std::vector<std::string> DeviceWorld::revoked() const {
  std::vector<std::string> tokens;
  for (const auto& request : server->requests()) {
    if (request.url.path() == "/revoke") tokens.push_back(field(request, "token"));
  }
  return tokens;
}

std::size_t DeviceWorld::pending_count() const {
  return store->side_records().value().pending.size();
}

std::size_t DeviceWorld::key_count() const {
  return vault->list().value().size();
}

std::optional<OAuthSession> DeviceWorld::stored() const {
  return std::move(store->load(kProfile).value());
}

}  // namespace latchkey::test
