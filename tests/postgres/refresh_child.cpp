// SPDX-License-Identifier: MIT
// postgres_refresh_child ADDRESS FOLDER PLC SUBJECT THREADS [STEP]: says "ready", waits for a line,
// and asks for the session from so many threads at once. Says how many of them got the same good
// token, and its fingerprint, or the same error. At STEP, which is "before:CALL" or "after:CALL" of
// the calls below, it stops itself (SIGSTOP), once.
#include <array>
#include <barrier>
#include <chrono>
#include <csignal>
#include <iostream>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

import latchkey.atproto.client;
import latchkey.core;
import latchkey.http.policy;
import latchkey.session;
import latchkey.store;
import latchkey.store.record;
import latchkey.test.forwarding_store;
import latchkey.test.outcome;
import latchkey.test.postgres_machine;
import latchkey.test.sandbox_world;

using namespace latchkey;
using namespace latchkey::test;

namespace {

class StoppingStore final : public ForwardingStore {
 public:
  StoppingStore(std::shared_ptr<OAuthTokenStore> inner, std::string step)
      : ForwardingStore(std::move(inner)), step_(std::move(step)) {}

  Result<std::unique_ptr<Lease>> lease(std::string_view subject, const LockWait& wait) override {
    auto taken = ForwardingStore::lease(subject, wait);
    if (!taken) return taken;
    return std::make_unique<StoppingLease>(*this, *std::move(taken));
  }
  Result<std::optional<RefreshClaim>> load_claim(std::string_view subject) override {
    return around("load_claim", [&] { return ForwardingStore::load_claim(subject); });
  }
  Result<void> save_claim(const RefreshClaim& claim) override {
    return around("save_claim", [&] { return ForwardingStore::save_claim(claim); });
  }
  Result<void> save_record(const SealedRecord& record, Revision expected) override {
    return around("save", [&] { return ForwardingStore::save_record(record, expected); });
  }

 private:
  class StoppingLease final : public Lease {
   public:
    StoppingLease(StoppingStore& store, std::unique_ptr<Lease> inner)
        : store_(store), inner_(std::move(inner)) {}
    bool still_held() override {
      return store_.around("check", [&] { return inner_->still_held(); });
    }
    bool can_expire() const noexcept override { return inner_->can_expire(); }

   private:
    StoppingStore& store_;
    std::unique_ptr<Lease> inner_;
  };

  template <class Call>
  std::invoke_result_t<Call> around(std::string_view name, const Call& call) {
    stop_at("before:" + std::string(name));
    auto result = call();
    stop_at("after:" + std::string(name));
    return result;
  }
  void stop_at(const std::string& moment) {
    const std::scoped_lock lock(mutex_);
    if (moment != step_) return;
    step_.clear();
    std::raise(SIGSTOP);
  }

  std::mutex mutex_;
  std::string step_;
};

}  // namespace

int main(int count, char** arguments) {
  if (count != 6 && count != 7) return 2;
  const std::string subject = arguments[4];
  const int threads = std::stoi(arguments[5]);
  const KeptInPostgres kept = open_in_postgres(arguments[1], arguments[2]);
  const auto client = AtprotoClient::create({.client = loopback_client(kScope),
                                             .store = std::make_shared<StoppingStore>(
                                                 kept.store, count == 7 ? arguments[6] : ""),
                                             .vault = kept.vault,
                                             .plc_url = arguments[3],
                                             .http_rule = HttpRule::allow_http_for_loopback})
                          .value();
  std::mutex mutex;
  std::map<std::string, int> seen;
  std::cout << "ready" << std::endl;
  std::string line;
  std::getline(std::cin, line);
  {
    std::barrier start(threads);
    std::vector<std::jthread> crowd;
    for (int i = 0; i < threads; ++i) {
      crowd.emplace_back([&] {
        start.arrive_and_wait();
        const auto session = client.fresh(subject);
        const bool good = session && !(*session)->is_expired(SystemClock().now());
        const std::scoped_lock lock(mutex);
        ++seen[good      ? token_fingerprint((*session)->access_token)
               : session ? "expired"
                         : outcome(session)];
      });
    }
  }
  for (const auto& [token, times] : seen) std::cout << times << ' ' << token << ' ';
  std::cout << std::endl;
  return 0;
}
