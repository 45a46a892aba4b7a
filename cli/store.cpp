// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <cstddef>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>
module latchkey.cli.commands;
import latchkey.cli.options;
import latchkey.cli.progress;
import latchkey.cli.report;
import latchkey.cli.workspace;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.time;
import latchkey.refresh.key_collection;
import latchkey.refresh.migration;
import latchkey.refresh.tombstones;
import latchkey.store;
import latchkey.store.postgres.database;
import latchkey.store.postgres.vault;
import latchkey.store.vault;
import latchkey.store.vault.managed;

// Moving a store elsewhere, and taking out what nobody needs any more.

namespace latchkey::cli {
namespace {

// A lease in a database outlives a holder that was killed by 20 s: a migration that is run again
// after that waits for it.
constexpr std::chrono::seconds kLeasePatience{30};

using Json = nlohmann::ordered_json;

void print_json(const Json& json) {
  print(json.dump(-1, ' ', false, Json::error_handler_t::replace));
}

std::string counted(std::size_t count, const std::string& what) {
  return std::to_string(count) + " " + what + (count == 1 ? "" : "s");
}

// What stays, in words; and the exit code of the first of it.
Exit tell_left(const std::vector<ListedSession>& told, std::size_t left, Format format) {
  for (const ListedSession& row : told)
    say("left: " + printable(row.name, 200) + ": " + row.error->message);
  if (left > told.size()) say("left: " + std::to_string(left - told.size()) + " more");
  return told.empty() ? Exit::ok : report(*told.front().error, format);
}

// Migration
// --------------------------------------------------------------------------------------

Result<StoreName> end_of_migration(const std::string& text, const Places& where) {
  auto name = parse_store_name(text, where);
  if (!name || name->kind != StoreName::Kind::memory) return name;
  return make_error(ErrorCode::invalid_argument, "cli.store",
                    "cannot move sessions out of memory or into it: that of this program is empty, "
                    "and ends with it; name two stores that stay");
}

struct Ends {
  Workspace from, to;
  std::string target;  // its lasting name
};

Error same_store() {
  return make_error(ErrorCode::invalid_argument, "migration.same_store",
                    "cannot move sessions: --from and --to are the same store, or one is a copy of "
                    "the other; name two different ones");
}

// Whoever reads it has named --master-key, or LATCHKEY_MASTER_KEY, which is the target's.
Error of_source(Error error) {
  if (error.detail.starts_with("vault.") || error.detail == "cli.master_key_command")
    error.message +=
        "; this is the source's vault: name its master key with --from-master-key if it is not in "
        "its usual place";
  return error;
}

// The source is opened first: nothing is made at a target of a source that is not there.
Result<Ends> open_both(const Options& source, const Options& target) {
  auto from = open_workspace(source, Opening::existing);
  if (!from) return of_source(std::move(from).error());
  auto to = open_workspace(target);
  if (!to) return std::move(to).error();
  if (from->database && to->database) {
    const auto same = PostgresKeyVault::is_same(*from->database, *to->database);
    if (!same) return same.error();
    if (*same) return same_store();
  }
  return Ends{.from = *std::move(from), .to = *std::move(to), .target = {}};
}

// The global options say how the target's vault is opened, which may be made now; the source's is
// there, and its header says how, but for what only --from-master-key can.
Result<Ends> open_ends(const Options& options, const StoreMigrateCommand& command) {
  const auto where = places(options);
  if (!where) return where.error();
  Options source = options, target = options;
  if (!command.from.empty()) source.store = command.from;
  source.master_key = command.from_master_key;
  source.master_key_file.clear();
  target.store = command.to;
  const auto from = end_of_migration(source.store, *where);
  if (!from) return from.error();
  const auto to = end_of_migration(target.store, *where);
  if (!to) return to.error();
  if (is_same_store(*from, *to)) return same_store();
  auto name = lasting_name(*to);
  if (!name) return std::move(name).error();
  auto ends = open_both(source, target);
  if (ends) ends->target = *std::move(name);
  return ends;
}

// Keys that the moved sessions have left behind, and that are old enough.
std::size_t collect_keys(const Workspace& workspace) {
  const auto removed =
      collect_abandoned_keys(*workspace.vault, *workspace.store, SystemClock{}.now());
  return removed ? removed->size() : 0;
}

void print_migration(const MigrationReport& done, std::size_t keys, const Options& options,
                     bool dry_run) {
  if (options.format == Format::json) {
    print_json({{"dry_run", dry_run},
                {"sessions", done.sessions},
                {"moved", done.moved},
                {"finished", done.finished},
                {"gone", done.gone},
                {"pending", done.pending},
                {"left", done.left},
                {"remaining", done.remaining},
                {"keys_removed", keys}});
    return;
  }
  print((dry_run ? "would move\t" : "moved\t") + std::to_string(done.moved) + " of " +
        counted(done.sessions, "session") + ", " + counted(done.pending, "login") + " under way");
  if (done.finished > 0)
    print("finished\t" + counted(done.finished, "session") + " of a migration that was cut off");
  if (done.gone > 0) print("gone\t" + counted(done.gone, "session") + " meanwhile");
  if (done.left > 0) print("left\t" + std::to_string(done.left) + " where they were");
  if (keys > 0) print("removed\t" + counted(keys, "key") + " that the source needs no more");
  if (!dry_run && done.remaining > 0)
    say("the source has " + counted(done.remaining, "session") +
        ": stop the programs that use it, and run this again");
}

}  // namespace

Exit run_store_migrate(const Options& options, const StoreMigrateCommand& command) {
  const auto ends = open_ends(options, command);
  if (!ends) return report(ends.error(), options.format);
  const auto& [from, to, target] = *ends;
  ProgressLine line;
  const auto done = migrate_sessions(
      {.store = from.store, .vault = from.vault}, {.store = to.store, .vault = to.vault},
      {.progress = [&](std::size_t n, std::size_t total) { line("sessions moved", n, total); },
       .stop = options.stop,
       .lease_patience = kLeasePatience,
       .target = target,
       .dry_run = command.dry_run});
  if (!done) return report(done.error(), options.format);
  // A vault in the data folder that seals the target too is needed as it is.
  const bool is_emptied = from.vault_serves_this_store_alone && to.database && !command.dry_run;
  const std::size_t keys = is_emptied ? collect_keys(from) : 0;
  print_migration(*done, keys, options, command.dry_run);
  return tell_left(done->told_left, done->left, options.format);
}

// What nobody needs
// --------------------------------------------------------------------------------------

namespace {

struct Garbage {
  RemovedTombstones tombstones;
  Swept swept;
  std::size_t keys = 0;
};

Result<std::size_t> expired_logins(OAuthTokenStore& store, TimePoint now) {
  const auto side = store.side_records();
  if (!side) return side.error();
  std::size_t count = 0;
  for (const ListedPending& row : side->pending)
    count += row.pending && row.pending->expires_at <= now;
  return count;
}

Result<Garbage> collect(const Workspace& workspace, const Options& options,
                        const StoreGcCommand& command) {
  const TimePoint now = SystemClock{}.now();
  Garbage garbage;
  auto tombstones =
      remove_tombstones(*workspace.store, {.age = std::chrono::hours(24) * command.dead_after_days,
                                           .dry_run = command.dry_run,
                                           .stop = options.stop});
  if (!tombstones) return std::move(tombstones).error();
  garbage.tombstones = *std::move(tombstones);
  if (command.dry_run) {
    const auto expired = expired_logins(*workspace.store, now);
    if (!expired) return expired.error();
    garbage.swept.pending = *expired;
    return garbage;
  }
  // After the tombstones: their keys may have become needless.
  auto swept = workspace.store->sweep(now);
  if (!swept) return std::move(swept).error();
  garbage.swept = *swept;
  if (workspace.vault_serves_this_store_alone) garbage.keys = collect_keys(workspace);
  return garbage;
}

void print_garbage(const Garbage& garbage, Format format, bool dry_run) {
  const auto& [tombstones, swept, keys] = garbage;
  if (format == Format::json) {
    Json json{{"dry_run", dry_run},
              {"sessions", tombstones.sessions},
              {"dead_sessions_removed", tombstones.removed},
              {"logins_removed", swept.pending},
              {"left", tombstones.left}};
    if (!dry_run) {
      json["keys_removed"] = swept.keys + keys;
      json["others_removed"] = swept.others;
    }
    print_json(json);
    return;
  }
  const std::string removed = dry_run ? "would remove\t" : "removed\t";
  print(removed + counted(tombstones.removed, "session") + " that ended long ago, of " +
        std::to_string(tombstones.sessions));
  print(removed + counted(swept.pending, "expired login") + " under way");
  if (dry_run) return;
  print(removed + counted(swept.keys + keys, "key") + " that nothing needs");
  print(removed + counted(swept.others, "claim, lease or nonce") + " of sessions that are gone");
}

}  // namespace

Exit run_store_gc(const Options& options, const StoreGcCommand& command) {
  const auto workspace = open_workspace(options, Opening::existing);
  if (!workspace) return report(workspace.error(), options.format);
  const auto garbage = collect(*workspace, options, command);
  if (!garbage) return report(garbage.error(), options.format);
  print_garbage(*garbage, options.format, command.dry_run);
  return tell_left(garbage->tombstones.told_left, garbage->tombstones.left, options.format);
}

}  // namespace latchkey::cli
