// SPDX-License-Identifier: MIT
module;
#include <string>
#include <string_view>
#include <utility>
module latchkey.refresh.pending;
import latchkey.core.crypto;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.secret;
import latchkey.core.time;
import latchkey.oauth.authorization;
import latchkey.store;
import latchkey.store.vault;

namespace latchkey {
namespace {

std::string context_of(std::string_view key) {
  return "latchkey.pending.v1|" + std::string(key);
}

}  // namespace

std::string pending_key(std::string_view state) {
  return sha256_base64url(state);
}

Result<PendingRecord> seal_pending(const PendingLogin& pending, TimePoint expires_at,
                                   Sealer& sealer) {
  auto key = pending_key(pending.state);
  auto box = sealer.seal(serialize_pending(pending).expose(), context_of(key));
  if (!box) return std::move(box).error();
  return PendingRecord{.key = std::move(key), .expires_at = expires_at, .box = *std::move(box)};
}

Result<PendingLogin> open_pending(const PendingRecord& record, Sealer& sealer) {
  auto bytes = sealer.open(record.box, context_of(record.key));
  if (!bytes) return std::move(bytes).error();
  return parse_pending(*bytes);
}

}  // namespace latchkey
