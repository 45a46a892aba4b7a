// SPDX-License-Identifier: MIT
module;
#include <optional>
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
import latchkey.oauth.pending_device;
import latchkey.store;
import latchkey.store.vault;

namespace latchkey {
namespace {

std::string context_of(std::string_view key) {
  return "latchkey.pending.v1|" + std::string(key);
}

Result<PendingRecord> seal(std::string key, TimePoint expires_at, const SecretBytes& plaintext,
                           Sealer& sealer) {
  auto box = sealer.seal(plaintext.expose(), context_of(key));
  if (!box) return std::move(box).error();
  return PendingRecord{.key = std::move(key), .expires_at = expires_at, .box = *std::move(box)};
}

Result<SecretBytes> open(const PendingRecord& record, Sealer& sealer) {
  return sealer.open(record.box, context_of(record.key));
}

}  // namespace

std::string pending_key(std::string_view state) {
  return sha256_base64url(state);
}

Result<PendingRecord> seal_pending(const PendingLogin& pending, TimePoint expires_at,
                                   Sealer& sealer) {
  return seal(pending_key(pending.state), expires_at, serialize_pending(pending), sealer);
}

Result<PendingLogin> open_pending(const PendingRecord& record, Sealer& sealer) {
  auto bytes = open(record, sealer);
  if (!bytes) return std::move(bytes).error();
  return parse_pending(*bytes);
}

std::string pending_device_key(std::string_view id) {
  // Not the digest of the id alone: it would also be that of a state with this text.
  return sha256_base64url("latchkey.device_login|" + std::string(id));
}

Result<PendingRecord> seal_pending_device(const PendingDevice& pending, Sealer& sealer) {
  return seal(pending_device_key(pending.id), pending.expires_at, serialize_pending_device(pending),
              sealer);
}

Result<std::optional<PendingDevice>> open_pending_device(const PendingRecord& record,
                                                         Sealer& sealer) {
  const auto bytes = open(record, sealer);
  if (!bytes) return bytes.error();
  if (!is_pending_device(*bytes)) return std::optional<PendingDevice>();
  auto pending = parse_pending_device(*bytes);
  if (!pending) return std::move(pending).error();
  return std::optional<PendingDevice>(*std::move(pending));
}

Result<std::string> pending_jkt(const PendingRecord& record, Sealer& sealer) {
  auto device = open_pending_device(record, sealer);
  if (!device) return std::move(device).error();
  if (*device) return std::move((*device)->dpop_jkt);
  auto login = open_pending(record, sealer);
  if (!login) return std::move(login).error();
  return std::move(login->dpop_jkt);
}

Result<PendingRecord> reseal_pending(const PendingRecord& record, Sealer& from, Sealer& to) {
  const auto bytes = open(record, from);
  if (!bytes) return bytes.error();
  return seal(record.key, record.expires_at, *bytes, to);
}

}  // namespace latchkey
