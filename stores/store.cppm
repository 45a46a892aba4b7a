// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
export module latchkey.store;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.os.locks;
import latchkey.core.secret;
import latchkey.core.time;
import latchkey.session;
import latchkey.store.quarantine;
import latchkey.store.record;
import latchkey.store.vault;

// Where sessions live between runs. OAuthTokenStore is the contract: its users see sessions; its
// backends override the record functions and persist sealed records only. tests/conformance runs
// over every backend, also over yours.

export namespace latchkey {

/// The exclusive right to change one subject's session, across threads and processes; ends when it
/// is destroyed.
class Lease {
 public:
  Lease() = default;
  Lease(const Lease&) = delete;
  Lease& operator=(const Lease&) = delete;
  virtual ~Lease();
  /// Asked before a request that must not be sent twice. Always true where the operating system
  /// enforces the lease.
  [[nodiscard]] virtual bool still_held() = 0;
  /// May another have taken it while its holder was stopped or cut off from the store? Then the
  /// holder of a claim that is found may be alive, however old the claim is.
  [[nodiscard]] virtual bool can_expire() const noexcept { return false; }
};

/// Written before a refresh is sent: who tried, when, from which revision. It counts only while its
/// revision is the stored record's.
struct RefreshClaim {
  std::string subject;
  Revision revision;     ///< the record's, when the claim was made
  std::uint64_t id = 0;  ///< random: whose claim it is
  TimePoint at{};
  int pid = 0;  ///< with `host`, for the message only
  std::string host;
  [[nodiscard]] bool operator==(const RefreshClaim&) const = default;
};

/// One row of a list: a summary, or what is wrong with the record.
struct ListedSession {
  std::string
      name;  ///< the subject; for an unreadable record whatever identifies it (file name, row)
  std::optional<SessionSummary> summary;
  std::optional<Error> error;
  /// The data key of the record's box, as latchkey::sealed_with gives it; empty for an unreadable
  /// record, and for one that is not sealed.
  std::string sealed_with{};
};

struct SessionPage {
  std::vector<ListedSession> sessions;
  std::string next;  ///< cursor of the next page; empty: this was the last
};

/// A login that was begun and not finished, as kept: a sealed box under SHA-256(state).
struct PendingRecord {
  std::string key;  ///< base64url(SHA-256(state))
  TimePoint expires_at{};
  Bytes box;
};

/// What a store keeps beside its records, each readable or with what is wrong with it; `name` is
/// the subject or the digest of the state, or else whatever identifies it.
struct ListedClaim {
  std::string name;
  std::optional<RefreshClaim> claim;
  std::optional<Error> error;
};
struct ListedPending {
  std::string name;
  std::optional<PendingRecord> pending;
  std::optional<Error> error;
};
struct SideRecords {
  std::vector<ListedClaim> claims;
  std::vector<ListedPending> pending;
};

/// What a sweep has removed.
struct Swept {
  std::size_t pending = 0;  ///< expired pending logins
  std::size_t keys = 0;     ///< keys that no session and no pending login needs any more
  std::size_t others = 0;   ///< claims, leases and nonces of sessions that are gone
};

/// Thread-safe, and safe between processes where the backend is kept outside the process. All
/// errors of storage kind: corrupt, locked, wrong_key, schema_too_new, insecure_location, io; none
/// of them ever looks like "absent".
class OAuthTokenStore {
 public:
  explicit OAuthTokenStore(std::shared_ptr<Sealer> sealer) : sealer_(std::move(sealer)) {}
  OAuthTokenStore(const OAuthTokenStore&) = delete;
  OAuthTokenStore& operator=(const OAuthTokenStore&) = delete;
  virtual ~OAuthTokenStore();

  /// The session, or empty if there is none.
  [[nodiscard]] Result<std::optional<OAuthSession>> load(std::string_view subject);
  /// Compare-and-swap: saves if the stored revision is `expected` (none: if there is no record);
  /// durable when it returns. session.revision must be newly drawn (draw_revision): a record that
  /// already has it counts as saved, so that a save whose last step failed can be tried again.
  /// Error: conflict, "store.conflict".
  [[nodiscard]] Result<void> save(const OAuthSession& session, Revision expected);

  // What a backend implements
  // --------------------------------------------------------------------------------------

