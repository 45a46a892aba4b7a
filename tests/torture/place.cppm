// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <filesystem>
#include <memory>
#include <string>
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

/// Where store and vault lie.
struct Site {
  std::string store;                       ///< "file", "sqlite", "postgres" or "memory"
  std::filesystem::path folder;            ///< for files; of a database's vault, the master key's
  std::string address{};                   ///< of the database
  std::chrono::milliseconds lease_time{};  ///< of a store whose leases expire
  [[nodiscard]] bool is_database() const { return store == "postgres"; }
};

struct Place {
  std::shared_ptr<KeyVault> vault;
  std::shared_ptr<OAuthTokenStore> store;
};
/// Every process opens its own. "memory": a new one.
[[nodiscard]] Result<Place> open_place(const Site& site);
/// The same place, with a store that breaks a promise, and watched.
[[nodiscard]] Place watched_place(const Place& place, Sabotage sabotage,
                                  std::shared_ptr<Scoreboard> board, const Scene& scene);

/// With the real transports, watched. `browser` may be null for who does not log in.
[[nodiscard]] Result<AtprotoClient> open_client(const Place& place, const Scene& scene,
                                                std::shared_ptr<BrowserOpener> browser);

}  // namespace latchkey::test
