// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
module latchkey.test.refresh_world;
import latchkey.core;
import latchkey.dpop.nonce;
import latchkey.dpop.transport;
import latchkey.http;
import latchkey.oauth.client_auth;
import latchkey.oauth.token;
import latchkey.refresh.context;
import latchkey.refresh.keeper;
import latchkey.refresh.provers;
import latchkey.session;
import latchkey.store;
import latchkey.store.memory;
import latchkey.store.record;
import latchkey.store.vault;
import latchkey.test.random;
import latchkey.test.scripted_transport;

namespace latchkey::test {

void WatchedStore::set_hook(Hook hook) {
  const std::scoped_lock lock(mutex_);
  hook_ = hook ? std::make_shared<Hook>(std::move(hook)) : nullptr;
}

void WatchedStore::set_after(std::function<void(std::string_view)> after) {
  const std::scoped_lock lock(mutex_);
  after_ = std::move(after);
}

void WatchedStore::fail_after_next_save(Error error) {
  const std::scoped_lock lock(mutex_);
  save_failure_ = std::move(error);
}

std::vector<std::string> WatchedStore::take_trace() {
  const std::scoped_lock lock(mutex_);
  return std::exchange(trace_, {});
}

std::optional<Error> WatchedStore::enter(std::string_view call) {
  std::shared_ptr<Hook> hook;
  {
    const std::scoped_lock lock(mutex_);
    trace_.emplace_back(call);
    hook = hook_;
  }
  return hook ? (*hook)(call) : std::nullopt;
}

void WatchedStore::leave(std::string_view call) {
  std::function<void(std::string_view)> after;
  {
    const std::scoped_lock lock(mutex_);
    after = after_;
  }
  if (after) after(call);
}

Result<std::optional<SealedRecord>> WatchedStore::load_record(std::string_view subject) {
  if (auto error = enter("load")) return *std::move(error);
  auto result = inner().load_record(subject);
  leave("load");
  return result;
}

Result<void> WatchedStore::save_record(const SealedRecord& record, Revision expected) {
  if (auto error = enter("save")) return *std::move(error);
  auto result = inner().save_record(record, expected);
  leave("save");
  const std::scoped_lock lock(mutex_);
  if (auto failure = std::exchange(save_failure_, std::nullopt)) return *std::move(failure);
  return result;
}

Result<void> WatchedStore::remove(std::string_view subject, Revision expected) {
  if (auto error = enter("remove")) return *std::move(error);
  auto result = inner().remove(subject, expected);
  leave("remove");
  return result;
}

Result<std::unique_ptr<Lease>> WatchedStore::lease(std::string_view subject, const LockWait& wait) {
  if (auto error = enter("lease")) return *std::move(error);
  auto result = inner().lease(subject, wait);
  leave("lease");
  return result;
}

Result<void> WatchedStore::reserve_room(std::string_view subject, std::size_t size) {
  if (auto error = enter("reserve_room")) return *std::move(error);
  auto result = inner().reserve_room(subject, size);
  leave("reserve_room");
  return result;
}

Result<void> WatchedStore::save_claim(const RefreshClaim& claim) {
  if (auto error = enter("save_claim")) return *std::move(error);
  auto result = inner().save_claim(claim);
  leave("save_claim");
  return result;
}

Result<void> WatchedStore::clear_claim(std::string_view subject, std::uint64_t id) {
  if (auto error = enter("clear_claim")) return *std::move(error);
  auto result = inner().clear_claim(subject, id);
  leave("clear_claim");
  return result;
}

Result<void> WatchedStore::save_pending(const PendingRecord& pending, TimePoint now) {
  if (auto error = enter("save_pending")) return *std::move(error);
  return inner().save_pending(pending, now);
}

namespace {

Error lost(Delivery delivery) {
  Error error = make_error(
      delivery == Delivery::not_sent ? ErrorCode::unreachable : ErrorCode::connection_lost,
      "test.lost", "the connection broke");
  error.delivery = delivery;
  return error;
}

std::string form_field(const HttpRequest& request, std::string_view name) {
  const auto fields = form_decode(request.body.expose());
  if (!fields) return {};
  const auto value = form_value(*fields, name);
  return value && *value != nullptr ? **value : std::string{};
}

std::string tokens_json(unsigned generation, std::chrono::seconds lifetime,
                        std::string_view subject) {
  const std::string n = std::to_string(generation);
  return R"({"access_token":"at-)" + n + R"(","refresh_token":"rt-)" + n +
         R"(","token_type":"DPoP","expires_in":)" + std::to_string(lifetime.count()) +
         R"(,"scope":"atproto transition:generic","sub":")" + std::string(subject) + R"("})";
}

}  // namespace

void RotatingServer::next(Fault fault) {
  const std::scoped_lock lock(mutex_);
  fault_ = fault;
}

void RotatingServer::kill_session() {
  const std::scoped_lock lock(mutex_);
  dead_ = true;
}

void RotatingServer::set_lifetime(std::chrono::seconds lifetime) {
  const std::scoped_lock lock(mutex_);
  lifetime_ = lifetime;
}

unsigned RotatingServer::refreshes() const {
  const std::scoped_lock lock(mutex_);
  return refreshes_;
}

unsigned RotatingServer::replays() const {
  const std::scoped_lock lock(mutex_);
  return replays_;
}

unsigned RotatingServer::revocations() const {
  const std::scoped_lock lock(mutex_);
  return static_cast<unsigned>(revoked_.size());
}

