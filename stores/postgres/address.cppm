// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <string>
export module latchkey.store.postgres.address;
import latchkey.core.error;
import latchkey.core.secret;

// Addresses of databases: what libpq takes, with what a store needs where nothing else was said.

export namespace latchkey {

struct PostgresAddressDefaults {
  std::chrono::seconds connect_timeout;
  /// How long sent bytes may stay unacknowledged (tcp_user_timeout).
  std::chrono::milliseconds answer_timeout;
};

/// `address` (a URI, keywords, or nothing) as keywords. connect_timeout, the keepalives and
/// tcp_user_timeout are added unless the address, libpq's environment or the service file has them;
/// target_session_attrs becomes read-write unless one of them asks for more than `any`, or the
/// address for `any`; the application is called latchkey unless it has a name. All else stays to
/// libpq. Error: invalid_argument, "postgres.address".
[[nodiscard]] Result<SecretString> complete_postgres_address(
    const SecretString& address, const PostgresAddressDefaults& defaults);

/// For people, and to tell databases apart: "postgresql://HOST:PORT/DATABASE" as libpq would
/// connect, its environment and service file included, without user, password and whatever else
/// there is. Error: that of an address that can't be read.
[[nodiscard]] Result<std::string> postgres_address_name(const SecretString& address);

}  // namespace latchkey
