// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <string>
export module latchkey.oauth.pending_device;
import latchkey.core.error;
import latchkey.core.secret;
import latchkey.core.time;
import latchkey.session;

// What a device login must remember while the person is on the way to the other machine, and the
// form in which it is kept, so that it outlives this process.

export namespace latchkey {

/// Sealed whenever it is kept.
struct PendingDevice {
  std::string id;  ///< 16 random bytes; names the login, opens nothing
  SecretString device_code;
  std::string user_code;
  std::string verification_uri;
  std::string verification_uri_complete;  ///< empty: there is none
  std::string issuer;
  std::string token_endpoint;
  std::string client_id;
  ClientAuthMethod client_auth_method = ClientAuthMethod::none;
  std::string client_auth_kid;
  std::string scope;    ///< requested
  std::string subject;  ///< the session's key to be; empty: the id token will say
  std::string dpop_jkt;
  std::chrono::seconds interval{};  ///< of now: every slow_down has been added
  TimePoint expires_at{};
};

/// JSON with a version (docs/formats.md); for sealing.
[[nodiscard]] SecretBytes serialize_pending_device(const PendingDevice& pending);
/// Errors: corrupt, "pending.not_json", "pending.missing_member", "pending.wrong_type",
/// "pending.duplicate_member", "pending.malformed"; schema_too_new, "pending.version".
[[nodiscard]] Result<PendingDevice> parse_pending_device(const SecretBytes& bytes);
/// Whether it is one of these at all, and no PendingLogin.
[[nodiscard]] bool is_pending_device(const SecretBytes& bytes) noexcept;

}  // namespace latchkey
