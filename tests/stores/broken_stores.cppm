// SPDX-License-Identifier: MIT
module;
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
export module latchkey.test.broken_stores;
import latchkey.core.error;
import latchkey.core.os.files;
import latchkey.core.os.locks;
import latchkey.core.time;
import latchkey.session;
import latchkey.store;
import latchkey.store.quarantine;
import latchkey.store.record;
import latchkey.test.conformance;

// Stores that break one promise each: what the conformance rules have to find.

export namespace latchkey::test {

/// Passes everything on; the broken ones override what they break.
class ForwardingStore : public OAuthTokenStore {
 public:
  explicit ForwardingStore(std::shared_ptr<OAuthTokenStore> inner);
  Result<std::optional<SealedRecord>> load_record(std::string_view subject) override;
  Result<void> save_record(const SealedRecord& record, Revision expected) override;
  Result<void> remove(std::string_view subject, Revision expected) override;
  Result<SessionPage> list(std::string_view cursor, std::size_t limit) override;
  Result<std::unique_ptr<Lease>> lease(std::string_view subject, const LockWait& wait) override;
  Result<void> reserve_room(std::string_view subject, std::size_t size) override;
  void release_room(std::string_view subject) noexcept override;
  Result<void> save_claim(const RefreshClaim& claim) override;
  Result<std::optional<RefreshClaim>> load_claim(std::string_view subject) override;
  Result<void> clear_claim(std::string_view subject, std::uint64_t id) override;
  std::optional<std::string> load_nonce(std::string_view origin, std::string_view jkt) override;
  void save_nonce(std::string_view origin, std::string_view jkt, std::string_view nonce) override;
  Result<void> save_pending(const PendingRecord& pending, TimePoint now) override;
  Result<std::optional<PendingRecord>> take_pending(std::string_view key, TimePoint now) override;
  Result<SideRecords> side_records() override;
  Result<Quarantined> quarantine(std::string_view name) override;
  Result<std::vector<Quarantined>> quarantined() override;
  std::uint64_t change_count(std::string_view subject) const noexcept override;

 protected:
  [[nodiscard]] OAuthTokenStore& inner() const noexcept { return *inner_; }

 private:
  std::shared_ptr<OAuthTokenStore> inner_;
};

/// A place whose instances are wrapped in `Broken`.
template <class Broken, class Place>
class BrokenPlace final : public StorePlace {
 public:
  Result<std::shared_ptr<OAuthTokenStore>> open() override {
    auto store = place_.open();
    if (!store) return store;
    return std::shared_ptr<OAuthTokenStore>(std::make_shared<Broken>(std::move(*store)));
  }
  bool damage(std::string_view subject) override { return place_.damage(subject); }
  std::shared_ptr<Clock> clock() override { return place_.clock(); }

 private:
  Place place_;
};

/// Passes everything on but the two kinds of fsync, which do nothing.
[[nodiscard]] std::shared_ptr<FileSystem> without_sync(std::shared_ptr<FileSystem> inner);

}  // namespace latchkey::test
