// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
module latchkey.flows.device_shelf;
import latchkey.core.error;
import latchkey.core.os.locks;
import latchkey.core.time;
import latchkey.oauth.pending_device;
import latchkey.refresh.context;
import latchkey.refresh.pending;
import latchkey.store;

namespace latchkey {
namespace {

// A poll holds the lease all the time; whoever finds it taken for this long has found one.
constexpr Duration kLeaseWait = std::chrono::milliseconds{500};

}  // namespace

Result<std::unique_ptr<Lease>> DeviceShelf::lease(std::string_view id) const {
  auto held = context_.store->lease("device_login|" + std::string(id),
                                    {.deadline = context_.clock->steady_now() + kLeaseWait});
  if (held || held.error().code != ErrorCode::locked) return held;
  return make_error(ErrorCode::locked, "device.in_progress",
                    "cannot resume this device login: another program is waiting for it already");
}

Result<void> DeviceShelf::keep(const PendingDevice& pending) const {
  const auto record = seal_pending_device(pending, context_.store->sealer());
  if (!record) return record.error();
  return context_.store->save_pending(*record, context_.clock->now());
}

void DeviceShelf::forget(const PendingDevice& pending) const {
  const auto key = pending_device_key(pending.id);
  static_cast<void>(context_.store->take_pending(key, context_.clock->now()).has_value());
}

void DeviceShelf::drop_key(std::string_view jkt) const {
  if (!jkt.empty()) static_cast<void>(context_.provers->remove(jkt).has_value());
}

Result<std::optional<PendingDevice>> DeviceShelf::find(std::string_view id) const {
  const auto side = context_.store->side_records();
  if (!side) return side.error();
  const std::string key = pending_device_key(id);
  for (const auto& row : side->pending) {
    if (!row.pending || row.pending->key != key) continue;
    if (context_.clock->now() >= row.pending->expires_at) break;
    return open_pending_device(*row.pending, context_.store->sealer());
  }
  return std::optional<PendingDevice>();
}

Result<std::vector<PendingDevice>> DeviceShelf::all() const {
  const auto side = context_.store->side_records();
  if (!side) return side.error();
  std::vector<PendingDevice> found;
  for (const auto& row : side->pending) {
    // What can't be read is the doctor's business.
    if (!row.pending || context_.clock->now() >= row.pending->expires_at) continue;
    auto pending = open_pending_device(*row.pending, context_.store->sealer());
    if (pending && *pending) found.push_back(**std::move(pending));
  }
  return found;
}

}  // namespace latchkey
