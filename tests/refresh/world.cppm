// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
export module latchkey.test.refresh_world;
import latchkey.core;
import latchkey.http;
import latchkey.oauth.client_auth;
import latchkey.refresh.context;
import latchkey.refresh.keeper;
import latchkey.refresh.provers;
import latchkey.session;
import latchkey.store;
import latchkey.store.record;
import latchkey.store.vault;
import latchkey.test.forwarding_store;
import latchkey.test.scripted_transport;

// A session, a store whose every call can be watched, failed or stopped at, and a server that
// rotates refresh tokens and ends a session whose token it sees twice.

export namespace latchkey::test {

/// Passes everything on. `hook` is told the name of each call that a refresh consists of before it
/// happens
/// ("lease", "load", "reserve_room", "save_claim", "save", "clear_claim", "remove"), and may fail
/// it; `after` is told when it has succeeded.
class WatchedStore final : public ForwardingStore {
 public:
  using Hook = std::function<std::optional<Error>(std::string_view)>;
  using ForwardingStore::ForwardingStore;

  void set_hook(Hook hook);
  void set_after(std::function<void(std::string_view)> after);
  /// The next save is carried out and reported as failed all the same.
  void fail_after_next_save(Error error);
  /// The calls so far, and forget them.
  [[nodiscard]] std::vector<std::string> take_trace();

  Result<std::optional<SealedRecord>> load_record(std::string_view subject) override;
  Result<void> save_record(const SealedRecord& record, Revision expected) override;
  Result<void> remove(std::string_view subject, Revision expected) override;
  Result<std::unique_ptr<Lease>> lease(std::string_view subject, const LockWait& wait) override;
  Result<void> reserve_room(std::string_view subject, std::size_t size) override;
  Result<void> save_claim(const RefreshClaim& claim) override;
  Result<void> clear_claim(std::string_view subject, std::uint64_t id) override;
  Result<void> save_pending(const PendingRecord& pending, TimePoint now) override;

 private:
  [[nodiscard]] std::optional<Error> enter(std::string_view call);
  void leave(std::string_view call);
  std::mutex mutex_;
  std::shared_ptr<Hook> hook_;  // shared, so that a hook keeps its state while it is called again
  std::function<void(std::string_view)> after_;
  std::vector<std::string> trace_;
  std::optional<Error> save_failure_;
};

/// An authorization server with one session: refresh tokens "rt-1", "rt-2", … are good once.
/// Thread-safe.
class RotatingServer {
 public:
  /// What happens to the next refresh instead of an answer.
  enum class Fault {
    none,
    drop_before,
    drop_after,
    server_error,
    too_many,
    garbage,
    nonce,
    other_subject,
    bad_client,
    refused_with_200,      ///< invalid_grant under status 200
    unavailable_with_200,  ///< another OAuth error under status 200
  };

  [[nodiscard]] Result<HttpResponse> answer(const HttpRequest& request);
  void next(Fault fault);
  /// Somebody else used the current refresh token.
  void kill_session();
  void set_lifetime(std::chrono::seconds lifetime);

  [[nodiscard]] unsigned refreshes() const;  ///< refresh requests seen
  [[nodiscard]] unsigned replays() const;    ///< of them with a spent token
  [[nodiscard]] unsigned revocations() const;
  [[nodiscard]] std::vector<std::string> revoked() const;

 private:
  Result<HttpResponse> refresh(const std::string& token);
  mutable std::mutex mutex_;
  Fault fault_ = Fault::none;
  unsigned generation_ = 1, refreshes_ = 0, replays_ = 0;
  bool dead_ = false;
  std::chrono::seconds lifetime_{3600};
  std::vector<std::string> revoked_;
};

inline constexpr std::string_view kSubject = "did:plc:ewvi7nxzyoun6zhxrhs64oiz";
inline constexpr std::string_view kClientId = "http://localhost?scope=atproto";
inline constexpr TimePoint kNow{std::chrono::milliseconds{1'790'000'000'000}};

/// A session of `kSubject` issued at kNow, good for an hour, with tokens "at-1" and "rt-1".
[[nodiscard]] OAuthSession sample_session(std::string_view jkt);

/// All of it together over a memory store, or over the store given.
struct World {
  explicit World(std::shared_ptr<OAuthTokenStore> inner = nullptr,
                 std::shared_ptr<KeyVault> keys = nullptr);

  std::shared_ptr<ManualClock> clock;
  std::shared_ptr<Random> random;
  std::shared_ptr<KeyVault> vault;
  std::shared_ptr<WatchedStore> store;
  RotatingServer server;
  std::shared_ptr<ScriptedTransport> transport;
  SessionContext context;
  std::string jkt;

  /// Saves sample_session() and gives its revision.
  Revision log_in();
  [[nodiscard]] OAuthSession stored() const;
  [[nodiscard]] std::unique_ptr<SessionKeeper> keeper() const;
};

/// One whose store and keepers have the machine's clock, for tests in which somebody waits for a
/// lease. Its session, under Revision{1}, ran out an hour ago. Over a memory store, or the one
/// given.
[[nodiscard]] std::unique_ptr<World> running_world(std::shared_ptr<OAuthTokenStore> inner = nullptr,
                                                   std::shared_ptr<KeyVault> keys = nullptr);

}  // namespace latchkey::test
