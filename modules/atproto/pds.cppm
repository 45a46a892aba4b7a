// SPDX-License-Identifier: MIT
module;
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
export module latchkey.atproto.pds;
export import latchkey.atproto.xrpc;
import latchkey.atproto.identifier;
import latchkey.core.error;
import latchkey.core.secret;
import latchkey.core.time;
import latchkey.http;
import latchkey.refresh.authorized;
import latchkey.refresh.keeper;
import latchkey.session;

// Records in an account's repository (com.atproto.repo.*), and any other XRPC call to its PDS, with
// the session's token and proof. JSON goes in and comes out as text.

export namespace latchkey {

struct RecordRef {
  std::string uri;
  std::string cid;  ///< empty only if a write had to be looked up and the server left it out
};

struct Record {
  std::string uri;
  std::string cid;    ///< may be empty: servers may leave it out
  std::string value;  ///< JSON text
};

struct RecordPage {
  std::vector<Record> records;
  std::string cursor;  ///< empty: no more
};

/// swapRecord: what the record must be now for the write to happen. A create implies `absent`, and
/// takes no `cid`; a delete takes no `absent`.
struct SwapRecord {
  enum class Kind {
    any,
    absent,
    cid
  } kind = Kind::any;  ///< `absent` is JSON null, `any` leaves the member out
  std::string cid{};
};

/// Whether the server checks the record against its lexicon; `by_server` leaves it to it.
enum class Validation { by_server, required, skipped };

struct WriteOptions {
  std::string rkey{};  ///< create: empty for a new TID
  Validation validation = Validation::by_server;
  SwapRecord swap_record{};
  std::string swap_commit{};
  std::stop_token stop{};
};

struct ListOptions {
  std::string repo{};  ///< DID or handle; empty: this account
  int limit = 50;      ///< 1 to 100
  std::string cursor{};
  bool reverse = false;
  std::stop_token stop{};
};

using QueryParameters = std::vector<std::pair<std::string, std::string>>;

/// Thread-safe; cheap to copy. A write whose connection breaks before the answer is sent a second
/// time; if the server refuses that, and the repository shows that the first has arrived, the write
/// has succeeded. Errors of every call: those of SessionKeeper::fresh, of the transport,
/// invalid_argument for malformed names, JSON and conditions ("record.not_json",
/// "record.type_mismatch", "record.swap"), and the server's: record_not_found, invalid_swap,
/// insufficient_scope, rate_limited (with retry_after), resource_error ("xrpc.<name>" or
/// "xrpc.status"), invalid_response.
class PdsClient {
 public:
  PdsClient(std::shared_ptr<SessionKeeper> keeper, std::shared_ptr<TidSource> tids, std::string did)
      : keeper_(std::move(keeper)), tids_(std::move(tids)), did_(std::move(did)) {}

  /// `$type` is set to the collection if the record has none. The record key is always chosen here,
  /// so that a request that had to be sent twice makes one record.
  [[nodiscard]] Result<RecordRef> create_record(std::string_view collection,
                                                std::string_view record,
                                                const WriteOptions& options = {});
  /// Creates or replaces.
  [[nodiscard]] Result<RecordRef> put_record(std::string_view collection, std::string_view rkey,
                                             std::string_view record,
                                             const WriteOptions& options = {});
  /// Idempotent: fine if there is none.
  [[nodiscard]] Result<void> delete_record(std::string_view collection, std::string_view rkey,
                                           const WriteOptions& options = {});
  /// `repo`: DID or handle; empty: this account.
  [[nodiscard]] Result<Record> get_record(std::string_view collection, std::string_view rkey,
                                          std::string_view repo = {}, std::stop_token stop = {});
  [[nodiscard]] Result<RecordPage> list_records(std::string_view collection,
                                                const ListOptions& options = {});

  /// Any XRPC query; the answer's text, whatever it is.
  [[nodiscard]] Result<std::string> query(std::string_view nsid,
                                          const QueryParameters& parameters = {},
                                          std::stop_token stop = {});
  /// Any XRPC procedure with a JSON body (may be empty); the answer's text. Never sent twice.
  [[nodiscard]] Result<std::string> procedure(std::string_view nsid, std::string_view json,
                                              std::stop_token stop = {});

  [[nodiscard]] const std::string& did() const noexcept { return did_; }

 private:
  enum class RecordKey { drawn, given };
  struct Written {
    Result<std::string> answer;
    bool repeated = false;  ///< the connection of the first broke: the server may have acted on it
  };
  [[nodiscard]] Result<std::string> call(std::string_view method, std::string_view nsid,
                                         const QueryParameters& parameters, std::string_view body,
                                         Repeat repeat, Connection connection,
                                         std::stop_token stop);
  [[nodiscard]] Written call_write(std::string_view nsid, std::string_view body,
                                   const std::stop_token& stop);
  [[nodiscard]] Result<RecordRef> write(std::string_view nsid, std::string_view collection,
                                        std::string_view rkey, RecordKey key,
                                        std::string_view record, const WriteOptions& options);

  std::shared_ptr<SessionKeeper> keeper_;
  std::shared_ptr<TidSource> tids_;
  std::string did_;
};

}  // namespace latchkey
