// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
export module latchkey.atproto.pds;
export import latchkey.atproto.blob;
export import latchkey.atproto.pagination;
export import latchkey.atproto.permission;
export import latchkey.atproto.record;
export import latchkey.atproto.xrpc;
export import latchkey.atproto.xrpc_client;
import latchkey.atproto.identifier;
import latchkey.core.error;
import latchkey.core.json;
import latchkey.http;
import latchkey.refresh.authorized;
import latchkey.refresh.keeper;

// Records in an account's repository (com.atproto.repo.*), and any other XRPC call to its PDS, with
// the session's token and proof. JSON goes in and comes out as text.

export namespace latchkey {

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
  std::string swap_commit{};  ///< CID that the repository's last commit must have
  std::stop_token stop{};
};

struct ListOptions {
  std::string repo{};  ///< DID or handle; empty: this account
  int limit = 50;      ///< of one page, 1 to 100
  std::string cursor{};
  bool reverse = false;
  std::stop_token stop{};
};

/// One of several writes that happen together.
struct RecordWrite {
  RecordAction action = RecordAction::create;
  std::string collection;
  std::string rkey{};    ///< create: empty for a new TID
  std::string record{};  ///< JSON text; nothing for a remove
};

struct ApplyOptions {
  Validation validation = Validation::by_server;
  std::string swap_commit{};
  std::stop_token stop{};
};

/// In the order of the writes.
struct AppliedWrites {
  std::vector<RecordRef> refs;
  std::string commit_cid{};  ///< empty if the server did not say, or the writes were looked up
};

struct RepoDescription {
  std::string did;
  std::string handle;
  bool handle_is_correct = false;
  std::vector<std::string> collections;
  std::string did_document;  ///< JSON text; empty if the server left it out
};

struct UploadOptions {
  std::string mime_type;
  std::uint64_t max_size = 100 * 1024 * 1024;  ///< in bytes; servers have limits of their own
  std::chrono::milliseconds timeout{300'000};
  std::stop_token stop{};
};

/// Thread-safe; cheap to copy. A write whose connection breaks before the answer is sent a second
/// time; if the server refuses that, and the repository shows that the first has arrived, the write
/// has succeeded. A write that the session's scope does not allow is not sent (C9.5; see
/// PdsOptions). Errors of every call: those of XrpcClient, invalid_argument for malformed names,
/// JSON and conditions ("record.not_json", "record.type_mismatch", "record.swap"), and the
/// server's: record_not_found, invalid_swap, insufficient_scope, rate_limited (with retry_after),
/// resource_error ("xrpc.<name>" or "xrpc.status"), invalid_response.
class PdsClient {
 public:
  PdsClient(std::shared_ptr<SessionKeeper> keeper, std::shared_ptr<TidSource> tids, std::string did,
            PdsOptions options = {})
      : xrpc_(std::move(keeper), std::move(did), options), tids_(std::move(tids)) {}

  /// `$type` is set to the collection if the record has none. The record key is always chosen here,
  /// so that a request that had to be sent twice makes one record.
  [[nodiscard]] Result<RecordRef> create_record(std::string_view collection,
                                                std::string_view record,
                                                const WriteOptions& options = {});
  /// Creates or replaces; needs the permission for both.
  [[nodiscard]] Result<RecordRef> put_record(std::string_view collection, std::string_view rkey,
                                             std::string_view record,
                                             const WriteOptions& options = {});
  /// Idempotent: fine if there is none.
  [[nodiscard]] Result<void> delete_record(std::string_view collection, std::string_view rkey,
                                           const WriteOptions& options = {});
  /// All of them or none, in one commit; 1 to 200. All record keys are chosen here. Errors besides:
  /// invalid_argument, "writes.count".
  [[nodiscard]] Result<AppliedWrites> apply_writes(std::span<const RecordWrite> writes,
                                                   const ApplyOptions& options = {});

  /// `repo`: DID or handle; empty: this account.
  [[nodiscard]] Result<Record> get_record(std::string_view collection, std::string_view rkey,
                                          std::string_view repo = {}, std::stop_token stop = {});
  [[nodiscard]] Result<RecordPage> list_records(std::string_view collection,
                                                const ListOptions& options = {});
  /// All records from options.cursor on, page by page; see PagedRange. The range keeps a copy of
  /// this client.
  [[nodiscard]] PagedRange<Record> list_all_records(std::string collection,
                                                    ListOptions options = {}) const;
  /// `repo`: as above.
  [[nodiscard]] Result<RepoDescription> describe_repo(std::string_view repo = {},
                                                      std::stop_token stop = {});

  /// Uploads bytes from memory. Errors besides: invalid_argument, "blob.mime_type" (not
  /// type/subtype), "blob.too_large" (nothing was sent), "blob.empty"; invalid_response,
  /// "blob.size_mismatch" (the server has another number of bytes).
  [[nodiscard]] Result<BlobRef> upload_blob(std::string_view bytes, const UploadOptions& options);
  /// Uploads what is read while it is sent. What can be read once only is sent once only: a cheap
  /// call goes before it, so that token and nonce are good; io and "body.…" errors of the source.
  [[nodiscard]] Result<BlobRef> upload_blob(std::shared_ptr<BodySource> source,
                                            const UploadOptions& options);

  /// Any XRPC query; the answer's text, whatever it is.
  [[nodiscard]] Result<std::string> query(std::string_view nsid,
                                          const QueryParameters& parameters = {},
                                          std::stop_token stop = {});
  /// Any XRPC procedure with a JSON body (may be empty); the answer's text. Never sent twice.
  [[nodiscard]] Result<std::string> procedure(std::string_view nsid, std::string_view json,
                                              std::stop_token stop = {});
  /// The same with everything that a call may have, and all that the answer says.
  [[nodiscard]] Result<XrpcAnswer> query(const XrpcCall& call);
  [[nodiscard]] Result<XrpcAnswer> procedure(const XrpcCall& call, std::string_view json);

  [[nodiscard]] const std::string& did() const noexcept { return xrpc_.did(); }

 private:
  enum class RecordKey { drawn, given };
  struct Written {
    Result<std::string> answer;
    bool repeated = false;  ///< the connection of the first broke: the server may have acted on it
  };
  using Actions = std::vector<std::pair<std::string, RecordAction>>;  ///< with their collections
  [[nodiscard]] Written call_write(std::string_view nsid, std::string_view body,
                                   const Actions& actions, const std::stop_token& stop);
  [[nodiscard]] Result<RecordRef> write(std::string_view nsid, std::string_view collection,
                                        std::string_view rkey, RecordKey key,
                                        std::string_view record, const Actions& actions,
                                        const WriteOptions& options);
  struct KeyedWrite {
    RecordWrite write;
    RecordKey key = RecordKey::given;
  };
  [[nodiscard]] std::optional<AppliedWrites> find_applied(std::span<const KeyedWrite> writes,
                                                          const std::stop_token& stop);
  [[nodiscard]] Result<JsonObject> query_json(std::string_view nsid,
                                              const QueryParameters& parameters,
                                              std::stop_token stop);

  XrpcClient xrpc_;
  std::shared_ptr<TidSource> tids_;
};

}  // namespace latchkey
