// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <list>
#include <optional>
#include <string>
#include <string_view>
export module latchkey.sandbox.device;
import latchkey.core.crypto;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.time;
import latchkey.sandbox.client_auth;
import latchkey.sandbox.sign_in;
import latchkey.sandbox.tokens;

// The device grant (RFC 8628): a code that a person types elsewhere, and a client that asks again
// and again whether they did.

export namespace latchkey::sandbox {

struct DeviceRequest {
  Caller caller;
  std::string scope;
  std::string device_code_hash;
  std::string user_code;  ///< without its dash
  TimePoint expires_at;
  std::chrono::seconds interval{5};
  std::optional<TimePoint> polled{};
  enum class State { pending, allowed, denied, used } state = State::pending;
  std::string did{};
  TimePoint auth_time{};
  std::optional<SessionId> session{};
  PageState page{};
};

/// What the client is told at the start.
struct DeviceStart {
  std::string device_code;
  std::string user_code;  ///< with its dash
  std::chrono::seconds expires_in{0};
  std::chrono::seconds interval{0};
};

/// With its dash, as people read it.
[[nodiscard]] std::string shown_user_code(std::string_view user_code);

/// Not thread-safe.
class DeviceDesk {
 public:
  DeviceDesk(Random& random, const Clock& clock, TokenLedger& ledger)
      : random_(random), clock_(clock), ledger_(ledger) {}

  /// Errors: unauthorized_client, "device.grant_type"; those of read_scope, "device.<what>".
  [[nodiscard]] Result<DeviceStart> start(const FormFields& form, Caller caller);
  /// The request that waits for this code; letters may be small, and dashes and spaces do not
  /// count. Null if there is none, it is over, or it is decided.
  [[nodiscard]] DeviceRequest* find(std::string_view user_code);
  void approve(DeviceRequest& request, std::string_view did);
  void deny(DeviceRequest& request);

  /// A device code for tokens, once; they are bound to the key of the caller's proof, if there is
  /// one. Errors: invalid_request, "token.device_code_missing"; invalid_grant, "device.unknown",
  /// "device.wrong_client", "device.used" (ends the session); expired_token, "device.expired";
  /// slow_down, "device.too_early", which makes the interval 5 s longer for good; access_denied,
  /// "device.denied"; authorization_pending, "device.pending".
  [[nodiscard]] Result<IssuedTokens> poll(const FormFields& form, const Caller& caller);

 private:
  [[nodiscard]] Result<void> check_poll(DeviceRequest& request, const Caller& caller);
  [[nodiscard]] std::string draw_user_code();
  void forget_old();

  Random& random_;
  const Clock& clock_;
  TokenLedger& ledger_;
  std::list<DeviceRequest> requests_;
};

}  // namespace latchkey::sandbox
