// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <memory>
#include <string>
#include <string_view>
export module latchkey.test.postgres_store_place;
import latchkey.core.error;
import latchkey.core.time;
import latchkey.store;
import latchkey.store.postgres;
import latchkey.store.postgres.database;
import latchkey.store.vault;
import latchkey.test.conformance;
import latchkey.test.postgres_place;

// A database with sessions in it, and the machines that share it.

export namespace latchkey::test {

/// Short waits, so that a test that waits for them need not wait long.
inline constexpr PostgresStoreOptions kQuickStore{.lease_time = std::chrono::seconds(20),
                                                  .staleness = std::chrono::milliseconds(50)};

/// A store as one machine has it.
struct Machine {
  std::shared_ptr<PostgresDatabase> database;
  std::shared_ptr<OAuthTokenStore> store;
};

class PostgresStorePlace : public StorePlace {
 public:
  explicit PostgresStorePlace(const PostgresStoreOptions& options = kQuickStore)
      : options_(options) {}

  [[nodiscard]] Result<std::shared_ptr<OAuthTokenStore>> open() override;
  [[nodiscard]] bool damage(std::string_view subject) override;
  [[nodiscard]] Duration staleness() override { return options_.staleness; }

  /// Another machine; by another way to the server if `port` is not 0. Throws latchkey::Exception.
  [[nodiscard]] Machine machine(std::uint16_t port = 0, PostgresOptions options = {});
  [[nodiscard]] PostgresPlace& database() noexcept { return place_; }
  [[nodiscard]] const std::shared_ptr<KeyVault>& vault() const noexcept { return vault_; }

  /// Its lease runs out now, by the database's clock.
  void expire_lease(std::string_view subject);
  /// What the lease's row says: holder, fence and so on; empty if there is none.
  [[nodiscard]] std::string lease(std::string_view column, std::string_view subject);

 private:
  PostgresStoreOptions options_;
  PostgresPlace place_;
  std::shared_ptr<KeyVault> vault_ = memory_vault();
};

/// As a literal of SQL.
[[nodiscard]] std::string quoted(std::string_view text);

}  // namespace latchkey::test
