// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <set>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
module latchkey.store.vault.rotation;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.secret;
import latchkey.core.time;
import latchkey.store.vault;
import latchkey.store.vault.aead;
import latchkey.store.vault.data_keys;
import latchkey.store.vault.header;
import latchkey.store.vault.keychain_items;
import latchkey.store.vault.managed;
import latchkey.store.vault.master_key;
import latchkey.store.vault.master_key_source;
import latchkey.store.vault.opening;
import latchkey.store.vault.sealed_keys;
import latchkey.store.vault.shelf;

namespace latchkey {
namespace {

// When the newest data key became so, sealed with it.
Result<void> write_note(VaultShelf& shelf, Sealer& sealer) {
  const auto now = static_cast<std::uint64_t>(
      std::chrono::floor<std::chrono::milliseconds>(shelf.seams().clock->now().time_since_epoch())
          .count());
  std::array<unsigned char, 8> bytes{};
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    bytes[i] = static_cast<unsigned char>(now >> (56 - 8 * i));
  }
  const auto box = sealer.seal(bytes, "");
  if (!box) return box.error();
  return shelf.write_note(*box);
}

// Empty if there is no note of the newest data key that can be believed.
std::optional<TimePoint> read_note(VaultShelf& shelf, Sealer& sealer) {
  const auto bytes = shelf.read_note();
  if (!bytes || !*bytes || !sealer.is_current(**bytes)) return std::nullopt;
  const auto text = sealer.open(**bytes, "");
  if (!text || text->size() != 8) return std::nullopt;
  std::uint64_t at = 0;
  for (const unsigned char byte : text->expose()) at = at << 8 | byte;
  return TimePoint{} + std::chrono::milliseconds{static_cast<std::int64_t>(at)};
}

Error too_early(std::chrono::milliseconds left) {
  const auto seconds = std::chrono::ceil<std::chrono::seconds>(left);
  Error error = make_error(
      ErrorCode::locked, "vault.rotated_recently",
      "cannot drop old data keys yet: programs that run may still be saving with one; try again "
      "in " +
          std::to_string(std::chrono::ceil<std::chrono::minutes>(left).count()) + " min");
  error.retry_after = seconds;
  return error;
}

Result<void> check_grace(VaultShelf& shelf, Sealer& sealer) {
  const auto rotated = read_note(shelf, sealer);
  const auto now = shelf.seams().clock->now();
  if (rotated && *rotated <= now) {
    if (now - *rotated >= kDataKeyGrace) return {};
    return too_early(std::chrono::ceil<std::chrono::milliseconds>(*rotated + kDataKeyGrace - now));
  }
  // Lost, altered, or the clock was set back: the time runs from now.
  if (auto written = write_note(shelf, sealer); !written) return written;
  return too_early(kDataKeyGrace);
}

std::string hex_id(const SecretBytes& data_key) {
  return hex_encode(key_id_of(data_key));
}

// The data keys that seal keys.
Result<std::set<std::string>> used_by_keys(const OpenVault& vault) {
  std::set<std::string> used;
  const auto visited = visit_keys(*vault.shelf, KeyPart::bytes, [&](ShelvedKey& key) {
    auto data_key = data_key_of(vault, key);
    if (!data_key) return Result<void>(std::move(data_key).error());
    used.insert(*std::move(data_key));
    return Result<void>();
  });
  if (!visited) return visited.error();
  return used;
}

// Reads the header, lets `edit` change what it keeps, and writes it, until nobody has been faster.
// `edit` says whether there is something to write.
Result<void> change_header(const OpenVault& vault,
                           const std::function<Result<bool>(UnlockedVault&)>& edit) {
  const auto held = vault.shelf->lock();
  if (!held) return held.error();
  for (;;) {
    auto now = vault.data_keys->reload();
    if (!now) return std::move(now).error();
    const auto edited = edit(*now);
    if (!edited) return edited.error();
    if (!*edited) return {};
    const auto written = write_header(*vault.shelf, *now);
    if (!written) return written.error();
    if (*written) return {};
  }
}

Result<void> use_changed_header(const OpenVault& vault) {
  if (auto read = vault.data_keys->reload(); !read) return std::move(read).error();
  return {};
}

Result<void> visit_pages(VaultShelf& shelf, KeyPart part,
                         const std::function<Result<void>(std::vector<ShelvedKey>&)>& visit) {
  for (std::string after;;) {
    auto page = shelf.list_keys(after, part);
    if (!page) return std::move(page).error();
    if (auto visited = visit(page->keys); !visited) return visited;
    if (page->is_last) return {};
    after = std::move(page->keys.back().info.id);
  }
}

// Empty if there is nothing to change.
Result<std::optional<KeyChange>> change_of(const OpenVault& vault, const std::string& id,
                                           const Bytes& bytes) {
  const auto current = vault.keys.is_current(id, bytes);
  if (!current) return current.error();
  if (*current) return std::optional<KeyChange>();
  const auto key = vault.keys.open(id, bytes);
  if (!key) return key.error();
  auto sealed = vault.keys.seal(id, *key);
  if (!sealed) return std::move(sealed).error();
  return std::optional(KeyChange{.id = id, .before = bytes, .after = *std::move(sealed)});
}

// True if it was sealed with an older data key. Under the lock of each key only, so that others can
// go on using the vault.
Result<bool> reseal_key(const OpenVault& vault, const ShelvedKey& key) {
  const auto held = vault.shelf->lock();
  if (!held) return held.error();
  for (std::optional<Bytes> known = key.bytes;; known.reset()) {
    const auto bytes =
        known ? Result<std::optional<Bytes>>(known) : vault.shelf->read_key(key.info.id);
    if (!bytes) return bytes.error();
    if (!*bytes) return false;
    const auto change = change_of(vault, key.info.id, **bytes);
    if (!change) return change.error();
    if (!*change) return false;
    const auto replaced = vault.shelf->replace_keys(std::span(&**change, 1));
    if (!replaced) return replaced.error();
    if (replaced->front()) return true;
  }
}

// Seals anew in one step what came along with a list, and says how many. What another process has
// changed meanwhile loses its bytes, so that it is looked at again; what can't be read stays.
Result<std::size_t> reseal_together(const OpenVault& vault, std::vector<ShelvedKey>& keys) {
  std::vector<KeyChange> changes;
  std::vector<ShelvedKey*> changed;
  for (ShelvedKey& key : keys) {
    if (!key.bytes) continue;
    auto change = change_of(vault, key.info.id, *key.bytes);
    if (!change || !*change) continue;
    changes.push_back(*std::move(*change));
    changed.push_back(&key);
  }
  if (changes.empty()) return std::size_t{0};
  const auto held = vault.shelf->lock();
  if (!held) return held.error();
  const auto replaced = vault.shelf->replace_keys(changes);
  if (!replaced) return replaced.error();
  for (std::size_t i = 0; i < changes.size(); ++i) {
    changed[i]->bytes = (*replaced)[i] ? std::optional(std::move(changes[i].after)) : std::nullopt;
  }
  return static_cast<std::size_t>(std::count(replaced->begin(), replaced->end(), true));
}

// One rotation's way through the keys of a vault.
struct KeyResealing {
  const OpenVault& vault;
  const RotationProgress& progress;
  const std::stop_token stop;
  ResealedKeys result;
  std::size_t done = 0;

