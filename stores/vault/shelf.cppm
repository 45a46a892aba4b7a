// SPDX-License-Identifier: MIT
module;
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
export module latchkey.store.vault.shelf;
import latchkey.core.crypto;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.os.files;
import latchkey.core.os.locks;
import latchkey.core.time;
import latchkey.store.quarantine;
import latchkey.store.vault;
import latchkey.store.vault.keychain_items;
import latchkey.store.vault.master_key;

// Contract of the place where a vault's bytes lie: a header, a note, and one sealed text a key. A
// shelf opens nothing and knows no secret; what the bytes are and when they change is the same for
// all shelves, and above it: opening, data_keys, sealed_keys, rotation, shelved_vault.

export namespace latchkey {

/// The seams that a vault works through. All are set.
struct VaultSeams {
  std::shared_ptr<FileSystem> files;  ///< for key files
  std::shared_ptr<Random> random;
  std::shared_ptr<Clock> clock;
};

/// A key on a shelf.
struct ShelvedKey {
  VaultKeyInfo info;
  /// Its bytes, if they came along with the list; else read_key() has them.
  std::optional<Bytes> bytes;
};

/// A key's bytes, as they are and as they are to be.
struct KeyChange {
  std::string id;
  Bytes before, after;
};

struct KeyPage {
  std::vector<ShelvedKey> keys;
  bool is_last = false;
};

/// Which part of its keys a list is about.
enum class KeyPart { names, bytes };

/// Thread-safe, and safe between processes. What changes something is called with lock() held, and
/// each change is whole and durable when its function returns. Shelves keep writers apart in one of
/// two ways: by lock(), so that what was read under it still stands when it is replaced; or by
/// comparing, so that a change is carried out only while what stands there is what the caller has
/// read. Callers do as if both were so: they hold the lock, and look again when they are told that
/// something else stands there.
class VaultShelf {
 public:
  explicit VaultShelf(VaultSeams seams) : seams_(std::move(seams)) {}
  VaultShelf(const VaultShelf&) = delete;
  VaultShelf& operator=(const VaultShelf&) = delete;
  virtual ~VaultShelf();

  [[nodiscard]] const VaultSeams& seams() const noexcept { return seams_; }
  /// For people: which place this is.
  [[nodiscard]] virtual std::string where() const = 0;
  /// Refuses master keys that would be of no use here.
  [[nodiscard]] virtual Result<void> accepts(const MasterKey& master) const = 0;
  /// Where keychain items are noted; nullptr if no vault of this shelf has its key in one.
  [[nodiscard]] virtual const KeychainItems* keychain_items() const noexcept = 0;
  /// Keeps other writers away until it is destroyed; empty where writers are compared instead.
  /// Error: locked, "lock.held".
  [[nodiscard]] virtual Result<std::unique_ptr<HeldLock>> lock() = 0;

  /// Empty if there is none. At most kMaxHeaderSize bytes. Durable when it returns: what is sealed
  /// with a data key must not be kept before the header that holds the key.
  [[nodiscard]] virtual Result<std::optional<Bytes>> read_header() = 0;
  /// Replaces `before` (empty: there is none). False: another one stands there.
  [[nodiscard]] virtual Result<bool> replace_header(const std::optional<Bytes>& before,
                                                    std::span<const unsigned char> after) = 0;
  /// Moves when any process has replaced the header; sooner or later, as the shelf promises. Empty
  /// if that cannot be known at present.
  [[nodiscard]] virtual std::optional<std::uint64_t> header_changes() = 0;
  /// Lets other vault objects know that the header was replaced, if it may be that nobody has.
  virtual void announce_header() noexcept = 0;

  /// The note of the last rotation, which helps and proves nothing; empty if there is none.
  [[nodiscard]] virtual Result<std::optional<Bytes>> read_note() = 0;
  [[nodiscard]] virtual Result<void> write_note(std::span<const unsigned char> note) = 0;

  /// Empty if there is no such key.
  [[nodiscard]] virtual Result<std::optional<Bytes>> read_key(std::string_view id) = 0;
  /// False if there is one already, which is durable then.
  [[nodiscard]] virtual Result<bool> add_key(std::string_view id,
                                             std::span<const unsigned char> bytes) = 0;
  /// Whether each was replaced; not, if it is gone or another text stands there. An error leaves
  /// each as it was or replaced.
  [[nodiscard]] virtual Result<std::vector<bool>> replace_keys(
      std::span<const KeyChange> changes) = 0;
  /// Idempotent.
  [[nodiscard]] virtual Result<void> remove_key(std::string_view id) = 0;
  /// The keys whose ids come after `after`, by ascending id; as many as the shelf likes to give at
  /// once, and one at least unless it is the last page.
  [[nodiscard]] virtual Result<KeyPage> list_keys(std::string_view after, KeyPart part) = 0;
  [[nodiscard]] virtual Result<std::size_t> count_keys() = 0;
  /// Moves a key's bytes aside as they are; nothing is deleted. Empty if it is gone or another text
  /// stands there; `before` is empty when the bytes can't be had at all.
  [[nodiscard]] virtual Result<std::optional<Quarantined>> move_aside(
      std::string_view id, const std::optional<Bytes>& before, std::string_view why) = 0;
  /// What lies there, oldest first.
  [[nodiscard]] virtual Result<std::vector<Quarantined>> aside() = 0;

 private:
  const VaultSeams seams_;
};

}  // namespace latchkey
