// SPDX-License-Identifier: MIT
module;
#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
export module latchkey.sandbox.repo;
import latchkey.core.crypto;
import latchkey.core.error;
import latchkey.core.time;
import latchkey.atproto.identifier;
import latchkey.sandbox.permissions;
import latchkey.sandbox.storage;

// Repositories: records under collection and key, with CIDs, and the swaps that make a write happen
// only if nobody else wrote first.

export namespace latchkey::sandbox {

struct StoredRecord {
  std::string uri;
  std::string cid;
  std::string value;  ///< JSON, as it came
};

struct Commit {
  std::string cid;
  std::string rev;
};

struct RecordWrite {
  std::string did;
  std::string collection;
  std::string rkey;   ///< create: empty for a new TID
  std::string value;  ///< JSON object; empty: delete
  /// Not set: any. Set and empty: there must be no record.
  std::optional<std::string> swap_record{};
  std::string swap_commit{};
};

struct BatchWrite {
  RepoAction action{};
  RecordWrite write;
};

struct RecordPage {
  std::vector<StoredRecord> records;
  std::string cursor;  ///< empty: no more
};

/// Not thread-safe. Errors as of refusal(): InvalidSwap ("repo.swap_record", "repo.swap_commit"),
/// InvalidRequest ("repo.exists", "repo.missing", "record.type_mismatch", those of record_cid()).
class Repositories {
 public:
  Repositories(Random& random, Clock& clock) : random_(random), tids_(clock, random) {}

  /// Reads what is kept, and keeps everything from now on. Errors: those of Storage; corrupt,
  /// "repository.…".
  [[nodiscard]] Result<void> restore(Storage& storage);

  struct Written {
    StoredRecord record;
    Commit commit;
  };
  [[nodiscard]] Result<Written> create(RecordWrite write);
  /// Creates or replaces.
  [[nodiscard]] Result<Written> put(RecordWrite write);
  /// Nothing if there was no record.
  [[nodiscard]] Result<std::optional<Commit>> remove(const RecordWrite& write);

  struct Applied {
    std::vector<StoredRecord> records;  ///< as many as writes; of a removed one only the URI
    Commit commit;
  };
  /// All of them or none, in their order. Unlike remove(), a deletion must find its record.
  [[nodiscard]] Result<Applied> apply(const std::string& did, const std::vector<BatchWrite>& writes,
                                      const std::string& swap_commit);

  [[nodiscard]] std::optional<StoredRecord> get(const std::string& did,
                                                const std::string& collection,
                                                const std::string& rkey) const;
  /// Newest first, unless `reverse`. `cursor`: the last key of the page before.
  [[nodiscard]] RecordPage list(const std::string& did, const std::string& collection,
                                std::size_t limit, const std::string& cursor, bool reverse) const;
  [[nodiscard]] std::vector<std::string> collections(const std::string& did) const;

 private:
  using Collection = std::map<std::string, StoredRecord>;
  struct Repository {
    std::map<std::string, Collection> collections;
    Commit head;
  };
  [[nodiscard]] Result<void> check_head(const std::string& did, const std::string& swap_commit);
  [[nodiscard]] Result<void> check_swaps(const RecordWrite& write);
  [[nodiscard]] Result<Written> store(RecordWrite write);
  Commit commit(const std::string& did);
  [[nodiscard]] Result<StoredRecord> apply_one(Repository& draft, const BatchWrite& one);
  [[nodiscard]] Result<void> restore_record(const KeptRow& row);
  void keep(const StoredRecord& record);
  void forget(const std::string& uri);

  Random& random_;
  Storage* storage_ = nullptr;  // null: in memory only
  TidSource tids_;
  std::map<std::string, Repository> repositories_;
};

}  // namespace latchkey::sandbox
