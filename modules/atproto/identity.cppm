// SPDX-License-Identifier: MIT
module;
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
export module latchkey.atproto.identity;
import latchkey.core.error;
import latchkey.core.time;
import latchkey.core.url;
import latchkey.http;

// From a handle or DID to the PDS that hosts it (C2), asking servers that strangers name. Nothing
// is cached here: login and refresh need fresh answers.

export namespace latchkey {

/// An account, with handle and DID checked in both directions.
struct Identity {
  std::string did;
  std::string handle;  ///< "handle.invalid" if the DID document's handle does not point back
  std::string pds;     ///< origin
};

/// A DID document, as far as we use it.
struct DidDocument {
  std::string did;
  std::string handle;  ///< first at:// alias, lower case; empty: none
  std::string pds;     ///< origin of the first #atproto_pds service; empty: none
};
/// `id` must equal the DID; both old and new service id forms; first service that matches (C2.6).
/// The PDS's endpoint may end in one "/", which is dropped. Errors: identity_mismatch
/// ("did_document.id"), invalid_metadata ("did_document.not_json", "did_document.duplicate_member",
/// "did_document.wrong_type", "did_document.pds_endpoint").
[[nodiscard]] Result<DidDocument> parse_did_document(std::string_view json, std::string_view did,
                                                     HttpRule rule);

struct IdentityOptions {
  std::string plc_url = "https://plc.directory";
  /// Development: ask this PDS with com.atproto.identity.resolveHandle instead of the handle's own
  /// host.
  std::string resolve_handles_at{};
  HttpRule http_rule = HttpRule::https_only;
};

/// Thread-safe.
class IdentityResolver {
 public:
  IdentityResolver(std::shared_ptr<HttpTransport> strangers, IdentityOptions options)
      : transport_(std::move(strangers)), options_(std::move(options)) {}

  /// A handle: resolved, its DID document fetched, and the document must claim the handle (C2.4).
  /// A DID: document fetched; a handle that does not resolve back becomes "handle.invalid".
  /// Errors: identity_not_found ("handle.not_found", "did.not_found"), identity_mismatch
  /// ("handle.not_claimed", "handle.ambiguous", "identity.no_pds"), invalid_response for answers
  /// that are neither a document nor a 404 ("handle.status", "handle.content_type",
  /// "handle.not_a_did", "did_document.status", "did_document.content_type"), those of
  /// parse_did_document, and transport errors.
  [[nodiscard]] Result<Identity> resolve(std::string_view handle_or_did, std::stop_token stop = {});
  /// DID document -> PDS origin only; what refresh confirms. Error: identity_mismatch,
  /// "identity.no_pds".
  [[nodiscard]] Result<DidDocument> resolve_did(std::string_view did, std::stop_token stop = {});
  [[nodiscard]] Result<std::string> resolve_handle(std::string_view handle,
                                                   std::stop_token stop = {});

 private:
  std::shared_ptr<HttpTransport> transport_;
  IdentityOptions options_;
};

}  // namespace latchkey
