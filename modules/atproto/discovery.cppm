// SPDX-License-Identifier: MIT
module;
#include <memory>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
export module latchkey.atproto.discovery;
import latchkey.atproto.identity;
import latchkey.core.error;
import latchkey.core.url;
import latchkey.http;
import latchkey.oauth.server_metadata;

// From whatever a person types (handle, DID, server URL) to the authorization server that may log
// them in (C3), and the check that a server may speak for an account (C5.8, C7.5).

export namespace latchkey {

struct LoginTarget {
  Identity identity;  ///< empty members for a server start
  std::string pds;    ///< origin; for a server start the server asked, if it is a PDS
  ServerMetadata server;
  std::string login_hint;  ///< exactly what was typed, for handle and DID
};

/// Thread-safe.
class AtprotoDiscovery {
 public:
  AtprotoDiscovery(std::shared_ptr<HttpTransport> strangers,
                   std::shared_ptr<IdentityResolver> identities, HttpRule rule)
      : transport_(std::move(strangers)), identities_(std::move(identities)), rule_(rule) {}

  /// C2.1, C3.1 to C3.13. Errors: those of IdentityResolver, invalid_metadata, and transport
  /// errors.
  [[nodiscard]] Result<LoginTarget> find(std::string_view handle_did_or_url,
                                         std::stop_token stop = {});
  /// PDS origin -> the issuer of its one authorization server.
  [[nodiscard]] Result<ServerMetadata> server_of(std::string_view pds, std::stop_token stop = {});
  /// sub -> DID document -> PDS -> issuer, uncached. Gives the PDS. Errors: identity_mismatch,
  /// "issuer.not_authoritative" if another issuer answers for the account; otherwise as above.
  [[nodiscard]] Result<std::string> confirm_authority(std::string_view did, std::string_view issuer,
                                                      std::stop_token stop = {});
  /// The handle to show for a DID; "handle.invalid" if it has none that points back, or none can be
  /// found now. Asked anew, for a session keeps it.
  [[nodiscard]] std::string display_handle(std::string_view did, std::stop_token stop = {});

 private:
  std::shared_ptr<HttpTransport> transport_;
  std::shared_ptr<IdentityResolver> identities_;
  HttpRule rule_;
};

}  // namespace latchkey
