// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
module latchkey.test.postgres_store_place;
import latchkey.core.error;
import latchkey.core.secret;
import latchkey.core.time;
import latchkey.store;
import latchkey.store.postgres;
import latchkey.store.postgres.database;
import latchkey.store.vault;
import latchkey.test.conformance;
import latchkey.test.postgres_place;

namespace latchkey::test {

std::string quoted(std::string_view text) {
  std::string out = "'";
  for (const char c : text) out.append(c == '\'' ? 2 : 1, c);
  return out + '\'';
}

Machine PostgresStorePlace::machine(std::uint16_t port, PostgresOptions options) {
  const std::string address = port == 0 ? place_.address() : with_port(place_.address(), port);
  Machine machine;
  machine.database = PostgresDatabase::open(SecretString(address), std::move(options)).value();
  machine.store =
      PostgresOAuthTokenStore::open(machine.database, vault_->sealer(), options_).value();
  return machine;
}

Result<std::shared_ptr<OAuthTokenStore>> PostgresStorePlace::open() {
  auto database = PostgresDatabase::open(place_.secret_address(), {.max_connections = 4});
  if (!database) return std::move(database).error();
  return PostgresOAuthTokenStore::open(*std::move(database), vault_->sealer(), options_);
}

bool PostgresStorePlace::damage(std::string_view subject) {
  place_.run("UPDATE latchkey_sessions SET state = 'asleep' WHERE subject = " + quoted(subject));
  return true;
}

void PostgresStorePlace::expire_lease(std::string_view subject) {
  place_.run(
      "UPDATE latchkey_leases SET expires_at = clock_timestamp() - INTERVAL '1 second' "
      "WHERE subject = " +
      quoted(subject));
}

std::string PostgresStorePlace::lease(std::string_view column, std::string_view subject) {
  return place_.value("SELECT " + std::string(column) +
                      " FROM latchkey_leases WHERE subject = " + quoted(subject));
}

}  // namespace latchkey::test
