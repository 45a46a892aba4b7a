// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>
export module latchkey.store.postgres.vault_shelf;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.os.locks;
import latchkey.store.postgres.database;
import latchkey.store.quarantine;
import latchkey.store.vault.keychain_items;
import latchkey.store.vault.master_key;
import latchkey.store.vault.shelf;

// A vault's shelf that is a database: one row for the header, one a key. Writers are compared, not
// locked out; each function is a statement, or a transaction, that may be carried out twice. For
// latchkey.store.postgres.vault.

export namespace latchkey {

class PostgresShelf final : public VaultShelf {
 public:
  explicit PostgresShelf(std::shared_ptr<PostgresDatabase> database);

  /// Reads it of any database. Errors: corrupt, "vault.header_altered" (too large to be one).
  [[nodiscard]] static Result<std::optional<Bytes>> peek_header(PostgresDatabase& database);

  [[nodiscard]] std::string where() const override;
  [[nodiscard]] Result<void> accepts(const MasterKey& master) const override;
  [[nodiscard]] const KeychainItems* keychain_items() const noexcept override { return nullptr; }
  [[nodiscard]] Result<std::unique_ptr<HeldLock>> lock() override;

  [[nodiscard]] Result<std::optional<Bytes>> read_header() override;
  [[nodiscard]] Result<bool> replace_header(const std::optional<Bytes>& before,
                                            std::span<const unsigned char> after) override;
  /// Asks the database at most once a second, and one thread only; what came of that meanwhile.
  /// Empty if it does not answer.
  [[nodiscard]] std::optional<std::uint64_t> header_changes() override;
  /// Whoever replaces the header counts it in the same statement; only this object looks sooner.
  void announce_header() noexcept override;

  [[nodiscard]] Result<std::optional<Bytes>> read_note() override;
  [[nodiscard]] Result<void> write_note(std::span<const unsigned char> note) override;

  [[nodiscard]] Result<std::optional<Bytes>> read_key(std::string_view id) override;
  [[nodiscard]] Result<bool> add_key(std::string_view id,
                                     std::span<const unsigned char> bytes) override;
  /// In one transaction, so that one commit is waited for.
  [[nodiscard]] Result<std::vector<bool>> replace_keys(std::span<const KeyChange> changes) override;
  [[nodiscard]] Result<void> remove_key(std::string_view id) override;
  /// By pages; in the database's order of texts.
  [[nodiscard]] Result<KeyPage> list_keys(std::string_view after, KeyPart part) override;
  [[nodiscard]] Result<std::size_t> count_keys() override;
  /// Into the table latchkey_quarantined_keys.
  [[nodiscard]] Result<std::optional<Quarantined>> move_aside(std::string_view id,
                                                              const std::optional<Bytes>& before,
                                                              std::string_view why) override;
  [[nodiscard]] Result<std::vector<Quarantined>> aside() override;

 private:
  [[nodiscard]] bool take_turn_to_look();

  const std::shared_ptr<PostgresDatabase> database_;
  std::mutex mutex_;  // for what follows; not held while the database is asked
  std::optional<std::uint64_t> changes_;
  bool is_looking_ = false;
  std::chrono::steady_clock::time_point next_look_ = std::chrono::steady_clock::time_point::min();
};

}  // namespace latchkey
