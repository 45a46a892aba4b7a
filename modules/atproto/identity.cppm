// SPDX-License-Identifier: MIT
module;
#include <memory>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
export module latchkey.atproto.identity;
export import latchkey.atproto.did_document;
export import latchkey.atproto.identity_cache;
import latchkey.atproto.handle_resolution;
import latchkey.core.error;
import latchkey.core.time;
import latchkey.core.url;
import latchkey.http;
import latchkey.http.dns;

// From a handle or DID to the PDS that hosts it (C2), asking servers that strangers name. Login and
// refresh get fresh answers; look_up() has a cache, for showing names.

export namespace latchkey {

struct IdentityOptions {
  std::string plc_url = "https://plc.directory";
  /// Development: ask this PDS with com.atproto.identity.resolveHandle instead of DNS and the
  /// handle's own host.
  std::string resolve_handles_at{};
  HttpRule http_rule = HttpRule::https_only;
  /// Null: handles are resolved over https alone, and those that only DNS knows are not found.
  std::shared_ptr<DnsResolver> dns{};
  IdentityCacheOptions cache{};
  std::shared_ptr<Clock> clock{};  ///< of the cache; null: the system's
};

/// Two networks, because who named an address decides where it may lead.
struct IdentityTransports {
  /// To what a handle or a DID document names: public addresses only.
  std::shared_ptr<HttpTransport> strangers;
  /// To plc_url and resolve_handles_at, which may be private.
  std::shared_ptr<HttpTransport> configured;
};

/// Thread-safe.
class IdentityResolver {
 public:
  IdentityResolver(IdentityTransports transports, IdentityOptions options);
  /// One transport for both.
  IdentityResolver(const std::shared_ptr<HttpTransport>& transport, IdentityOptions options)
      : IdentityResolver(IdentityTransports{transport, transport}, std::move(options)) {}

  /// A handle: resolved, its DID document fetched, and the document must claim the handle (C2.4).
  /// A DID: document fetched; a handle that does not resolve back becomes "handle.invalid". Asks
  /// anew each time, and lets look_up() know what came of it.
  /// Errors: identity_not_found ("handle.not_found", "did.not_found"), identity_mismatch
  /// ("handle.not_claimed", "handle.ambiguous", "identity.no_pds"), invalid_response for answers
  /// that are neither a document nor a 404 ("handle.status", "handle.content_type",
  /// "handle.not_a_did", "did_document.status", "did_document.content_type"), those of
  /// parse_did_document, of DnsResolver and of transports.
  [[nodiscard]] Result<Identity> resolve(std::string_view handle_or_did, std::stop_token stop = {});
  /// Like resolve, but an answer of the last ten minutes will do, and callers who ask for the same
  /// name at once share one lookup. To show names with, not to trust them: see IdentityCache.
  /// Errors also: cancelled, "identity.cancelled".
  [[nodiscard]] Result<Identity> look_up(std::string_view handle_or_did, std::stop_token stop = {});
  /// DID document -> PDS origin only; what refresh confirms. Never out of the cache. Error:
  /// identity_mismatch, "identity.no_pds".
  [[nodiscard]] Result<DidDocument> resolve_did(std::string_view did, std::stop_token stop = {});
  /// The DID that the handle points to, whether or not its document claims it. DNS and https at
  /// once, see HandleResolver. Never out of the cache.
  [[nodiscard]] Result<std::string> resolve_handle(std::string_view handle,
                                                   std::stop_token stop = {});

 private:
  [[nodiscard]] Result<Identity> ask(const std::string& name, const std::stop_token& stop);
  [[nodiscard]] Result<Identity> ask_by_did(const std::string& did, const std::stop_token& stop);

  IdentityTransports transports_;
  IdentityOptions options_;
  HandleResolver handles_;
  IdentityCache cache_;
};

}  // namespace latchkey
