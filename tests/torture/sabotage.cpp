// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>
module latchkey.test.torture_sabotage;
import latchkey.core;
import latchkey.session;
import latchkey.store;
import latchkey.store.record;
import latchkey.test.forwarding_store;

namespace latchkey::test {
namespace {

constexpr std::chrono::milliseconds kLateSave{300};

class LeaseForAll final : public ForwardingStore {
 public:
  using ForwardingStore::ForwardingStore;
  Result<std::unique_ptr<Lease>> lease(std::string_view, const LockWait&) override {
    class Free final : public Lease {
      bool still_held() override { return true; }
    };
    return std::unique_ptr<Lease>(std::make_unique<Free>());
  }
  // The room of a file store needs the lease that was not taken.
  Result<void> reserve_room(std::string_view, std::size_t) override { return {}; }
};

class SavesLater final : public ForwardingStore {
 public:
  using ForwardingStore::ForwardingStore;
  Result<void> save_record(const SealedRecord& record, Revision expected) override {
    const std::scoped_lock lock(mutex_);
    savers_.emplace_back([this, record, expected] {
      std::this_thread::sleep_for(kLateSave);
      static_cast<void>(inner().save_record(record, expected).has_value());
    });
    return {};
  }

 private:
  std::mutex mutex_;
  std::vector<std::jthread> savers_;
};

class ReadsBeforeLease final : public ForwardingStore {
 public:
  using ForwardingStore::ForwardingStore;

  Result<std::unique_ptr<Lease>> lease(std::string_view subject, const LockWait& wait) override {
    auto before = inner().load_record(subject);
    auto lease = inner().lease(subject, wait);
    if (!lease || !before) return lease;
    const std::scoped_lock lock(mutex_);
    before_.insert_or_assign(std::string(subject), *std::move(before));
    return std::unique_ptr<Lease>(
        std::make_unique<Remembering>(*std::move(lease), *this, std::string(subject)));
  }
  Result<std::optional<SealedRecord>> load_record(std::string_view subject) override {
    {
      const std::scoped_lock lock(mutex_);
      if (const auto found = before_.find(subject); found != before_.end()) return found->second;
    }
    return inner().load_record(subject);
  }
  Result<void> save_record(const SealedRecord& record, Revision expected) override {
    forget(record.summary.subject);
    return inner().save_record(record, expected);
  }

 private:
  class Remembering final : public Lease {
   public:
    Remembering(std::unique_ptr<Lease> lease, ReadsBeforeLease& store, std::string subject)
        : lease_(std::move(lease)), store_(store), subject_(std::move(subject)) {}
    ~Remembering() override { store_.forget(subject_); }
    bool still_held() override { return lease_->still_held(); }
    bool can_expire() const noexcept override { return lease_->can_expire(); }

   private:
    std::unique_ptr<Lease> lease_;
    ReadsBeforeLease& store_;
    std::string subject_;
  };
  void forget(std::string_view subject) {
    const std::scoped_lock lock(mutex_);
    if (const auto found = before_.find(subject); found != before_.end()) before_.erase(found);
  }
  std::mutex mutex_;
  std::map<std::string, std::optional<SealedRecord>, std::less<>> before_;
};

class MakesNoRoom final : public ForwardingStore {
 public:
  using ForwardingStore::ForwardingStore;
  Result<void> reserve_room(std::string_view, std::size_t) override { return {}; }
};

class ChecksNothing final : public ForwardingStore {
 public:
  using ForwardingStore::ForwardingStore;
  Result<std::unique_ptr<Lease>> lease(std::string_view subject, const LockWait& wait) override {
    auto lease = inner().lease(subject, wait);
    if (!lease) return lease;
    return std::unique_ptr<Lease>(std::make_unique<Unchecked>(*std::move(lease)));
  }

 private:
  class Unchecked final : public Lease {
   public:
    explicit Unchecked(std::unique_ptr<Lease> lease) : lease_(std::move(lease)) {}
    bool still_held() override { return true; }
    bool can_expire() const noexcept override { return lease_->can_expire(); }

   private:
    std::unique_ptr<Lease> lease_;
  };
};

class ComparesNothing final : public ForwardingStore {
 public:
  using ForwardingStore::ForwardingStore;
  Result<void> save_record(const SealedRecord& record, Revision expected) override {
    auto saved = inner().save_record(record, expected);
    if (saved || saved.error().code != ErrorCode::conflict) return saved;
    const auto stored = inner().load_record(record.summary.subject);
    if (!stored || !stored->has_value()) return saved;
    return inner().save_record(record, (*stored)->summary.revision);
  }
};

constexpr std::array<std::pair<Sabotage, std::string_view>, 7> kNames{
    {{Sabotage::none, "none"},
     {Sabotage::lease, "lease"},
     {Sabotage::handout, "handout"},
     {Sabotage::reread, "reread"},
     {Sabotage::room, "room"},
     {Sabotage::check, "check"},
     {Sabotage::compare, "compare"}}};

}  // namespace

std::string_view to_string(Sabotage sabotage) noexcept {
  return std::find_if(kNames.begin(), kNames.end(),
                      [&](const auto& one) { return one.first == sabotage; })
      ->second;
}

std::optional<Sabotage> sabotage_from(std::string_view name) noexcept {
  const auto found = std::find_if(kNames.begin(), kNames.end(),
                                  [&](const auto& one) { return one.second == name; });
  return found == kNames.end() ? std::nullopt : std::optional(found->first);
}

std::shared_ptr<OAuthTokenStore> sabotaged(Sabotage sabotage,
                                           std::shared_ptr<OAuthTokenStore> store) {
  switch (sabotage) {
    case Sabotage::none:
      break;
    case Sabotage::lease:
      return std::make_shared<LeaseForAll>(std::move(store));
    case Sabotage::handout:
      return std::make_shared<SavesLater>(std::move(store));
    case Sabotage::reread:
      return std::make_shared<ReadsBeforeLease>(std::move(store));
    case Sabotage::room:
      return std::make_shared<MakesNoRoom>(std::move(store));
    case Sabotage::check:
      return std::make_shared<ChecksNothing>(std::move(store));
    case Sabotage::compare:
      return std::make_shared<ComparesNothing>(std::move(store));
  }
  return store;
}

}  // namespace latchkey::test
