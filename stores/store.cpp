// SPDX-License-Identifier: MIT
module;
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
module latchkey.store;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.session;
import latchkey.store.record;

namespace latchkey {

Lease::~Lease() {}
OAuthTokenStore::~OAuthTokenStore() {}

Result<std::optional<OAuthSession>> OAuthTokenStore::load(std::string_view subject) {
  auto record = load_record(subject);
  if (!record) return std::move(record).error();
  if (!*record) return std::optional<OAuthSession>();
  // Nothing but the sealed summary says whose session this is; a backend may have mixed them up.
  if ((*record)->summary.subject != subject) {
    return make_error(ErrorCode::corrupt, "record.subject_mismatch",
                      "cannot load the session of " + printable(subject, 100) +
                          ": the record kept for it belongs to " +
                          printable((*record)->summary.subject, 100) +
                          "; restore the store from a backup, or remove the record and log in");
  }
  auto session = unseal_session(**record, *sealer_);
  if (!session) return std::move(session).error();
  return std::optional<OAuthSession>(std::move(*session));
}

Result<void> OAuthTokenStore::check_readable(const SealedRecord& record) const {
  if (auto session = unseal_session(record, *sealer_); !session) return std::move(session).error();
  return {};
}

Result<void> OAuthTokenStore::save(const OAuthSession& session, Revision expected) {
  auto record = seal_session(session, *sealer_);
  if (!record) return std::move(record).error();
  return save_record(*record, expected);
}

}  // namespace latchkey