  Result<void> take_page(std::vector<ShelvedKey>& keys) {
    const auto together =
        stop.stop_requested() ? Result<std::size_t>(0) : reseal_together(vault, keys);
    if (!together) return together.error();
    result.resealed += *together;
    for (const ShelvedKey& key : keys) {
      if (stop.stop_requested()) {
        return make_error(ErrorCode::cancelled, "vault.cancelled",
                          "stopped re-sealing the vault's keys; run it again to go on");
      }
      if (auto taken = take(key); !taken) return taken;
    }
    return {};
  }

  Result<void> take(const ShelvedKey& key) {
    const auto resealed = reseal_key(vault, key);
    if (resealed) {
      result.resealed += *resealed ? 1 : 0;
    } else if (resealed.error().code == ErrorCode::io ||
               resealed.error().code == ErrorCode::locked) {
      return resealed.error();
    } else {
      ++result.unreadable_count;
      if (result.unreadable.size() < kMostListed) result.unreadable.push_back(resealed.error());
    }
    // Keys that came meanwhile count too.
    result.total = std::max(result.total, ++done);
    if (progress) progress(done, result.total);
    return {};
  }
};

}  // namespace

Result<void> visit_keys(VaultShelf& shelf, KeyPart part,
                        const std::function<Result<void>(ShelvedKey&)>& visit) {
  return visit_pages(shelf, part, [&](std::vector<ShelvedKey>& keys) -> Result<void> {
    for (ShelvedKey& key : keys) {
      if (auto visited = visit(key); !visited) return visited;
    }
    return {};
  });
}

