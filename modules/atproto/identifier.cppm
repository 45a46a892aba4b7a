// SPDX-License-Identifier: MIT
module;
#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>
export module latchkey.atproto.identifier;
import latchkey.core.crypto;
import latchkey.core.error;
import latchkey.core.time;

// The names of AT Protocol: DIDs, handles, NSIDs, record keys, AT-URIs and TIDs, by the grammars of
// its specification.

export namespace latchkey {

/// did:plc (24 characters of base32) or did:web (a host name, no port but for localhost, no path),
/// at most 2048 characters. Other methods are refused. Error: invalid_argument, "did.malformed" or
/// "did.method".
[[nodiscard]] Result<std::string> parse_did(std::string_view text);
/// A leading "@" or "at://" is dropped; lower-cased. Error: invalid_argument, "handle.malformed" or
/// "handle.reserved_tld" (.local, .arpa, .invalid, .localhost, .internal, .example, .alt, .onion).
[[nodiscard]] Result<std::string> parse_handle(std::string_view text);
/// Error: invalid_argument, "nsid.malformed".
[[nodiscard]] Result<std::string> parse_nsid(std::string_view text);
/// Error: invalid_argument, "rkey.malformed".
[[nodiscard]] Result<std::string> parse_record_key(std::string_view text);

/// at://REPO/COLLECTION/RKEY with nothing missing; repo is a DID or a handle.
struct AtUri {
  std::string repo;
  std::string collection;
  std::string rkey;
};
/// Error: invalid_argument, "at_uri.malformed".
[[nodiscard]] Result<AtUri> parse_at_uri(std::string_view text);

/// Makes TIDs: 13 characters, sortable by time, never the same twice in this process; a random
/// clock id. Thread-safe.
class TidSource {
 public:
  TidSource(Clock& clock, Random& random);
  [[nodiscard]] std::string next();

 private:
  Clock& clock_;
  std::mutex mutex_;
  std::uint64_t clock_id_;
  std::uint64_t last_ = 0;
};

}  // namespace latchkey
