// SPDX-License-Identifier: MIT
module;
#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>
export module latchkey.flows.device;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.time;
import latchkey.flows.code_login;
import latchkey.oauth.server_metadata;
import latchkey.oauth.token;
import latchkey.oidc.id_token;
import latchkey.refresh.keeper;
import latchkey.session;

// Logging in on a machine without a browser (RFC 8628): it shows a code and an address, the person
// goes there with another one, and this one asks until they have answered. A login that was begun
// is kept, sealed, in the store: whoever stops waiting can go on later, also in another process.

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

struct DeviceProgress {
  Duration time_left{};
  Duration next_poll{};
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
  PendingDeviceLogin(PendingDeviceLogin&&) noexcept;
  PendingDeviceLogin& operator=(PendingDeviceLogin&&) noexcept;
  ~PendingDeviceLogin();

  [[nodiscard]] const DeviceCodes& codes() const noexcept;

  /// Waits for the person; saved, durable, when it returns. It uses the login up, so that a device
  /// code is polled for in one place only: `std::move(login).poll()`. The first poll is one
  /// interval away, each slow_down adds 5 s for good, and trouble with the network is waited out
  /// (see device_poll_delay). From the moment that a poll is sent until its answer is dealt
  /// with nothing is cancelled, for the answer may be the tokens. Errors that end the login and forget it: access_denied, "device.access_denied";
  /// timeout, "device.expired_token" (the server says so, or no poll is left before expires_at);
  /// invalid_grant, "device.invalid_grant", "device.answer_lost" (the tokens were probably on their
  /// way when the connection broke); invalid_client; provider_error; invalid_response for a 200
  /// that is none; those of session_from_grant and save_login, and what was issued is revoked.
  /// Errors after which it can be resumed: cancelled, "device.cancelled"; locked,
  /// "device.lease_lost"; whatever else is not the server's answer.
  [[nodiscard]] Result<std::shared_ptr<const OAuthSession>> poll(
      const DevicePollOptions& options = {}) &&;
  /// Gives it up: it can't be resumed, and its key is removed.
  void abandon() &&;

 private:
  friend class DeviceFlow;
  struct Impl;
  explicit PendingDeviceLogin(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

/// A handle to shared, constant state; copies may be used from several threads.
class DeviceFlow {
 public:
  /// Errors: invalid_argument, "device.no_endpoint" (the server has none for devices, or none for
  /// tokens), "device.keeper_missing", "device.subject_missing" (neither a subject nor a validator
  /// of id tokens); those of ScopeSet::parse.
  [[nodiscard]] static Result<DeviceFlow> create(DeviceFlowOptions options);

  /// Asks for the codes. On an error nothing is left behind. Errors: those of
  /// build_device_request and process_device_response, of the transport, and of the store; what is
  /// stored under the subject must be readable.
  [[nodiscard]] Result<PendingDeviceLogin> begin(std::stop_token stop = {}) const;
  /// Logins of this client at this server that were begun and have not ended, in no order. Errors:
  /// those of OAuthTokenStore::side_records.
  [[nodiscard]] Result<std::vector<DeviceCodes>> resumable() const;
  /// Goes on with one of them. Errors: login_required, "device.not_pending" (finished, given up or
  /// expired); locked, "device.in_progress" (somebody is polling for it); client_mismatch,
  /// "device.other_client" (of another client or server); those of the store.
  [[nodiscard]] Result<PendingDeviceLogin> resume(std::string_view id) const;

 private:
  explicit DeviceFlow(std::shared_ptr<const DeviceFlowOptions> options);
  std::shared_ptr<const DeviceFlowOptions> options_;
};

}  // namespace latchkey
