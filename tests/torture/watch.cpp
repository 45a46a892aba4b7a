// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
module latchkey.test.torture_watch;
import latchkey.core;
import latchkey.http;
import latchkey.session;
import latchkey.store;
import latchkey.store.record;
import latchkey.test.forwarding_store;
import latchkey.test.torture_notes;
import latchkey.test.torture_scoreboard;

namespace latchkey::test {
namespace {

// The slot of the refresh that this thread runs. A thread that ends has given up, but for a session
// that it could not save: then its process is ending with the only good token.
class CurrentSlot {
 public:
  CurrentSlot() = default;
  CurrentSlot(const CurrentSlot&) = delete;
  CurrentSlot& operator=(const CurrentSlot&) = delete;
  ~CurrentSlot() {
    if (slot_ != nullptr && slot_->stage != Stage::unsaved && slot_->stage != Stage::held_up)
      done();
  }
  void got_lease() { claimed_ = false; }
  void begin(std::shared_ptr<Scoreboard> board, std::uint32_t subject, TimePoint at) {
    done();
    claimed_ = true;
    slot_ = board->take(subject, at);
    board_ = std::move(board);
  }
  void checks(TimePoint at) {
    if (slot_ != nullptr) set(slot_->checked, at);
  }
  void reach(Stage stage) {
    if (slot_ != nullptr) slot_->stage = stage;
  }
  // Where the driver wants it. All threads of the process stand still then.
  void halt_if_ordered(Stage stage) {
    if (slot_ != nullptr && board_->obey_halt(stage)) static_cast<void>(std::raise(SIGSTOP));
  }
  void sends(Mark request) {
    if (slot_ != nullptr) slot_->request = request;
    reach(Stage::posting);
  }
  void saved() {
    if (slot_ != nullptr) set(slot_->saved, SystemClock().now());
    done(Stage::saved);
  }
  void done(Stage end = Stage::over) {
    reach(end);
    slot_ = nullptr;
    board_.reset();
  }
  [[nodiscard]] bool is_taken() const { return slot_ != nullptr; }
  /// Since it got its lease.
  [[nodiscard]] bool has_claimed() const { return claimed_; }

 private:
  bool claimed_ = false;
  std::shared_ptr<Scoreboard> board_;  // the slot's; threads may end later than stores
  Slot* slot_ = nullptr;
};

thread_local CurrentSlot current;

// Counts an adoption: somebody changed the record while this thread waited for the lease, and then
// it did not send anything.
class WatchedLease final : public Lease {
 public:
  WatchedLease(std::unique_ptr<Lease> inner, Counters& counters, bool changed)
      : inner_(std::move(inner)), counters_(counters), changed_(changed) {}
  ~WatchedLease() override {
    if (changed_ && !current.has_claimed()) ++counters_.adoptions;
  }
  bool still_held() override {
    current.halt_if_ordered(Stage::claimed);
    const TimePoint begun = SystemClock().now();
    const bool held = inner_->still_held();
    if (held) current.checks(begun);
    return held;
  }
  bool can_expire() const noexcept override { return inner_->can_expire(); }

 private:
  std::unique_ptr<Lease> inner_;
  Counters& counters_;
  bool changed_;
};

// The store is as it was, and so is the room in it: it only cannot be had now.
bool is_out_of_reach(const Error& error) {
  constexpr std::array<std::string_view, 6> kDetails{
      "postgres.connection_lost", "postgres.unreachable", "postgres.starting",
      "postgres.shutting_down",   "postgres.timeout",     "postgres.too_many_connections"};
  return error.code == ErrorCode::locked ||
         std::find(kDetails.begin(), kDetails.end(), error.detail) != kDetails.end();
}

class WatchedStore final : public ForwardingStore {
 public:
  WatchedStore(std::shared_ptr<OAuthTokenStore> inner, std::shared_ptr<Scoreboard> board,
               std::vector<std::string> subjects)
      : ForwardingStore(std::move(inner)),
        board_(std::move(board)),
        subjects_(std::move(subjects)) {}

  Result<std::unique_ptr<Lease>> lease(std::string_view subject, const LockWait& wait) override {
    const auto before = change_count(subject);
    auto lease = inner().lease(subject, wait);
    if (!lease) return lease;
    current.got_lease();
    return std::unique_ptr<Lease>(std::make_unique<WatchedLease>(
        *std::move(lease), board_->counters(), change_count(subject) != before));
  }

  Result<void> save_claim(const RefreshClaim& claim) override {
    const auto found = std::find(subjects_.begin(), subjects_.end(), claim.subject);
    current.begin(board_, static_cast<std::uint32_t>(found - subjects_.begin()), claim.at);
    auto saved = inner().save_claim(claim);
    if (!saved) current.done();
    return saved;
  }

  Result<void> clear_claim(std::string_view subject, std::uint64_t id) override {
    auto cleared = inner().clear_claim(subject, id);
    current.done();
    return cleared;
  }

  Result<void> save_record(const SealedRecord& record, Revision expected) override {
    auto saved = inner().save_record(record, expected);
    // A tombstone that can't be written loses nothing.
    const bool precious = record.summary.state == SessionState::active && current.is_taken();
    if (!precious || (!saved && saved.error().code == ErrorCode::conflict)) {
      current.done();
    } else if (saved) {
      current.saved();
    } else {
      current.reach(is_out_of_reach(saved.error()) ? Stage::held_up : Stage::unsaved);
      ++board_->counters().unsaved;
    }
    return saved;
  }

 private:
  std::shared_ptr<Scoreboard> board_;
  std::vector<std::string> subjects_;
};

bool is_refresh(const HttpRequest& request) {
  if (request.method != "POST") return false;
  const auto form = form_decode(request.body.expose());
  if (!form) return false;
  const auto type = form_value(*form, "grant_type");
  return type && *type != nullptr && **type == "refresh_token";
}

class WatchedTransport final : public HttpTransport {
 public:
  explicit WatchedTransport(std::shared_ptr<HttpTransport> inner) : inner_(std::move(inner)) {}
  Result<HttpResponse> send(const HttpRequest& request, const SendOptions& options) override {
    const std::string* proof = request.headers.find("DPoP");
    if (proof == nullptr || !is_refresh(request)) return inner_->send(request, options);
    current.sends(mark_of(*proof));
    auto answer = inner_->send(request, options);
    current.reach(Stage::answered);
    current.halt_if_ordered(Stage::answered);
    return answer;
  }

 private:
  std::shared_ptr<HttpTransport> inner_;
};

}  // namespace

std::shared_ptr<OAuthTokenStore> watched_store(std::shared_ptr<OAuthTokenStore> inner,
                                               std::shared_ptr<Scoreboard> board,
                                               std::vector<std::string> subjects) {
  return std::make_shared<WatchedStore>(std::move(inner), std::move(board), std::move(subjects));
}

std::shared_ptr<HttpTransport> watched_transport(std::shared_ptr<HttpTransport> inner) {
  return std::make_shared<WatchedTransport>(std::move(inner));
}

}  // namespace latchkey::test
