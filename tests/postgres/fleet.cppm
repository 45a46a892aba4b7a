// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
export module latchkey.test.fleet;
import latchkey.core.error;
import latchkey.core.secret;
import latchkey.core.time;
import latchkey.store.postgres.database;
import latchkey.store.postgres.vault;
import latchkey.store.vault;
import latchkey.store.vault.master_key;
import latchkey.test.folder;
import latchkey.test.postgres_place;

// Machines that share the vault of one database, each with its own pool and its own key file.

export namespace latchkey::test {

class Fleet {
 public:
  PostgresPlace place;
  TemporaryFolder folder;
  std::shared_ptr<ManualClock> clock =
      std::make_shared<ManualClock>(TimePoint{} + std::chrono::hours(1000));
  /// For waiting for others, which the other clock does not do.
  bool uses_real_time = false;

  [[nodiscard]] std::filesystem::path key_file(std::string_view name = "key") const;
  [[nodiscard]] std::shared_ptr<PostgresDatabase> database() const;
  /// Through a port of its own: a proxy's.
  [[nodiscard]] std::shared_ptr<PostgresDatabase> database(const std::string& address) const;
  /// What opening with this key file comes to, on a machine of its own.
  [[nodiscard]] Result<std::shared_ptr<PostgresKeyVault>> open(std::string_view name = "key") const;
  [[nodiscard]] Result<std::shared_ptr<PostgresKeyVault>> open(const MasterKey& master) const;
  /// The same where it must succeed.
  [[nodiscard]] std::shared_ptr<PostgresKeyVault> vault() const;
};

[[nodiscard]] SecretBytes key_of(std::string_view text);
/// The key as text, "absent", or what kept it from being read.
[[nodiscard]] std::string text_of(KeyVault& vault, std::string_view id);

}  // namespace latchkey::test
