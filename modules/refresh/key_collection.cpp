// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <chrono>
#include <cstddef>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>
module latchkey.refresh.key_collection;
import latchkey.core.error;
import latchkey.core.time;
import latchkey.refresh.pending;
import latchkey.session;
import latchkey.store;
import latchkey.store.quarantine;
import latchkey.store.vault;

namespace latchkey {
namespace {

constexpr std::size_t kPage = 500;

Result<void> add_sessions(OAuthTokenStore& store, KeyReferences& references) {
  for (std::string cursor;;) {
    auto page = store.list(cursor, kPage);
    if (!page) return std::move(page).error();
    for (auto& row : page->sessions) {
      if (!row.summary) {
        references.doubts.push_back(std::move(row.name));
      } else if (!row.summary->dpop_jkt.empty()) {
        references.keys.insert(std::move(row.summary->dpop_jkt));
      }
    }
    if (page->next.empty()) return {};
    cursor = std::move(page->next);
  }
}

Result<void> add_pending(OAuthTokenStore& store, KeyReferences& references) {
  auto side = store.side_records();
  if (!side) return std::move(side).error();
  for (auto& row : side->pending) {
    auto jkt = row.pending ? pending_jkt(*row.pending, store.sealer())
                           : Result<std::string>(*std::move(row.error));
    if (jkt) {
      if (!jkt->empty()) references.keys.insert(*std::move(jkt));
    } else {
      references.doubts.push_back("pending login " + row.name);
    }
  }
  return {};
}

}  // namespace

std::vector<std::string> abandoned_keys(const std::vector<VaultKeyInfo>& keys,
                                        const KeyReferences& references, TimePoint now,
                                        Duration age) {
  std::vector<std::string> ids;
  if (!references.doubts.empty()) return ids;
  const auto least = std::max(age, kLeastCollectedAge);
  for (const auto& key : keys) {
    if (now - key.stored_at > least && !references.keys.contains(key.id)) ids.push_back(key.id);
  }
  return ids;
}

Result<KeyReferences> key_references(OAuthTokenStore& store) {
  KeyReferences references;
  if (auto done = add_sessions(store, references); !done) return std::move(done).error();
  if (auto done = add_pending(store, references); !done) return std::move(done).error();
  const auto aside = store.quarantined();
  if (!aside) return aside.error();
  for (const auto& entry : *aside) references.doubts.push_back("quarantined " + entry.name);
  return references;
}

Result<std::vector<std::string>> collect_abandoned_keys(KeyVault& vault, OAuthTokenStore& store,
                                                        TimePoint now,
                                                        const KeyCollection& options) {
  // Keys first: one that is put after this is not looked at, whatever its session is doing.
  const auto keys = vault.list();
  if (!keys) return keys.error();
  const auto references = key_references(store);
  if (!references) return references.error();
  auto ids = abandoned_keys(*keys, *references, now, options.age);
  ids.resize(std::min(ids.size(), options.at_most));
  for (const auto& id : ids) {
    if (auto removed = vault.remove(id); !removed) return std::move(removed).error();
  }
  return ids;
}

KeyCollector::KeyCollector(std::shared_ptr<KeyVault> vault, std::shared_ptr<OAuthTokenStore> store,
                           std::shared_ptr<Clock> clock)
    : vault_(std::move(vault)), store_(std::move(store)), clock_(std::move(clock)) {}

bool KeyCollector::begin(TimePoint now) {
  const std::scoped_lock lock(mutex_);
  // A clock that went back makes it due.
  if (last_ && now >= *last_ && now - *last_ < pause_) return false;
  last_ = now;
  pause_ = kBetweenCollections;
  return true;
}

void KeyCollector::collect_if_due() {
  const TimePoint now = clock_->now();
  if (!begin(now)) return;
  const auto removed = collect_abandoned_keys(*vault_, *store_, now, {.at_most = kMaxKeysAtLogin});
  if (!removed || removed->size() < kMaxKeysAtLogin) return;
  const std::scoped_lock lock(mutex_);
  pause_ = kBetweenSlices;
}

}  // namespace latchkey
