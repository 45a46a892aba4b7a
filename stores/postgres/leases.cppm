// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
export module latchkey.store.postgres.leases;
import latchkey.core.error;
import latchkey.core.os.locks;
import latchkey.session;
import latchkey.store;
import latchkey.store.postgres.database;

// Leases as rows: who may change a subject's session, until when by the database's clock, and the
// number of its holder. Within a process one object holds a subject's row at a time, and
// others wait for it without asking the database.

export namespace latchkey {

/// By which a row is known to be ours.
struct LeaseRow {
  std::uint64_t holder = 0;  ///< random, drawn for each lease; 0: nobody's
  std::int64_t fence = 0;    ///< grows with each holder of the subject
  [[nodiscard]] bool operator==(const LeaseRow&) const = default;
};

/// The claim that was written under a lease.
struct LeasedClaim {
  std::uint64_t id = 0;
  Revision revision;
};

/// The leases of one store object. A thread renews each at a third of `lease_time`, by real time:
/// what they run out by is the database's. It waits for nobody else's statements, and when the
/// database does not answer it asks again soon, for the lease first that runs out first.
/// Thread-safe.
class PostgresLeases : public std::enable_shared_from_this<PostgresLeases> {
 public:
  /// Always in a shared_ptr: leases may outlive the store.
  [[nodiscard]] static std::shared_ptr<PostgresLeases> make(
      std::shared_ptr<PostgresDatabase> database, std::chrono::milliseconds lease_time);
  PostgresLeases(const PostgresLeases&) = delete;
  PostgresLeases& operator=(const PostgresLeases&) = delete;
  ~PostgresLeases();

  /// OAuthTokenStore::lease. Its still_held() renews the row and asks in the same statement whether
  /// it is ours yet, and whether what was claimed under it is still so: the claim is there, and its
  /// revision is the record's. False too when the database does not answer. A row that has run out
  /// is ours until another has taken it. When it ends, others in this process go on at once, and
  /// the row is released if the database answers; else it runs out.
  [[nodiscard]] Result<std::unique_ptr<Lease>> take(std::string_view subject, const LockWait& wait);

  /// The row that is held here for this subject, or was until it was lost.
  [[nodiscard]] std::optional<LeaseRow> held(std::string_view subject) const;
  [[nodiscard]] std::chrono::milliseconds lease_time() const noexcept;
  /// What still_held() of this subject's lease asks for from now on.
  void note_claim(std::string_view subject, const LeasedClaim& claim);
  /// It asks for no claim any more; or not for the one with this id.
  void end_claim(std::string_view subject, std::optional<std::uint64_t> id = std::nullopt);

  struct Impl;
  /// Use make().
  explicit PostgresLeases(std::unique_ptr<Impl> impl);

 private:
  class Held;
  std::unique_ptr<Impl> impl_;
};

}  // namespace latchkey
