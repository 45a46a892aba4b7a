// SPDX-License-Identifier: MIT
module;
#include <string>
#include <string_view>
export module latchkey.atproto.did_document;
import latchkey.core.error;
import latchkey.core.url;

// What a DID document says about an account: its handle and its PDS (C2.4 to C2.6).

export namespace latchkey {

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

}  // namespace latchkey
