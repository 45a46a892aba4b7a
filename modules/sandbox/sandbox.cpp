// SPDX-License-Identifier: MIT
module;
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
module latchkey.sandbox;
import latchkey.core.crypto;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.time;
import latchkey.core.url;
import latchkey.http;
import latchkey.sandbox.device;
import latchkey.sandbox.id_tokens;
import latchkey.sandbox.issuer;
import latchkey.sandbox.pds;
import latchkey.sandbox.plc;
import latchkey.sandbox.server;
import latchkey.sandbox.storage;

namespace latchkey::sandbox {
namespace {

using std::chrono::milliseconds;

// In the order of their ports.
constexpr std::array<Server, 3> kServers{Server::pds, Server::authorization, Server::plc};

/// A clock that is wrong by as much as it is told.
class SkewedClock final : public Clock {
 public:
  explicit SkewedClock(std::shared_ptr<Clock> inner) : inner_(std::move(inner)) {}
  [[nodiscard]] TimePoint now() const override { return inner_->now() + milliseconds(ahead_); }
  [[nodiscard]] std::chrono::steady_clock::time_point steady_now() const override {
    return inner_->steady_now();
  }
  bool sleep_for(Duration duration, std::stop_token stop) override {
    return inner_->sleep_for(duration, std::move(stop));
  }
  void set(milliseconds ahead) { ahead_ = ahead.count(); }

