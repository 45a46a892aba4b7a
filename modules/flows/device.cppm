// SPDX-License-Identifier: MIT
module;
#include <memory>
#include <stop_token>
#include <string_view>
#include <vector>
export module latchkey.flows.device;
export import latchkey.flows.device_login;
import latchkey.core.error;

// Logging in on a machine without a browser (RFC 8628): it shows a code and an address, the person
// goes there with another one, and this one asks until they have answered. A login that was begun
// is kept, sealed, in the store: whoever stops waiting can go on later, also in another process.

export namespace latchkey {

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
