// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <cstddef>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
module latchkey.test.migration_rig;
import latchkey.core;
import latchkey.refresh.context;
import latchkey.refresh.migration;
import latchkey.session;
import latchkey.store;
import latchkey.store.memory;
import latchkey.store.record;
import latchkey.store.vault;
import latchkey.test.folder;
import latchkey.test.forwarding_store;
import latchkey.test.outcome;
import latchkey.test.refresh_places;
import latchkey.test.sample;

namespace latchkey::test {
namespace {

class Steps {
 public:
  Steps(std::string place, AtStep at) : place_(std::move(place)), at_(std::move(at)) {}

  template <class Work>
  auto operator()(const char* call, Work work) const -> decltype(work()) {
    const std::string name = place_ + "." + call;
    if (auto error = at_("before:" + name)) return *std::move(error);
    auto result = work();
    if (!result) return result;
    if (auto error = at_("after:" + name)) return *std::move(error);
    return result;
  }

 private:
  std::string place_;
  AtStep at_;
};

class SteppedStore final : public ForwardingStore {
 public:
  SteppedStore(std::shared_ptr<OAuthTokenStore> inner, Steps steps)
      : ForwardingStore(std::move(inner)), step_(std::move(steps)) {}

  Result<std::optional<SealedRecord>> load_record(std::string_view subject) override {
    return step_("load", [&] { return inner().load_record(subject); });
  }
  Result<void> save_record(const SealedRecord& record, Revision expected) override {
    return step_("save", [&] { return inner().save_record(record, expected); });
  }
  Result<void> remove(std::string_view subject, Revision expected) override {
    return step_("remove", [&] { return inner().remove(subject, expected); });
  }
  Result<std::unique_ptr<Lease>> lease(std::string_view subject, const LockWait& wait) override {
    return step_("lease", [&] { return inner().lease(subject, wait); });
  }
  Result<void> save_claim(const RefreshClaim& claim) override {
    return step_("save_claim", [&] { return inner().save_claim(claim); });
  }
  Result<void> save_pending(const PendingRecord& pending, TimePoint now) override {
    return step_("save_pending", [&] { return inner().save_pending(pending, now); });
  }
  Result<std::optional<PendingRecord>> take_pending(std::string_view key, TimePoint now) override {
    return step_("take_pending", [&] { return inner().take_pending(key, now); });
  }

 private:
  Steps step_;
};

class SteppedVault final : public KeyVault {
 public:
  SteppedVault(std::shared_ptr<KeyVault> inner, Steps steps)
      : inner_(std::move(inner)), step_(std::move(steps)) {}

  Result<void> put(std::string_view id, const SecretBytes& key) override {
    return step_("put", [&] { return inner_->put(id, key); });
  }
  Result<std::optional<SecretBytes>> get(std::string_view id) override {
    return step_("get", [&] { return inner_->get(id); });
  }
  Result<void> remove(std::string_view id) override { return inner_->remove(id); }
  Result<std::vector<VaultKeyInfo>> list() override { return inner_->list(); }
  std::shared_ptr<Sealer> sealer() override { return inner_->sealer(); }

 private:
  std::shared_ptr<KeyVault> inner_;
  Steps step_;
};

}  // namespace

MigrationPlace open_place(std::string_view kind, const std::filesystem::path& folder) {
  if (kind == "memory") {
    auto vault = memory_vault();
    auto store = MemoryOAuthTokenStore::create(vault->sealer());
    return {.store = std::move(store), .vault = std::move(vault)};
  }
  Kept kept = open_kept(kind, folder);
  return {.store = std::move(kept.store), .vault = std::move(kept.vault)};
}

MigrationPlace stepped(const MigrationPlace& place, std::string name, AtStep at) {
  const Steps steps(std::move(name), std::move(at));
  return {.store = std::make_shared<SteppedStore>(place.store, steps),
          .vault = std::make_shared<SteppedVault>(place.vault, steps)};
}

OAuthSession plant(const MigrationPlace& place, std::string_view subject,
                   const std::function<void(OAuthSession&)>& change) {
  SystemRandom random;
  OAuthSession session = sample_session();
  session.subject = subject;
  session.dpop_jkt = sha256_base64url(subject);
  session.state = SessionState::active;
  session.state_cause.clear();
  session.state_changed_at.reset();
  session.issued_at = kPlantedAt;
  session.access_token = SecretString("at-" + std::string(subject));
  session.refresh_token = SecretString("rt-" + std::string(subject));
  session.revision = draw_revision(random);
  if (change) change(session);
  if (!session.dpop_jkt.empty())
    place.vault->put(session.dpop_jkt, SecretBytes(as_bytes(session.dpop_jkt))).value();
  const auto before = place.store->load_record(session.subject).value();
  place.store->save(session, before ? before->summary.revision : Revision{}).value();
  return session;
}

std::string found(const MigrationPlace& place, std::string_view subject) {
  const auto session = place.store->load(subject);
  if (!session) return outcome(session);
  if (!*session) return "absent";
  const OAuthSession& there = **session;
  return std::string(to_string(there.state)) + " " + std::string(there.access_token.expose()) +
         " " + std::to_string(there.login_id);
}

bool is_usable(const MigrationPlace& place, std::string_view subject) {
  const auto session = place.store->load(subject).value();
  return session && session->state == SessionState::active &&
         place.vault->get(session->dpop_jkt).value().has_value();
}

bool has_tokens(const MigrationPlace& place, std::string_view subject) {
  const auto session = place.store->load(subject).value();
  return session && session->refresh_token && !session->access_token.empty();
}

MigrationOptions at_once() {
  return {.lease_patience = std::chrono::milliseconds{0},
          .clock = std::make_shared<ManualClock>(kPlantedAt + std::chrono::minutes(1))};
}

MigrationPlaces::MigrationPlaces(std::string_view from, std::string_view to)
    : source(open_place(from, folder.path() / "source")),
      target(open_place(to, folder.path() / "target")) {}

MigrationReport MigrationPlaces::migrate(const MigrationOptions& options) const {
  return migrate_sessions(source, target, options).value();
}

std::string MigrationPlaces::left(const MigrationOptions& options) const {
  const auto report = migrate(options);
  if (report.left != 1 || report.told_left.size() != 1) return "not one was left";
  return outcome(*report.told_left[0].error);
}

}  // namespace latchkey::test
