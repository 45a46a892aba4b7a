// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>
export module latchkey.refresh.key_collection;
import latchkey.core.error;
import latchkey.core.time;
import latchkey.store;
import latchkey.store.vault;

// Keys that nobody needs any more: a program that is killed between making a key and saving its
// session leaves one behind. Only for a vault that serves one store alone: what another store needs
// cannot be seen from here.

export namespace latchkey {

/// Logins are pending for half an hour at most; the rest is a margin for clocks that jump.
inline constexpr Duration kAbandonedAfter = std::chrono::hours(24);
/// No key is collected younger, whatever age is asked for.
inline constexpr Duration kLeastCollectedAge = std::chrono::hours(1);
/// A login removes no more keys than these: it should not take long.
inline constexpr std::size_t kMaxKeysAtLogin = 256;
/// How soon after a collection the next one is due: reading all records takes its time.
inline constexpr Duration kBetweenCollections = std::chrono::hours(1);
/// The same if that one left keys for the next.
inline constexpr Duration kBetweenSlices = std::chrono::minutes(1);

/// Which keys a store needs, as far as it can tell.
struct KeyReferences {
  std::set<std::string, std::less<>> keys;  ///< of sessions in every state, and of pending logins
  /// What cannot be read and may need a key: names, for people. Nothing is collected beside it.
  std::vector<std::string> doubts;
};

/// The judgement: ids of keys that are older than `age`, and that nothing refers to; none if there
/// is any doubt.
[[nodiscard]] std::vector<std::string> abandoned_keys(const std::vector<VaultKeyInfo>& keys,
                                                      const KeyReferences& references,
                                                      TimePoint now,
                                                      Duration age = kAbandonedAfter);

/// Reads all records, those that wait for their revocation and expired pending logins too. Records
/// in quarantine are doubts: they may be restored. Errors: those of the store.
[[nodiscard]] Result<KeyReferences> key_references(OAuthTokenStore& store);

struct KeyCollection {
  Duration age = kAbandonedAfter;
  std::size_t at_most = static_cast<std::size_t>(-1);  ///< removed; the rest is for the next time
};
/// Removes abandoned keys and gives their ids. `vault` must serve `store` alone. Errors: those of
/// both.
[[nodiscard]] Result<std::vector<std::string>> collect_abandoned_keys(
    KeyVault& vault, OAuthTokenStore& store, TimePoint now, const KeyCollection& options = {});

/// Collects now and then, a slice at a time, however large the vault is. Thread-safe.
class KeyCollector {
 public:
  /// `vault` must serve `store` alone.
  KeyCollector(std::shared_ptr<KeyVault> vault, std::shared_ptr<OAuthTokenStore> store,
               std::shared_ptr<Clock> clock);
  /// Removes at most kMaxKeysAtLogin abandoned keys if a collection is due; the first one is at
  /// once. Best effort: what fails is tried when the next one is due.
  void collect_if_due();

 private:
  [[nodiscard]] bool begin(TimePoint now);

  std::shared_ptr<KeyVault> vault_;
  std::shared_ptr<OAuthTokenStore> store_;
  std::shared_ptr<Clock> clock_;
  std::mutex mutex_;
  std::optional<TimePoint> last_;
  Duration pause_ = kBetweenCollections;
};

}  // namespace latchkey
