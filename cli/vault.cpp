// SPDX-License-Identifier: MIT
module;
#include <cstddef>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
module latchkey.cli.commands;
import latchkey.cli.options;
import latchkey.cli.progress;
import latchkey.cli.report;
import latchkey.cli.vault_key;
import latchkey.cli.workspace;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.refresh.rotation;
import latchkey.store;
import latchkey.store.vault.managed;
import latchkey.store.vault.master_key;

namespace latchkey::cli {
namespace {

using Json = nlohmann::ordered_json;
using Kind = MasterKey::Kind;

class RotationLine {
 public:
  void operator()(RotationStage stage, std::size_t done, std::size_t total) {
    line_(stage == RotationStage::keys ? "keys sealed anew" : "sessions sealed anew", done, total);
  }

 private:
  ProgressLine line_;
};

std::string place_of(const VaultStatus& status, const Places& where) {
  switch (status.kind) {
    case Kind::key_file:
      return printable(where.key.native(), 300);
    case Kind::keychain:
      return "item " + status.keychain_item;
    case Kind::passphrase:
      return std::to_string(status.cost.passes) + " passes of Argon2id over " +
             std::to_string(status.cost.memory_bytes >> 20) + " MiB";
    case Kind::command:
      break;
  }
  return "named with --master-key";
}

std::size_t count_of(const SealedSessions& sessions, const std::string& data_key) {
  const auto found = sessions.by_data_key.find(data_key);
  return found == sessions.by_data_key.end() ? 0 : found->second;
}

void print_status(const VaultStatus& status, const SealedSessions& sessions, const Places& where) {
  print("master key\t" + std::string(to_string(status.kind)) + " (" + place_of(status, where) +
        ")");
  print("this\t" + std::string(protection_of(status.kind)));
  for (std::size_t i = 0; i < status.data_keys.size(); ++i) {
    const DataKeyUse& use = status.data_keys[i];
    print("data key\t" + use.id + (i == 0 ? " (newest)" : " (old)") + ": " +
          std::to_string(use.keys) + " keys, " + std::to_string(count_of(sessions, use.id)) +
          " sessions");
  }
  for (const Error& error : status.unreadable) print("unreadable\t" + error.message);
  for (const ListedSession& row : sessions.unreadable) {
    print("unreadable\t" + printable(row.name, 200) + ": " + row.error->message);
  }
}

Json status_json(const VaultStatus& status, const SealedSessions& sessions, const Places& where) {
  Json json{{"kind", to_string(status.kind)},
            {"place", place_of(status, where)},
            {"protection", protection_of(status.kind)},
            {"data_keys", Json::array()},
            {"unreadable", Json::array()}};
  for (std::size_t i = 0; i < status.data_keys.size(); ++i) {
    const DataKeyUse& use = status.data_keys[i];
    json["data_keys"].push_back({{"id", use.id},
                                 {"newest", i == 0},
                                 {"keys", use.keys},
                                 {"sessions", count_of(sessions, use.id)}});
  }
  for (const Error& error : status.unreadable) json["unreadable"].push_back(error.message);
  for (const ListedSession& row : sessions.unreadable) {
    json["unreadable"].push_back(printable(row.name, 200) + ": " + row.error->message);
  }
  return json;
}

void print_json(const Json& json) {
  print(json.dump(-1, ' ', false, Json::error_handler_t::replace));
}

std::size_t left_of(const RotationReport& done) {
  return done.keys_left_count + done.sessions_left_count;
}

// The first thing that is left, for the exit code.
std::optional<Error> show_left(const RotationReport& done) {
  for (const Error& error : done.keys_left) say("left: " + error.message);
  for (const ListedSession& row : done.sessions_left) {
    say("left: " + printable(row.name, 200) + ": " + row.error->message);
  }
  const std::size_t named = done.keys_left.size() + done.sessions_left.size();
  if (const std::size_t all = left_of(done); all > named)
    say("left: and " + std::to_string(all - named) + " more");
  if (!done.keys_left.empty()) return done.keys_left.front();
  if (!done.sessions_left.empty()) return done.sessions_left.front().error;
  return std::nullopt;
}

Exit tell_rewrapped(const MasterKey& fresh, Format format) {
  const std::string kind(to_string(fresh.kind()));
  if (format == Format::json) {
    print_json({{"kind", kind}, {"protection", protection_of(fresh.kind())}});
  } else {
    print("master key\t" + kind);
    print("this\t" + std::string(protection_of(fresh.kind())));
  }
  return Exit::ok;
}

Exit drop_old(const Workspace& workspace, Format format) {
  const auto dropped = drop_old_data_keys(*workspace.vault, *workspace.store);
  if (!dropped) return report(dropped.error(), format);
  if (format == Format::json) {
    print_json({{"dropped", *dropped}});
  } else {
    print("dropped\t" + std::to_string(*dropped) + " old data keys");
  }
  return Exit::ok;
}

}  // namespace

Exit run_vault_status(const Options& options) {
  const auto where = places(options);
  if (!where) return report(where.error(), options.format);
  const auto workspace = open_workspace(options);
  if (!workspace) return report(workspace.error(), options.format);
  const auto status = workspace->vault->status();
  if (!status) return report(status.error(), options.format);
  const auto sessions = count_sealed_sessions(*workspace->store);
  if (!sessions) return report(sessions.error(), options.format);
  if (options.format == Format::json) {
    print_json(status_json(*status, *sessions, *where));
  } else {
    print_status(*status, *sessions, *where);
  }
  return status->unreadable.empty() && sessions->unreadable.empty() ? Exit::ok : Exit::failed;
}

Exit run_vault_rewrap(const Options& options, const VaultCommand& command) {
  const auto where = places(options);
  if (!where) return report(where.error(), options.format);
  auto fresh = new_master_key(command.to, *where, options.stop);
  if (!fresh) return report(fresh.error(), options.format);
  const auto name = store_name(options, *where);
  if (!name) return report(name.error(), options.format);
  const auto database = open_database(*name);
  if (!database) return report(database.error(), options.format);
  const auto vault = open_vault(options, *where, *database);
  if (!vault) return report(vault.error(), options.format);
  const auto before = vault_kind(*where, *database);
  if (!before) return report(before.error(), options.format);
  const bool from_file = *before == Kind::key_file;
  if (from_file && fresh->kind() == Kind::key_file && is_same_file(fresh->path(), where->key)) {
    return report(
        make_error(ErrorCode::invalid_argument, "cli.same_key_file",
                   "the vault is under the key file " + printable(where->key.native(), 300) +
                       " already; choose another one, or another kind"),
        options.format);
  }
  if (auto done = (*vault)->rewrap(*fresh); !done) return report(done.error(), options.format);
  say("start the programs again that have the vault open: in " +
      std::to_string(kSealingGrace.count()) + " minutes they stop saving sessions");
  if (from_file) {
    say("this vault does not use the key file " + printable(where->key.native(), 300) +
        " any more; other vaults may, and copies of this one from before do");
  }
  return tell_rewrapped(*fresh, options.format);
}

Exit run_vault_rotate(const Options& options, const VaultCommand& command) {
  const auto workspace = open_workspace(options);
  if (!workspace) return report(workspace.error(), options.format);
  if (command.drop_old) return drop_old(*workspace, options.format);
  const auto done = rotate_vault(*workspace->vault, *workspace->store,
                                 {.progress = RotationLine(),
                                  .stop = options.stop,
                                  // In a database they wait for commits, and several can at once.
                                  .workers = workspace->database ? std::size_t{4} : std::size_t{1},
                                  .random = {},
                                  .clock = {}});
  if (!done) return report(done.error(), options.format);
  const auto left = show_left(*done);
  if (options.format == Format::json) {
    print_json({{"new_data_key", done->new_data_key},
                {"keys", done->keys},
                {"keys_resealed", done->keys_resealed},
                {"sessions", done->sessions},
                {"sessions_resealed", done->sessions_resealed},
                {"left", left_of(*done)}});
  } else {
    print(done->new_data_key ? "rotated\ta new data key" : "resumed\tan unfinished rotation");
    print("sealed anew\t" + std::to_string(done->keys_resealed) + " of " +
          std::to_string(done->keys) + " keys, " + std::to_string(done->sessions_resealed) +
          " of " + std::to_string(done->sessions) + " sessions");
  }
  return left ? report(*left, options.format) : Exit::ok;
}

}  // namespace latchkey::cli
