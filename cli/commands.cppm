// SPDX-License-Identifier: MIT
module;
#include <optional>
#include <string>
#include <vector>
export module latchkey.cli.commands;
import latchkey.cli.options;
import latchkey.cli.profile.assembly;
import latchkey.cli.report;

// One function a command: it reports by itself and gives the exit code.

export namespace latchkey::cli {

struct LoginCommand {
  std::string who;  ///< handle, DID or URL: an AT Protocol account. Else a profile is meant
  std::optional<std::string> scope{};
  bool no_browser = false;
  bool paste = false;
  int timeout_seconds = 300;
  ProfileFlags profile{};  ///< its scope is the one above
  bool device = false;
  bool resume = false;
  bool no_qr = false;
  std::string
      client_metadata;       ///< of an AT Protocol account: file or URL; empty: a loopback client
  std::string client_keys;   ///< its private keys; empty: a public client
  std::string api_key_file;  ///< "-" for standard input
};
[[nodiscard]] Exit run_login(const Options& options, const LoginCommand& command);

struct LogoutCommand {
  bool all = false;
  bool forget = false;
};
[[nodiscard]] Exit run_logout(const Options& options, const LogoutCommand& command);

[[nodiscard]] Exit run_sessions(const Options& options);
[[nodiscard]] Exit run_whoami(const Options& options);
[[nodiscard]] Exit run_refresh(const Options& options);

struct StatusCommand {
  bool check = false;  ///< ask the servers too, 10 s at most, and finish refreshes under way
};
/// Exit::ok if every session can be used without a login.
[[nodiscard]] Exit run_status(const Options& options, const StatusCommand& command);

struct UseCommand {
  std::string name;  ///< a profile, a handle or a DID; empty: tells the default
  bool none = false;
};
[[nodiscard]] Exit run_use(const Options& options, const UseCommand& command);

struct ResolveCommand {
  std::string who;  ///< handle, DID or URL
};
/// Tells DID, handle, PDS and issuer, as a login would find them: asked anew, with no session.
[[nodiscard]] Exit run_resolve(const Options& options, const ResolveCommand& command);

struct TokenCommand {
  bool reveal = false;
};
/// Without `reveal` tells all about it but the token.
[[nodiscard]] Exit run_token(const Options& options, const TokenCommand& command);

struct RecordCommand {
  std::string collection;
  std::string rkey;
  std::string uri;    ///< get: an AT-URI; delete: an AT-URI instead of collection and rkey
  std::string value;  ///< JSON, "-" for standard input, "@FILE"
  std::string swap;   ///< CID, or "null" for "must not exist"
  std::string repo;
  std::string cursor;
  std::optional<int> limit;  ///< list: of a page
  std::string swap_commit;   ///< CID that the repository's last commit must have
  bool validate = false;
  bool skip_validation = false;
  bool all = false;  ///< list: all pages
};
[[nodiscard]] Exit run_record_create(const Options& options, const RecordCommand& command);
[[nodiscard]] Exit run_record_put(const Options& options, const RecordCommand& command);
[[nodiscard]] Exit run_record_get(const Options& options, const RecordCommand& command);
[[nodiscard]] Exit run_record_list(const Options& options, const RecordCommand& command);
[[nodiscard]] Exit run_record_delete(const Options& options, const RecordCommand& command);

struct BlobCommand {
  std::string file;
  std::string type = "application/octet-stream";
};
/// Prints the JSON that a record refers to the blob with.
[[nodiscard]] Exit run_blob_upload(const Options& options, const BlobCommand& command);

/// An XRPC call to the account's PDS, or through it to a service.
struct CallCommand {
  std::string nsid;
  std::vector<std::string> parameters;  ///< query: NAME=VALUE
  std::string data;                     ///< procedure: JSON; "-" and "@FILE" as above
  std::string proxy;                    ///< DID#service
};
[[nodiscard]] Exit run_query(const Options& options, const CallCommand& command);
[[nodiscard]] Exit run_procedure(const Options& options, const CallCommand& command);

struct RequestCommand {
  std::string method;
  std::string url;
  std::string data;  ///< "-" and "@FILE" as above
  std::string content_type;
};
[[nodiscard]] Exit run_request(const Options& options, const RequestCommand& command);

struct DpopCommand {
  std::string method;
  std::string url;
  bool reveal = false;
};
[[nodiscard]] Exit run_dpop(const Options& options, const DpopCommand& command);

struct DoctorCommand {
  bool fix = false;
  std::vector<std::string> quarantine;  ///< unreadable records to move aside, as they are listed
};
/// Creates nothing. Exit::failed if there is a problem (left).
[[nodiscard]] Exit run_doctor(const Options& options, const DoctorCommand& command);

struct VaultCommand {
  std::string to;         ///< rewrap: a kind of master key
  bool drop_old = false;  ///< rotate: only drop the old data keys that nothing needs
};
[[nodiscard]] Exit run_vault_status(const Options& options);
[[nodiscard]] Exit run_vault_rewrap(const Options& options, const VaultCommand& command);
[[nodiscard]] Exit run_vault_rotate(const Options& options, const VaultCommand& command);

struct StoreMigrateCommand {
  std::string from;             ///< a store; empty: the one of the options
  std::string to;               ///< a store; its vault is opened, or made, by the options
  std::string from_master_key;  ///< empty: as the header of its vault says
  bool dry_run = false;         ///< only count; makes an empty target all the same
};
/// Moves all sessions and their keys. May be stopped and run again. Exit::ok if nothing is left
/// that this has found; else the exit code of the first thing left.
[[nodiscard]] Exit run_store_migrate(const Options& options, const StoreMigrateCommand& command);
/// What the store holds, by numbers.
[[nodiscard]] Exit run_store_stats(const Options& options);
struct StoreGcCommand {
  int dead_after_days = 30;
  bool dry_run = false;
};
/// Removes expired logins under way, sessions that ended long ago, and the keys of neither.
[[nodiscard]] Exit run_store_gc(const Options& options, const StoreGcCommand& command);

struct TraceCommand {
  std::string file;    ///< "-" for standard input
  std::string output;  ///< where the page goes; empty: to standard output
};
/// Makes a page of what --trace recorded.
[[nodiscard]] Exit run_trace(const Options& options, const TraceCommand& command);

struct ClientMetadataCommand {
  std::string where;  ///< lint: a file, or the URL that the document is at
  bool hosted = false;
  std::string client_id;
  std::vector<std::string> redirect_uris;
  std::string scope = "atproto transition:generic";
  std::string name;
  bool native = false;
  std::string keys;  ///< a file with a private JWK Set: a confidential client
  bool rotate = false;
};
/// Prints a metadata document; makes the file of keys if it is not there. Exit::failed if the
/// document breaks a rule.
[[nodiscard]] Exit run_client_metadata_new(const Options& options,
                                           const ClientMetadataCommand& command);
/// Prints what is wrong with a document, and with `hosted` where the copy that servers get differs.
/// Exit::failed if anything is an error.
[[nodiscard]] Exit run_client_metadata_lint(const Options& options,
                                            const ClientMetadataCommand& command);

struct SandboxCommand {
  int port = 0;  ///< of the PDS; the other two follow it. 0: any free ones
  int access_token_lifetime = 3600;
  int nonce_rotation = 60;
  bool auto_approve = false;
  std::vector<std::string> clients;  ///< files with metadata documents of registered clients
  bool control = false;
  std::string data{};  ///< the file in which it is kept; empty: in memory
};
/// Prints {"pds","issuer","plc","accounts":[{"handle","did","password"}]}, with `control` also
/// "control":{"url","token"}, and runs until it is asked to stop.
[[nodiscard]] Exit run_sandbox(const Options& options, const SandboxCommand& command);

}  // namespace latchkey::cli
