// SPDX-License-Identifier: MIT
module;
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>
export module latchkey.test.torture_place;
import latchkey.atproto.client;
import latchkey.core;
import latchkey.loopback.browser;
import latchkey.store;
import latchkey.store.vault;
import latchkey.test.torture_sabotage;
import latchkey.test.torture_scoreboard;

// Store, vault and client as a worker and the driver have them.

export namespace latchkey::test {

/// Which server, which sessions.
struct Scene {
  std::string pds;
  std::string plc;
  std::vector<std::string> subjects;  ///< DIDs
};

struct Place {
  std::shared_ptr<KeyVault> vault;
  std::shared_ptr<OAuthTokenStore> store;
};
/// `store`: "file" or "sqlite", in `folder`; every process opens its own. "memory": a new one.
[[nodiscard]] Result<Place> open_place(std::string_view store, const std::filesystem::path& folder);
/// The same place, with a store that breaks a promise, and watched.
[[nodiscard]] Place watched_place(const Place& place, Sabotage sabotage,
                                  std::shared_ptr<Scoreboard> board, const Scene& scene);

/// With the real transports, watched. `browser` may be null for who does not log in.
[[nodiscard]] Result<AtprotoClient> open_client(const Place& place, const Scene& scene,
                                                std::shared_ptr<BrowserOpener> browser);

}  // namespace latchkey::test
