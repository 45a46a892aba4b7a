// SPDX-License-Identifier: MIT
module;
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>
export module latchkey.cli.doctor.checks;
import latchkey.cli.doctor.findings;
import latchkey.cli.options;
import latchkey.cli.workspace;
import latchkey.core.error;
import latchkey.core.os.files;
import latchkey.core.os.locks;
import latchkey.core.time;
import latchkey.http;
import latchkey.session;
import latchkey.store;
import latchkey.store.postgres.database;
import latchkey.store.vault;
import latchkey.store.vault.managed;

// What the doctor looks at. Checks create nothing: what is not there is not opened.

export namespace latchkey::cli {

/// Where to look, and by which clock.
struct Patient {
  Options options;
  Places where;
  StoreName store;
  std::shared_ptr<PostgresDatabase> database{};  ///< of a store in one, if it can be reached
  std::shared_ptr<FileSystem> files = posix_file_system();
  std::shared_ptr<Clock> clock = std::make_shared<SystemClock>();
};

[[nodiscard]] bool has_vault(const Patient& patient);
[[nodiscard]] bool has_store(const Patient& patient);

/// Permissions, kind of file system, locks, and what dead writers left.
void check_files(const Patient& patient, Findings& findings);
/// Two descriptors of one lock file must exclude each other.
void check_locks(LockFile& one, LockFile& other, const Clock& clock, const std::string& about,
                 Findings& findings);

/// Opens the vault, if there is one; null if it can't be opened.
[[nodiscard]] std::shared_ptr<ManagedKeyVault> check_vault(const Patient& patient,
                                                           Findings& findings);
/// Unreadable and abandoned keys. `store` may be null; what needs it is left out then.
void check_keys(const Patient& patient, ManagedKeyVault& vault, OAuthTokenStore* store,
                Findings& findings);

/// Opens the store, if there is one, also while the vault is closed (null).
[[nodiscard]] std::shared_ptr<OAuthTokenStore> check_store(const Patient& patient, KeyVault* vault,
                                                           Findings& findings);
/// Moves these aside, as their owner has said.
void quarantine_named(OAuthTokenStore& store, const std::vector<std::string>& names,
                      Findings& findings);
/// Every record, claim and pending login; gives the summaries that can be read.
[[nodiscard]] std::vector<SessionSummary> check_records(const Patient& patient,
                                                        OAuthTokenStore& store, KeyVault* vault,
                                                        Findings& findings);

/// The configuration of profiles, and what it names. `sessions`: those that can be read.
void check_profiles(const Patient& patient, const std::vector<SessionSummary>& sessions,
                    Findings& findings);

/// Asks each origin for its time. Whoever can't be reached is a note.
void check_clock(HttpTransport& transport, const std::vector<std::string>& urls, const Clock& clock,
                 Findings& findings);
/// The loopback port and the browser that a login needs.
void check_surroundings(Findings& findings);

}  // namespace latchkey::cli