std::vector<std::string> RotatingServer::revoked() const {
  const std::scoped_lock lock(mutex_);
  return revoked_;
}

Result<HttpResponse> RotatingServer::answer(const HttpRequest& request) {
  const std::scoped_lock lock(mutex_);
  if (request.url.path() == "/revoke") {
    if (std::exchange(fault_, Fault::none) == Fault::drop_before) return lost(Delivery::not_sent);
    revoked_.push_back(form_field(request, "token"));
    return json_answer(200, "{}");
  }
  return refresh(form_field(request, "refresh_token"));
}

Result<HttpResponse> RotatingServer::refresh(const std::string& token) {
  ++refreshes_;
  const Fault fault = std::exchange(fault_, Fault::none);
  switch (fault) {
    case Fault::drop_before:
      return lost(Delivery::not_sent);
    case Fault::server_error:
      return json_answer(500, R"({"error":"server_error"})");
    case Fault::too_many:
      return json_answer(429, R"({"error":"slow_down"})", {{"Retry-After", "7"}});
    case Fault::nonce:
      return json_answer(400, R"({"error":"use_dpop_nonce"})");
    case Fault::bad_client:
      return json_answer(401, R"({"error":"invalid_client"})");
    case Fault::refused_with_200:
      return json_answer(200, R"({"error":"invalid_grant"})");
    case Fault::unavailable_with_200:
      return json_answer(200, R"({"error":"temporarily_unavailable"})");
    default:
      break;
  }
  if (dead_ || token != "rt-" + std::to_string(generation_)) {
    if (!dead_) ++replays_;
    dead_ = true;
    return json_answer(400, R"({"error":"invalid_grant","error_description":"no such token"})");
  }
  ++generation_;
  if (fault == Fault::drop_after) return lost(Delivery::maybe_sent);
  if (fault == Fault::garbage) return json_answer(200, R"({"access_token":)");
  return json_answer(
      200,
      tokens_json(generation_, lifetime_,
                  fault == Fault::other_subject ? "did:plc:z72i7hdynmk6r22z27h6tvur" : kSubject));
}

OAuthSession sample_session(std::string_view jkt) {
  using namespace std::chrono_literals;
  OAuthSession session;
  session.subject = kSubject;
  session.issuer = "https://as.test";
  session.resource_server = "https://pds.test";
  session.token_endpoint = "https://as.test/token";
  session.revocation_endpoint = "https://as.test/revoke";
  session.client_id = kClientId;
  session.redirect_uri = "http://127.0.0.1/callback";
  session.scope = "atproto transition:generic";
  session.token_type = "DPoP";
  session.dpop_jkt = jkt;
  session.handle = "alice.test";
  session.issued_at = session.session_started_at = kNow;
  session.expires_at = kNow + 1h;
  session.login_id = 7;
  session.access_token = SecretString("at-1");
  session.refresh_token = SecretString("rt-1");
  return session;
}

World::World(std::shared_ptr<OAuthTokenStore> inner, std::shared_ptr<KeyVault> keys)
    : clock(std::make_shared<ManualClock>(kNow)),
      random(std::make_shared<FixedRandom>(1)),
      vault(keys ? std::move(keys) : memory_vault()),
      store(std::make_shared<WatchedStore>(
          inner ? std::move(inner) : MemoryOAuthTokenStore::create(vault->sealer(), clock))),
      transport(std::make_shared<ScriptedTransport>(
          [this](const HttpRequest& request, const SendOptions&) {
            return server.answer(request);
          })) {
  context = SessionContext{
      .store = store,
      .provers = std::make_shared<ProverCache>(vault, random),
      .transport = transport,
      .nonces = std::make_shared<NonceCache>(nonce_storage(store)),
      .skew = std::make_shared<ClockSkew>(),
      .clock = clock,
      .random = random,
      .client = public_client(std::string(kClientId)),
      .client_id = std::string(kClientId),
      .profile = {.confirm = {}, .check = [](const TokenAnswer& answer, const SessionSummary& s) {
                    return check_atproto_token(answer, s.subject);
                  }}};
  jkt = context.provers->create().value()->jkt();
}

Revision World::log_in() {
  OAuthSession session = sample_session(jkt);
  session.revision = draw_revision(*random);
  const Revision revision = session.revision;
  store->save(session, Revision{}).value();
  static_cast<void>(store->take_trace());
  return revision;
}

OAuthSession World::stored() const {
  return std::move(store->load(kSubject).value().value());
}

std::unique_ptr<SessionKeeper> World::keeper() const {
  return std::make_unique<SessionKeeper>(context);
}

std::unique_ptr<World> running_world(std::shared_ptr<OAuthTokenStore> inner,
                                     std::shared_ptr<KeyVault> keys) {
  const auto clock = std::make_shared<SystemClock>();
  const auto vault = keys ? std::move(keys) : memory_vault();
  if (!inner) inner = MemoryOAuthTokenStore::create(vault->sealer(), clock);
  auto world = std::make_unique<World>(std::move(inner), vault);
  world->context.clock = clock;
  OAuthSession session = sample_session(world->jkt);
  session.issued_at = session.session_started_at = clock->now() - std::chrono::hours{2};
  session.expires_at = clock->now() - std::chrono::hours{1};
  session.revision = Revision{1};
  world->store->save(session, Revision{}).value();
  return world;
}

}  // namespace latchkey::test
