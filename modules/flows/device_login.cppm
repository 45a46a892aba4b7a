// SPDX-License-Identifier: MIT
module;
#include <functional>
#include <memory>
#include <stop_token>
#include <string>
export module latchkey.flows.device_login;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.time;
import latchkey.flows.code_login;
import latchkey.oauth.pending_device;
import latchkey.oauth.server_metadata;
import latchkey.oauth.token;
import latchkey.oidc.id_token;
import latchkey.refresh.keeper;
import latchkey.session;
import latchkey.store;

// A device login that waits for its person (RFC 8628 §3.3 to §3.5): when to ask, what the answers
// mean, and how it ends.

export namespace latchkey {

struct DeviceFlowOptions {
  /// Its context has the client, the store, the keys and the network.
  std::shared_ptr<SessionKeeper> keeper;
  /// At least device_authorization_endpoint and token_endpoint.
  ServerMetadata server;
  std::string scope{};  ///< openid is added if there is a validator
  /// Key of the session; empty: "issuer|sub", as the id token says.
  std::string subject{};
  std::string handle{};  ///< for display
  std::string resource_server{};
  std::shared_ptr<IdTokenValidator> validator{};  ///< null: no id token is looked at
  TokenAnswerMapper map_answer{};
  /// A key is made at the beginning, and every request is proven with it (RFC 9449).
  TokenBinding binding = TokenBinding::bearer;
  FormFields extra{};  ///< see DeviceRequest::extra
};

/// What the person needs, and what names the login. No secrets.
struct DeviceCodes {
  std::string id;
  std::string subject;  ///< DeviceFlowOptions::subject
  std::string user_code;
  std::string verification_uri;
  std::string verification_uri_complete;  ///< has the code in it, for a QR code; may be empty
  /// After half an hour at most, whatever the server allows.
  TimePoint expires_at{};
};

/// What of it the person may see.
[[nodiscard]] DeviceCodes codes_of(const PendingDevice& pending);

/// How the waiting goes.
struct DeviceProgress {
  Duration time_left{};            ///< for the person
  Duration next_poll{};            ///< until then
  const Error* trouble = nullptr;  ///< why the last poll brought nothing; null: it was answered
};

struct DevicePollOptions {
  std::stop_token stop{};
  /// Told about once a second. Called where poll() is.
  std::function<void(const DeviceProgress&)> on_progress{};
};

/// A login that waits for its person; nobody else can poll for it meanwhile. Dropping it leaves it
/// in the store, to be resumed until it expires.
class PendingDeviceLogin {
 public:
  /// Programs get one from DeviceFlow. `held`: the right to poll for it.
  PendingDeviceLogin(std::shared_ptr<const DeviceFlowOptions> options, PendingDevice pending,
                     std::unique_ptr<Lease> held);
  PendingDeviceLogin(PendingDeviceLogin&&) noexcept;
  PendingDeviceLogin& operator=(PendingDeviceLogin&&) noexcept;
  ~PendingDeviceLogin();

  [[nodiscard]] const DeviceCodes& codes() const noexcept;

  /// Waits for the person; saved, durable, when it returns. It uses the login up, so that a device
  /// code is polled for in one place only: `std::move(login).poll()`. The first poll is one
  /// interval away, each slow_down adds 5 s for good, and trouble with the network is waited out
  /// (see device_poll_delay). From the moment that a poll is sent until its answer is dealt
  /// with nothing is cancelled, for the answer may be the tokens. Errors that end the login and
  /// forget it: access_denied, "device.access_denied"; timeout, "device.expired_token" (the server
  /// says so, or no poll is left before expires_at); invalid_grant, "device.invalid_grant",
  /// "device.answer_lost" (the tokens were probably on their way when the connection broke);
  /// invalid_client; provider_error; invalid_response for a 200 that is none; those of
  /// session_from_grant and save_login, and what was issued is revoked. Errors after which it can
  /// be resumed: cancelled, "device.cancelled"; locked, "device.lease_lost"; whatever else is not
  /// the server's answer.
  [[nodiscard]] Result<std::shared_ptr<const OAuthSession>> poll(
      const DevicePollOptions& options = {}) &&;
  /// Gives it up: it can't be resumed, and its key is removed.
  void abandon() &&;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace latchkey