 private:
  std::shared_ptr<Clock> inner_;
  std::atomic<milliseconds::rep> ahead_ = 0;
};

// IMF-fixdate (RFC 9110 §5.6.7).
std::string http_date(TimePoint time) {
  using namespace std::chrono;
  constexpr std::array<const char*, 7> kDays{"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
  constexpr std::array<const char*, 12> kMonths{"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  const auto day = floor<days>(time);
  const year_month_day date{day};
  const hh_mm_ss clock{floor<seconds>(time) - day};
  const auto two = [](auto number) {
    const std::string text = std::to_string(number);
    return text.size() < 2 ? '0' + text : text;
  };
  return std::string(kDays[weekday{day}.c_encoding()]) + ", " +
         two(static_cast<unsigned>(date.day())) + ' ' +
         kMonths[static_cast<unsigned>(date.month()) - 1] + ' ' +
         std::to_string(static_cast<int>(date.year())) + ' ' + two(clock.hours().count()) + ':' +
         two(clock.minutes().count()) + ':' + two(clock.seconds().count()) + " GMT";
}

std::string origin_of(std::uint16_t port) {
  return "http://localhost:" + std::to_string(port);
}

}  // namespace

struct Sandbox::Impl {
  Impl(SandboxOptions given, std::array<std::uint16_t, 3> ports)
      : options(std::move(given)),
        clock(std::make_shared<SkewedClock>(options.clock)),
        pds_origin(origin_of(ports[0])),
        issuer_origin(origin_of(ports[1])),
        plc_origin(origin_of(ports[2])),
        accounts(*options.random),
        ledger(*options.random, *clock, options.lifetimes),
        recorder(options.record_contents),
        plc(accounts, pds_origin),
        issuer(
            {.issuer = issuer_origin, .pds = pds_origin, .nonce_rotation = options.nonce_rotation},
            clock, *options.random, accounts, ledger),
        pds({.origin = pds_origin,
             .issuer = issuer_origin,
             .nonce_rotation = options.nonce_rotation},
            clock, *options.random, accounts, ledger) {
    pds.app_sessions().set_access_lifetime(options.lifetimes.access);
  }

  Response process(Server server, const Request& request) {
    switch (server) {
      case Server::plc:
        return plc.handle(request);
      case Server::authorization:
        return issuer.handle(request);
      case Server::pds:
        break;
    }
    return pds.handle(request);
  }

  Response ask_for_bad_nonce(Server server) {
    return server == Server::authorization ? issuer.ask_for_bad_nonce() : pds.ask_for_bad_nonce();
  }

  [[nodiscard]] const std::string& origin(Server server) const {
    return server == Server::pds             ? pds_origin
           : server == Server::authorization ? issuer_origin
                                             : plc_origin;
  }

  // Pages elsewhere must not reach a server by a name of their own (DNS rebinding).
  [[nodiscard]] bool is_our_name(Server server, const Request& request) {
    const auto hosts = request.headers.all("Host");
    if (hosts.size() != 1) return false;
    const auto port = origin(server).substr(origin(server).rfind(':'));
    if (hosts[0] == "localhost" + port || hosts[0] == "127.0.0.1" + port) return true;
    return server == Server::pds && request.path == "/.well-known/atproto-did" &&
           accounts.find(hosts[0].substr(0, hosts[0].find(':'))) != nullptr;
  }

  Delivery handle(Server server, const Request& request) {
    const std::scoped_lock lock(mutex);
    RecordedRequest record = recorder.describe(server, request);
    Delivery delivery = deliver(server, request, record);
    if (auto kept = keep(); !kept) {
      // Nobody may count on what the disk has not taken.
      delivery = {.response = json_answer(500, "{\"error\":\"server_error\"}")};
      record.status = 500;
      record.detail = kept.error().detail;
    }
    delivery.response.headers.emplace_back("Date", http_date(clock->now()));
    if (delivery.way != Delivery::Way::dropped) record.error = error_name(delivery.response);
    recorder.add(std::move(record));
    return delivery;
  }

  void add_rate_limit(Response& response, std::chrono::seconds reset) const {
    const auto now = std::chrono::floor<std::chrono::seconds>(clock->now().time_since_epoch());
    response.headers.emplace_back("RateLimit-Limit", "100");
    response.headers.emplace_back("RateLimit-Remaining", "0");
    response.headers.emplace_back("RateLimit-Reset", std::to_string((now + reset).count()));
  }

  Delivery deliver(Server server, const Request& request, RecordedRequest& record) {
    if (!is_our_name(server, request)) {
      record.status = 421;
      record.detail = "sandbox.host";
      return {.response = json_answer(421, "{\"error\":\"InvalidRequest\"}")};
    }
    const auto answer = [&] {
      Response response = process(server, request);
      record.status = response.status;
      record.detail = response.detail;
      recorder.learn(request, response);
      return response;
    };
    const auto fault = faults.take(server, request);
    if (!fault) return {.response = answer()};
    record.fault = to_string(fault->kind);
    Delivery delivery =
        deliver_with(*fault, origin(server), answer, [&] { return ask_for_bad_nonce(server); });
    if (fault->rate_limit_reset) add_rate_limit(delivery.response, *fault->rate_limit_reset);
    if (delivery.way != Delivery::Way::dropped) record.status = delivery.response.status;
    return delivery;
  }

  [[nodiscard]] Result<void> restore() {
    if (options.data.empty()) return {};
    auto opened = Storage::open(options.data);
    if (!opened) return std::move(opened).error();
    storage = *std::move(opened);
    if (auto restored = accounts.restore(*storage); !restored) return restored;
    if (auto restored = ledger.restore(*storage); !restored) return restored;
    if (auto restored = issuer.signing_keys().restore(*storage); !restored) return restored;
    return pds.restore(*storage);
  }

  [[nodiscard]] Result<void> keep() { return storage ? storage->commit() : Result<void>{}; }
  /// For changes that can't report: what fails now is tried again with the next.
  void try_to_keep() { static_cast<void>(keep().has_value()); }

  std::string did_of(std::string_view handle_or_did) {
    const Account* account = accounts.find(handle_or_did);
    return account == nullptr ? std::string() : account->did;
  }

  SandboxOptions options;
  std::shared_ptr<SkewedClock> clock;
  std::string pds_origin, issuer_origin, plc_origin;
  std::mutex mutex;                  // of all that follows but `faults`
  std::unique_ptr<Storage> storage;  // null: in memory
  Accounts accounts;
  TokenLedger ledger;
  Recorder recorder;
  PlcDirectory plc;
  Issuer issuer;
  Pds pds;
  FaultScript faults;
  std::unique_ptr<HttpServer> http;  // last: gone before what its thread uses
};

Result<std::unique_ptr<Sandbox>> Sandbox::start(SandboxOptions options) {
  if (options.port > 65'533) {
    return make_error(ErrorCode::invalid_argument, "sandbox.port",
                      "cannot start the sandbox: it needs three ports in a row; use a lower one");
  }
  if (!options.clock) options.clock = std::make_shared<SystemClock>();
  if (!options.random) options.random = std::make_shared<SystemRandom>();
  auto http = std::make_unique<HttpServer>();
  std::array<std::uint16_t, 3> ports{};
  for (std::size_t i = 0; i < ports.size(); ++i) {
    const auto bound = http->listen(
        options.port == 0 ? std::uint16_t{0} : static_cast<std::uint16_t>(options.port + i));
    if (!bound) return bound.error();
    ports[i] = *bound;
  }
  auto impl = std::make_unique<Impl>(std::move(options), ports);
  if (auto restored = impl->restore(); !restored) return std::move(restored).error();
  impl->http = std::move(http);
  impl->http->start([state = impl.get()](std::size_t listener, const Request& request) {
    return state->handle(kServers.at(listener), request);
  });
  return std::unique_ptr<Sandbox>(new Sandbox(std::move(impl)));
}

Sandbox::Sandbox(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

Sandbox::~Sandbox() = default;

const std::string& Sandbox::pds() const noexcept {
  return impl_->pds_origin;
}

const std::string& Sandbox::issuer() const noexcept {
  return impl_->issuer_origin;
}

const std::string& Sandbox::plc() const noexcept {
  return impl_->plc_origin;
}

Result<Account> Sandbox::add_account(std::string_view handle, std::string_view password,
                                     bool auto_approve, std::string_view did) {
  const std::scoped_lock lock(impl_->mutex);
  auto added = impl_->accounts.add(handle, password, auto_approve, did);
  if (auto kept = impl_->keep(); !kept) return std::move(kept).error();
  return added;
}

bool Sandbox::set_auto_approve(std::string_view handle_or_did, bool auto_approve) {
  const std::scoped_lock lock(impl_->mutex);
  const bool known = impl_->accounts.set_auto_approve(handle_or_did, auto_approve).has_value();
  impl_->try_to_keep();
  return known;
}

Result<void> Sandbox::move_account(std::string_view handle_or_did, std::string_view pds) {
  const std::scoped_lock lock(impl_->mutex);
  if (pds == impl_->pds_origin) pds = {};
  if (!pds.empty()) {
    const auto origin = parse_origin(pds, HttpRule::allow_http_for_loopback);
    if (!origin) return origin.error();
  }
  if (auto moved = impl_->accounts.move(handle_or_did, pds); !moved) return moved;
  impl_->ledger.end_all(impl_->did_of(handle_or_did));
  return impl_->keep();
}

Result<void> Sandbox::change_handle(std::string_view handle_or_did, std::string_view handle) {
  const std::scoped_lock lock(impl_->mutex);
  if (auto renamed = impl_->accounts.rename(handle_or_did, handle); !renamed) return renamed;
  return impl_->keep();
}

std::vector<Account> Sandbox::accounts() const {
  const std::scoped_lock lock(impl_->mutex);
  return impl_->accounts.all();
}

Result<void> Sandbox::add_client(const RegisteredClient& client) {
  const std::scoped_lock lock(impl_->mutex);
  return impl_->issuer.clients().add(client);
}

bool Sandbox::approve_device(std::string_view user_code, std::string_view handle_or_did) {
  const std::scoped_lock lock(impl_->mutex);
  auto* pending = impl_->issuer.devices().find(user_code);
  const Account* account = impl_->accounts.find_here(handle_or_did);
  if (pending == nullptr || account == nullptr) return false;
  impl_->issuer.devices().approve(*pending, account->did);
  return true;
}

bool Sandbox::deny_device(std::string_view user_code) {
  const std::scoped_lock lock(impl_->mutex);
  auto* pending = impl_->issuer.devices().find(user_code);
  if (pending != nullptr) impl_->issuer.devices().deny(*pending);
  return pending != nullptr;
}

void Sandbox::rotate_signing_keys(std::chrono::seconds keep_old) {
  const std::scoped_lock lock(impl_->mutex);
  impl_->issuer.signing_keys().rotate(keep_old);
  impl_->try_to_keep();
}

void Sandbox::inject(Fault fault) {
  impl_->faults.add(std::move(fault));
}

void Sandbox::clear_faults() {
  impl_->faults.clear();
}

std::size_t Sandbox::faults_left() const {
  return impl_->faults.left();
}

std::vector<Fault> Sandbox::faults() const {
  return impl_->faults.all();
}

void Sandbox::release() {
  impl_->http->release();
}

void Sandbox::close_idle() {
  impl_->http->close_idle();
}

void Sandbox::set_clock_skew(milliseconds ahead) {
  impl_->clock->set(ahead);
}

void Sandbox::set_access_lifetime(std::chrono::seconds lifetime) {
  const std::scoped_lock lock(impl_->mutex);
  impl_->ledger.set_access_lifetime(lifetime);
  impl_->pds.app_sessions().set_access_lifetime(lifetime);
}

Result<std::string> Sandbox::add_app_password(std::string_view handle_or_did) {
  const std::scoped_lock lock(impl_->mutex);
  const Account* account = impl_->accounts.find_here(handle_or_did);
  if (account == nullptr) {
    return make_error(ErrorCode::invalid_argument, "sandbox.account",
                      "cannot make an app password for " + printable(handle_or_did, 100) +
                          ": there is no such account here; give its handle or DID");
  }
  return impl_->pds.app_sessions().add_password(account->did);
}

void Sandbox::revoke_app_passwords(std::string_view handle_or_did) {
  const std::scoped_lock lock(impl_->mutex);
  impl_->pds.app_sessions().revoke_passwords(impl_->did_of(handle_or_did));
}

void Sandbox::set_nonce_rotation(milliseconds rotation) {
  const std::scoped_lock lock(impl_->mutex);
  impl_->issuer.set_nonce_rotation(rotation);
  impl_->pds.set_nonce_rotation(rotation);
}

void Sandbox::expire_access_tokens() {
  const std::scoped_lock lock(impl_->mutex);
  impl_->ledger.expire_access();
  impl_->try_to_keep();
}

unsigned Sandbox::end_sessions(std::string_view handle_or_did) {
  const std::scoped_lock lock(impl_->mutex);
  const unsigned ended = impl_->ledger.end_all(impl_->did_of(handle_or_did));
  impl_->try_to_keep();
  return ended;
}

unsigned Sandbox::live_sessions(std::string_view handle_or_did) const {
  const std::scoped_lock lock(impl_->mutex);
  return impl_->ledger.alive(impl_->did_of(handle_or_did));
}

TokenCounts Sandbox::counts() const {
  const std::scoped_lock lock(impl_->mutex);
  return impl_->ledger.counts();
}

std::vector<RecordedRequest> Sandbox::requests() const {
  const std::scoped_lock lock(impl_->mutex);
  const auto& all = impl_->recorder.all();
  return {all.begin(), all.end()};
}

void Sandbox::forget_requests() {
  const std::scoped_lock lock(impl_->mutex);
  impl_->recorder.forget();
}

void Sandbox::capture_secrets() {
  const std::scoped_lock lock(impl_->mutex);
  impl_->recorder.capture();
}

std::vector<std::string> Sandbox::captured_secrets() const {
  const std::scoped_lock lock(impl_->mutex);
  return impl_->recorder.captured();
}

std::vector<RecordedRequest> Sandbox::take_requests() {
  const std::scoped_lock lock(impl_->mutex);
  const auto& all = impl_->recorder.all();
  std::vector<RecordedRequest> taken(all.begin(), all.end());
  impl_->recorder.forget();
  return taken;
}

}  // namespace latchkey::sandbox
