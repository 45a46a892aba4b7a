// SPDX-License-Identifier: MIT
// crash_child STORE FOLDER STEP: refreshes the session that lies in FOLDER and kills itself at
// STEP, which is "before:CALL" or "after:CALL" of WatchedStore's calls, or of "post".
#include <chrono>
#include <csignal>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

import latchkey.core;
import latchkey.http;
import latchkey.refresh.keeper;
import latchkey.session;
import latchkey.store;
import latchkey.test.refresh_world;
import latchkey.test.refresh_places;
import latchkey.test.scripted_transport;

int main(int count, char** arguments) {
  using namespace latchkey;
  using namespace latchkey::test;
  if (count != 4) return 2;
  const std::string step = arguments[3];
  const auto die_at = [&step](const std::string& moment) {
    if (moment == step) std::raise(SIGKILL);
  };

  const Kept kept = open_kept(arguments[1], arguments[2]);
  World world(kept.store, kept.vault);
  world.transport =
      std::make_shared<ScriptedTransport>([&](const HttpRequest& request, const SendOptions&) {
        die_at("before:post");
        auto answer = world.server.answer(request);
        die_at("after:post");
        return answer;
      });
  world.context.transport = world.transport;
  world.clock->advance(std::chrono::hours{1});
  world.store->set_hook([&](std::string_view call) -> std::optional<Error> {
    die_at("before:" + std::string(call));
    return std::nullopt;
  });
  world.store->set_after([&](std::string_view call) { die_at("after:" + std::string(call)); });
  const auto session = world.keeper()->fresh(kSubject);
  return session ? 0 : 1;
}
