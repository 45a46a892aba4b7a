// SPDX-License-Identifier: MIT
// crowd_child STORE FOLDER PLC SUBJECT THREADS: waits for a line, then asks for the session that
// lies in FOLDER from so many threads at once. Prints how many of them got the same good token, and
// that token's fingerprint.
#include <barrier>
#include <chrono>
#include <cstdio>
#include <iostream>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

import latchkey.atproto.client;
import latchkey.core;
import latchkey.http.policy;
import latchkey.session;
import latchkey.store;
import latchkey.test.refresh_places;
import latchkey.test.sandbox_world;

int main(int count, char** arguments) {
  using namespace latchkey;
  using namespace latchkey::test;
  if (count != 6) return 2;
  const std::string subject = arguments[4];
  const int threads = std::stoi(arguments[5]);
  const Kept kept = open_kept(arguments[1], arguments[2]);
  const auto client = AtprotoClient::create({.client = loopback_client(kScope),
                                             .store = kept.store,
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
        ++seen[good ? token_fingerprint((*session)->access_token)
                    : std::string(session ? "expired" : session.error().detail)];
      });
    }
  }
  for (const auto& [token, times] : seen) std::cout << times << ' ' << token << ' ';
  std::cout << std::endl;
  return 0;
}
