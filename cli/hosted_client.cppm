// SPDX-License-Identifier: MIT
module;
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <utility>
export module latchkey.cli.hosted_client;
import latchkey.atproto.client;
import latchkey.cli.options;
import latchkey.core.error;
import latchkey.oauth.client_document;
import latchkey.oauth.client_keys;
import latchkey.session;

// Clients with a metadata document: read from where the person says, and remembered for the
// commands that come after the login, one file a client, clients/HASH.json in the configuration
// folder.

export namespace latchkey::cli {

/// A client as the tool knows it.
struct HostedClient {
  std::string document;   ///< its metadata document as JSON
  std::string keys_file;  ///< absolute; empty: a public client
};

/// `where`: a file, or the URL that the document is at. Errors: invalid_argument, "client.no_file";
/// io; invalid_metadata, "client.hosted_copy" if the URL does not serve a document as servers want
/// it; those of the transport.
[[nodiscard]] Result<std::string> read_client_document(const Options& options,
                                                       const std::string& where);
/// A private JWK Set, or a PEM file with one key. Errors: invalid_argument, "client.no_file";
/// insecure_location if others can read it; those of ClientKeys.
[[nodiscard]] Result<std::shared_ptr<ClientKeys>> read_client_keys(const std::string& file);

/// For a login with this client. Errors: those of read_client_keys and parse_client_document.
[[nodiscard]] Result<AtprotoClientIdentity> identity_of(const HostedClient& client);
/// What was remembered of a client for the commands after a login.
class RememberedClient {
 public:
  /// Remembers `client` in place of what was remembered of `client_id`. Errors: io,
  /// insecure_location.
  [[nodiscard]] static Result<RememberedClient> put(const Options& options,
                                                    const std::string& client_id,
                                                    const HostedClient& client);
  /// As it was before, for a login that came to nothing; a failure is said. What is new stays: it
  /// is in nobody's way.
  void put_back();

 private:
  RememberedClient(std::filesystem::path path, std::optional<HostedClient> before)
      : path_(std::move(path)), before_(std::move(before)) {}
  std::filesystem::path path_;
  std::optional<HostedClient> before_;
};
/// The client that a session belongs to: a loopback client by its client_id alone, another as it
/// was remembered, with the keys that its file has now, and held against no rule again. Errors
/// besides: client_mismatch, "client.not_remembered"; corrupt, "client.…".
[[nodiscard]] Result<AtprotoClientIdentity> client_of_session(const Options& options,
                                                              const SessionSummary& session);

}  // namespace latchkey::cli
