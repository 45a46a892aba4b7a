// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>
module latchkey.test.torture_tables;
import latchkey.core;
import latchkey.store;
import latchkey.store.postgres.connection;
import latchkey.test.torture_inspection;
import latchkey.test.torture_place;

namespace latchkey::test {
namespace {

using namespace std::chrono_literals;

constexpr const char* kHeldLeases =
    "SELECT subject FROM latchkey_leases WHERE expires_at > clock_timestamp()";
constexpr const char* kKeyless =
    "SELECT subject FROM latchkey_sessions s "
    "WHERE NOT EXISTS (SELECT 1 FROM latchkey_keys k WHERE k.id = s.dpop_jkt)";
constexpr const char* kOrphans =
    "SELECT 'lease of ' || subject FROM latchkey_leases l "
    "WHERE NOT EXISTS (SELECT 1 FROM latchkey_sessions s WHERE s.subject = l.subject) "
    "UNION ALL SELECT 'claim of ' || subject FROM latchkey_claims c "
    "WHERE NOT EXISTS (SELECT 1 FROM latchkey_sessions s WHERE s.subject = c.subject) "
    "UNION ALL SELECT 'key ' || id FROM latchkey_keys k "
    "WHERE NOT EXISTS (SELECT 1 FROM latchkey_sessions s WHERE s.dpop_jkt = k.id) "
    "UNION ALL SELECT 'nonce of ' || jkt FROM latchkey_nonces n "
    "WHERE NOT EXISTS (SELECT 1 FROM latchkey_sessions s WHERE s.dpop_jkt = n.jkt) "
    "UNION ALL SELECT 'pending login ' || state_digest FROM latchkey_pending "
    "UNION ALL SELECT 'quarantined ' || name FROM latchkey_quarantined "
    "UNION ALL SELECT 'quarantined key ' || id FROM latchkey_quarantined_keys";

void list_into(std::vector<std::string>& list, Findings& findings, PostgresConnection& connection,
               const char* sql, std::string_view what) {
  const auto rows = connection.run(sql);
  if (!rows) {
    findings.corrupt.push_back(rows.error().message);
    return;
  }
  for (std::size_t i = 0; i < rows->size(); ++i)
    list.push_back(std::string(what) + std::string(rows->text(i, 0).value_or("?")));
}

}  // namespace

void inspect_tables(const Site& site, Findings& findings) {
  const auto connection = PostgresConnection::open(SecretString(site.address));
  const auto place = open_place(site);
  if (!connection || !place) {
    findings.corrupt.push_back(connection ? place.error().message : connection.error().message);
    return;
  }
  list_into(findings.stuck, findings, **connection, kHeldLeases, "a lease has not run out: ");
  list_into(findings.keys, findings, **connection, kKeyless, "no key for ");
  if (const auto swept = place->store->sweep(SystemClock().now() + 48h); !swept)
    findings.corrupt.push_back(swept.error().message);
  list_into(findings.litter, findings, **connection, kOrphans, "");
}

}  // namespace latchkey::test
