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
export module latchkey.test.forwarding_store;
import latchkey.core;
import latchkey.session;
import latchkey.store;
import latchkey.store.quarantine;
import latchkey.store.record;
import latchkey.store.vault;

// What decorators of stores begin with.

export namespace latchkey::test {

/// Passes everything on; who derives from it overrides what is to be watched, or broken.
class ForwardingStore : public OAuthTokenStore {
 public:
  explicit ForwardingStore(std::shared_ptr<OAuthTokenStore> inner)
      : OAuthTokenStore(std::shared_ptr<Sealer>(inner, &inner->sealer())),
        inner_(std::move(inner)) {}

  Result<std::optional<SealedRecord>> load_record(std::string_view subject) override {
    return inner_->load_record(subject);
  }
  Result<void> save_record(const SealedRecord& record, Revision expected) override {
    return inner_->save_record(record, expected);
  }
  Result<void> remove(std::string_view subject, Revision expected) override {
    return inner_->remove(subject, expected);
  }
  Result<SessionPage> list(std::string_view cursor, std::size_t limit) override {
    return inner_->list(cursor, limit);
  }
  Result<std::unique_ptr<Lease>> lease(std::string_view subject, const LockWait& wait) override {
    return inner_->lease(subject, wait);
  }
  Result<void> reserve_room(std::string_view subject, std::size_t size) override {
    return inner_->reserve_room(subject, size);
  }
  void release_room(std::string_view subject) noexcept override { inner_->release_room(subject); }
  Result<void> save_claim(const RefreshClaim& claim) override { return inner_->save_claim(claim); }
  Result<std::optional<RefreshClaim>> load_claim(std::string_view subject) override {
    return inner_->load_claim(subject);
  }
  Result<void> clear_claim(std::string_view subject, std::uint64_t id) override {
    return inner_->clear_claim(subject, id);
  }
  std::optional<std::string> load_nonce(std::string_view origin, std::string_view jkt) override {
    return inner_->load_nonce(origin, jkt);
  }
  void save_nonce(std::string_view origin, std::string_view jkt, std::string_view nonce) override {
    inner_->save_nonce(origin, jkt, nonce);
  }
  Result<void> save_pending(const PendingRecord& pending, TimePoint now) override {
    return inner_->save_pending(pending, now);
  }
  Result<std::optional<PendingRecord>> take_pending(std::string_view key, TimePoint now) override {
    return inner_->take_pending(key, now);
  }
  Result<SideRecords> side_records() override { return inner_->side_records(); }
  Result<Swept> sweep(TimePoint now) override { return inner_->sweep(now); }
  Result<Quarantined> quarantine(std::string_view name) override {
    return inner_->quarantine(name);
  }
  Result<std::vector<Quarantined>> quarantined() override { return inner_->quarantined(); }
  std::uint64_t change_count(std::string_view subject) const noexcept override {
    return inner_->change_count(subject);
  }

 protected:
  [[nodiscard]] OAuthTokenStore& inner() const noexcept { return *inner_; }

 private:
  std::shared_ptr<OAuthTokenStore> inner_;
};

}  // namespace latchkey::test
