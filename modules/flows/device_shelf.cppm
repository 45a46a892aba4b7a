// SPDX-License-Identifier: MIT
module;
#include <memory>
#include <optional>
#include <string_view>
#include <vector>
export module latchkey.flows.device_shelf;
import latchkey.core.error;
import latchkey.oauth.pending_device;
import latchkey.refresh.context;
import latchkey.store;

// Where device logins lie while they wait for their person: in the store, sealed, each under a
// lease of its own while somebody polls for it.

export namespace latchkey {

/// A view of a context's store and keys, which must outlive it. Thread-safe.
class DeviceShelf {
 public:
  explicit DeviceShelf(const SessionContext& context) : context_(context) {}

  /// The right to poll for this login. Errors: locked, "device.in_progress"; those of the store.
  [[nodiscard]] Result<std::unique_ptr<Lease>> lease(std::string_view id) const;

  /// Errors: those of Sealer::seal and OAuthTokenStore::save_pending.
  [[nodiscard]] Result<void> keep(const PendingDevice& pending) const;
  /// Best effort: what stays behind expires soon.
  void forget(const PendingDevice& pending) const;
  /// A key without a session is of no use to anybody; one that can't be removed does no harm.
  void drop_key(std::string_view jkt) const;

  /// Empty if there is no such login, or it has expired. Errors: those of the store and of opening
  /// it.
  [[nodiscard]] Result<std::optional<PendingDevice>> find(std::string_view id) const;
  /// All that have not expired and can be read, in no order. Errors: those of the store.
  [[nodiscard]] Result<std::vector<PendingDevice>> all() const;

 private:
  const SessionContext& context_;
};

}  // namespace latchkey