  [[nodiscard]] virtual Result<std::optional<SealedRecord>> load_record(
      std::string_view subject) = 0;
  [[nodiscard]] virtual Result<void> save_record(const SealedRecord& record, Revision expected) = 0;
  /// Removes the session if its revision is `expected`. Idempotent: fine if there is none. Error:
  /// conflict.
  [[nodiscard]] virtual Result<void> remove(std::string_view subject, Revision expected) = 0;
  /// Up to `limit` rows (1 to 1000) in a stable order. `cursor` is empty or a SessionPage::next.
  /// Needs no vault; a summary listed here is not authenticated: for display only.
  [[nodiscard]] virtual Result<SessionPage> list(std::string_view cursor, std::size_t limit) = 0;

  /// Waits for the lease. Errors: locked ("lease.timeout"), cancelled.
  [[nodiscard]] virtual Result<std::unique_ptr<Lease>> lease(std::string_view subject,
                                                             const LockWait& wait) = 0;
  /// Makes room for the coming save of a record of up to `size` bytes, so that a full disk fails
  /// here. Call with the lease held; the reservation ends with the next save_record of this
  /// subject, or with release_room.
  [[nodiscard]] virtual Result<void> reserve_room(std::string_view subject, std::size_t size) = 0;
  virtual void release_room(std::string_view subject) noexcept = 0;

  /// Durable when it returns. Replaces an older claim of the subject.
  [[nodiscard]] virtual Result<void> save_claim(const RefreshClaim& claim) = 0;
  [[nodiscard]] virtual Result<std::optional<RefreshClaim>> load_claim(
      std::string_view subject) = 0;
  /// Removes the claim if it has this id. Idempotent.
  [[nodiscard]] virtual Result<void> clear_claim(std::string_view subject, std::uint64_t id) = 0;

  /// Best effort, without fsync; failures are ignored.
  [[nodiscard]] virtual std::optional<std::string> load_nonce(std::string_view origin,
                                                              std::string_view jkt) = 0;
  virtual void save_nonce(std::string_view origin, std::string_view jkt,
                          std::string_view nonce) = 0;

  /// Create only: a key that exists is conflict. Drops expired ones on the way.
  [[nodiscard]] virtual Result<void> save_pending(const PendingRecord& pending, TimePoint now) = 0;
  /// Takes it out: of several callers at most one gets it. Empty if there is none or it has
  /// expired.
  [[nodiscard]] virtual Result<std::optional<PendingRecord>> take_pending(std::string_view key,
                                                                          TimePoint now) = 0;

  /// All claims and pending logins, expired ones too: for diagnosis, and to know which keys are in
  /// use.
  [[nodiscard]] virtual Result<SideRecords> side_records() = 0;

  /// Removes what is of no use to anybody any more: expired pending logins, and what a backend
  /// keeps beside sessions that are gone. Never a session. Safe beside programs that use the store.
  [[nodiscard]] virtual Result<Swept> sweep(TimePoint now) = 0;

  /// Moves a record that cannot be read (corrupt, wrong_key or schema_too_new, when listed or
  /// loaded) aside as it is, so that its subject can log in again; nothing is deleted. `name` is
  /// that of its row in a list. Durable when it returns. Errors: conflict, "store.readable";
  /// invalid_argument, "store.no_such_record"; whatever else keeps it from being read (locked, io,
  /// insecure_location): that is to be mended, and the record may be good.
  [[nodiscard]] virtual Result<Quarantined> quarantine(std::string_view name) = 0;
  /// What was moved aside and still lies there, oldest first.
  [[nodiscard]] virtual Result<std::vector<Quarantined>> quarantined() = 0;

  /// Changes whenever this subject's record is saved or removed, by any thread or process.
  /// Nanoseconds where the store is on this machine.
  [[nodiscard]] virtual std::uint64_t change_count(std::string_view subject) const noexcept = 0;

  [[nodiscard]] Sealer& sealer() const noexcept { return *sealer_; }

 protected:
  /// For quarantine(): the error that load() would give for this record, if any.
  [[nodiscard]] Result<void> check_readable(const SealedRecord& record) const;

 private:
  std::shared_ptr<Sealer> sealer_;
};

}  // namespace latchkey