Result<std::string> data_key_of(const OpenVault& vault, const ShelvedKey& key) {
  if (key.bytes) return vault.keys.data_key_of(key.info.id, *key.bytes);
  const auto bytes = vault.shelf->read_key(key.info.id);
  if (!bytes) return bytes.error();
  return *bytes ? vault.keys.data_key_of(key.info.id, **bytes) : std::string();
}

Result<void> rewrap_vault(const OpenVault& vault, const MasterKey& old, const MasterKey& fresh) {
  VaultShelf& shelf = *vault.shelf;
  if (auto good = check_master_key(shelf, fresh); !good) return good;
  MasterKeySource source(shelf, fresh);
  if (auto ready = source.prepare(); !ready) return ready;
  std::optional<KeychainItem> item;
  const auto changed = change_header(vault, [&](UnlockedVault& now) -> Result<bool> {
    if (now.header.kind == MasterKey::Kind::keychain) {
      if (auto noted = shelf.keychain_items()->note(now.header.item); !noted) return noted.error();
    }
    auto master_key = source.make(now.header);
    if (!master_key) return std::move(master_key).error();
    now.master_key = *std::move(master_key);
    vault.data_keys->expect_master_key(now.master_key);
    if (fresh.kind() == MasterKey::Kind::keychain) item = now.header.item;
    return true;
  });
  if (!changed) return changed;
  const auto& keeper = fresh.keeper() ? fresh.keeper() : old.keeper();
  if (keeper) shelf.keychain_items()->remove_left(*keeper, item);
  return {};
}

Result<void> add_data_key(const OpenVault& vault) {
  VaultShelf& shelf = *vault.shelf;
  const auto changed = change_header(vault, [&](UnlockedVault& now) -> Result<bool> {
    if (now.data_keys.size() == kMaxDataKeys) {
      return make_error(ErrorCode::conflict, "vault.too_many_data_keys",
                        "cannot rotate the vault: it keeps 32 data keys already; drop old ones "
                        "that nothing is sealed with any more");
    }
    now.data_keys.insert(now.data_keys.begin(), random_key(*shelf.seams().random));
    const auto sealer = make_sealer(now.data_keys, kRotationPurpose, shelf.seams().random);
    if (auto noted = write_note(shelf, *sealer); !noted) return std::move(noted).error();
    return true;
  });
  if (!changed) return changed;
  return use_changed_header(vault);
}

Result<ResealedKeys> reseal_keys(const OpenVault& vault, const RotationProgress& progress,
                                 std::stop_token stop) {
  VaultShelf& shelf = *vault.shelf;
  // Others learn of the new key at the latest now, if who made it died before it could say so.
  shelf.announce_header();
  const auto count = shelf.count_keys();
  if (!count) return count.error();
  KeyResealing resealing{
      .vault = vault,
      .progress = progress,
      .stop = std::move(stop),
      .result = {.total = *count, .resealed = 0, .unreadable = {}, .unreadable_count = 0}};
  const auto visited = visit_pages(shelf, KeyPart::bytes, [&](std::vector<ShelvedKey>& keys) {
    return resealing.take_page(keys);
  });
  if (!visited) return visited.error();
  resealing.result.total = resealing.done;
  return std::move(resealing.result);
}

Result<std::size_t> drop_data_keys(const OpenVault& vault,
                                   std::span<const std::string> still_used) {
  VaultShelf& shelf = *vault.shelf;
  shelf.announce_header();
  std::size_t dropped = 0;
  const auto changed = change_header(vault, [&](UnlockedVault& now) -> Result<bool> {
    if (now.data_keys.size() == 1) return false;
    const auto sealers = vault.data_keys->current();
    if (auto over = check_grace(shelf, *sealers->rotation); !over) return std::move(over).error();
    auto used = used_by_keys(vault);
    if (!used) return std::move(used).error();
    used->insert(still_used.begin(), still_used.end());
    used->insert(hex_id(now.data_keys.front()));
    dropped = std::erase_if(now.data_keys, [&](const SecretBytes& data_key) {
      return !used->contains(hex_id(data_key));
    });
    return dropped > 0;
  });
  if (!changed) return changed.error();
  if (dropped > 0) {
    if (auto used = use_changed_header(vault); !used) return std::move(used).error();
  }
  return dropped;
}

}  // namespace latchkey
