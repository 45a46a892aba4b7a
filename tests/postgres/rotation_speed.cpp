// SPDX-License-Identifier: MIT
#include <sys/resource.h>

#include <chrono>
#include <cstddef>
#include <cstdio>
#include <memory>
#include <string>
#include <thread>
#include <vector>

import latchkey.core;
import latchkey.refresh.context;
import latchkey.refresh.rotation;
import latchkey.session;
import latchkey.store;
import latchkey.store.postgres;
import latchkey.store.postgres.database;
import latchkey.store.postgres.vault;
import latchkey.store.vault;
import latchkey.test.fleet;
import latchkey.test.sample;

// How fast a rotation seals the keys and sessions of a database anew: rotation_speed [SESSIONS
// [WORKERS]].
// Not a test: it prints figures.

using namespace latchkey;
using namespace latchkey::test;

namespace {

using Steady = std::chrono::steady_clock;

double seconds_since(Steady::time_point begin) {
  return std::chrono::duration<double>(Steady::now() - begin).count();
}

long peak_kilobytes() {
  struct rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss;
}

std::string rate(std::size_t count, double seconds) {
  return std::to_string(count) + " in " + std::to_string(seconds) + " s, " +
         std::to_string(static_cast<long>(static_cast<double>(count) / seconds)) + " a second";
}

void log_in(KeyVault& vault, OAuthTokenStore& store, std::size_t number) {
  SystemRandom random;
  OAuthSession session = sample_session();
  session.subject = "did:example:" + std::to_string(number);
  session.dpop_jkt = "key" + std::to_string(number);
  session.revision = draw_revision(random);
  vault.put(session.dpop_jkt, key_of("thirty-two bytes of a private key")).value();
  store.save(session, Revision{}).value();
}

void fill(PostgresKeyVault& vault, OAuthTokenStore& store, std::size_t count) {
  constexpr std::size_t kThreads = 6;
  std::vector<std::jthread> threads;
  for (std::size_t first = 0; first < kThreads; ++first) {
    threads.emplace_back([&, first] {
      for (std::size_t i = first; i < count; i += kThreads) log_in(vault, store, i);
    });
  }
}

}  // namespace

int main(int argc, char** argv) {
  const std::size_t count = argc > 1 ? std::stoul(argv[1]) : 10'000;
  const std::size_t workers = argc > 2 ? std::stoul(argv[2]) : 1;
  Fleet fleet;
  fleet.uses_real_time = true;
  const auto vault = fleet.vault();
  const auto store = PostgresOAuthTokenStore::open(vault->database(), vault).value();
  auto begin = Steady::now();
  fill(*vault, *store, count);
  std::printf("logins kept: %s\n", rate(count, seconds_since(begin)).c_str());
  const long before = peak_kilobytes();

  Steady::time_point sessions_begin{};
  begin = Steady::now();
  const auto statements = vault->database()->counts().statements;
  const auto progress = [&](RotationStage stage, std::size_t done, std::size_t) {
    if (stage == RotationStage::sessions && done == 1) sessions_begin = Steady::now();
  };
  const auto report =
      rotate_vault(*vault, *store, {.progress = progress, .workers = workers}).value();
  const double keys = std::chrono::duration<double>(sessions_begin - begin).count();
  std::printf("keys sealed anew: %s\n", rate(report.keys_resealed, keys).c_str());
  std::printf("sessions sealed anew: %s\n",
              rate(report.sessions_resealed, seconds_since(sessions_begin)).c_str());
  std::printf("statements: %.2f for each session with its key\n",
              static_cast<double>(vault->database()->counts().statements - statements) /
                  static_cast<double>(count));
  std::printf("memory: %ld KiB before, %ld KiB at most\n", before, peak_kilobytes());
}
