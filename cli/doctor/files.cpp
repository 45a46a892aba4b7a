// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <chrono>
#include <filesystem>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
module latchkey.cli.doctor.checks;
import latchkey.cli.doctor.findings;
import latchkey.cli.options;
import latchkey.cli.report;
import latchkey.cli.vault_key;
import latchkey.cli.workspace;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.os.files;
import latchkey.core.os.locks;
import latchkey.core.time;
import latchkey.store.vault.key_names;
import latchkey.store.vault.place;

// Files and folders: who may read them, what they lie on, what was left there.

namespace latchkey::cli {
namespace {

using Path = std::filesystem::path;

constexpr auto kLeftoverAge = std::chrono::hours(1);
constexpr auto kLockPatience = std::chrono::seconds(2);

std::string shown(const Path& path) {
  return printable(path.native(), 300);
}

Path beside(const Path& path, std::string_view suffix) {
  auto out = path;
  out += suffix;
  return out;
}

bool is_there(const Patient& patient, const Path& path) {
  const auto time = patient.files->modified_at(path);
  return !time || time->has_value();  // what can't be looked at is there
}

// Folders that are ours with all that lies in them.
std::vector<Path> own_folders(const Patient& patient) {
  const Path& store = patient.store.path;
  std::vector<Path> folders{patient.where.vault, patient.where.vault / "quarantine",
                            patient.where.config / "profiles"};
  if (patient.store.kind == StoreName::Kind::sqlite) folders.push_back(beside(store, ".nonces"));
  if (patient.store.kind == StoreName::Kind::file) {
    for (const char* name : {"sessions", "claims", "pending", "nonces", "quarantine"})
      folders.push_back(store / name);
  }
  return folders;
}

// Our files, and folders in which other things may lie too.
std::vector<Path> own_paths(const Patient& patient) {
  const Path &store = patient.store.path, &key = patient.where.key;
  std::vector<Path> paths{patient.where.data, patient.where.config, key,
                          patient.where.config / "current", beside(key, ".lock")};
  if (patient.store.kind == StoreName::Kind::sqlite) {
    if (store.parent_path() != patient.where.data) paths.push_back(store.parent_path());
    for (const char* suffix : {"", "-wal", "-shm", ".lock"}) paths.push_back(beside(store, suffix));
  }
  if (patient.store.kind == StoreName::Kind::file) {
    for (const char* name : {"", "format.json", "store.lock"})
      paths.push_back(*name == '\0' ? store : store / name);
  }
  return paths;
}

// True if it is private.
bool check_private(const Patient& patient, const Path& path, Findings& findings) {
  const auto checked = patient.files->check_private(path);
  if (checked) return true;
  const Error& error = checked.error();
  if (error.detail != "location.permissions") {
    findings.add(error, shown(path));
    return false;
  }
  findings.add({Severity::problem, error.detail, shown(path), error.message},
               {"do that", "done", [&] { return make_private(path); }});
  return false;
}

void check_leftover(const Patient& patient, const Path& path, Findings& findings) {
  const auto time = patient.files->modified_at(path);
  if (!time || !*time) return;
  const auto now = patient.clock->now();
  const std::string text = "a file that was being written " + relative_time(**time, now);
  if (now - **time <= kLeftoverAge) {
    findings.add(Severity::note, "files.being_written", shown(path), text);
    return;
  }
  findings.add({Severity::note, "files.leftover", shown(path), text + ": its writer has died"},
               {"remove it", "removed", [&] { return patient.files->remove(path); }});
}

// What lies in a folder of ours; true if all of it is private.
bool check_folder(const Patient& patient, const Path& folder, Findings& findings) {
  const auto entries = patient.files->list(folder);
  if (!entries) {
    findings.add(entries.error(), shown(folder));
    return false;
  }
  bool fine = true;
  for (const auto& entry : *entries) {
    fine = check_private(patient, folder / entry.name, findings) && fine;
    if (entry.name.starts_with(kTemporaryPrefix))
      check_leftover(patient, folder / entry.name, findings);
  }
  return fine;
}

// In folders in which other things may lie too, our temporary files are known by their names.
void check_shared_folder(const Patient& patient, const Path& folder, Findings& findings) {
  const auto entries = patient.files->list(folder);
  if (!entries) return;  // its own check says why
  for (const auto& entry : *entries) {
    if (entry.name.starts_with(kTemporaryPrefix))
      check_leftover(patient, folder / entry.name, findings);
  }
}

std::set<Path> shared_folders(const Patient& patient) {
  std::set<Path> folders{patient.where.data, patient.where.config};
  if (patient.store.kind == StoreName::Kind::sqlite)
    folders.insert(patient.store.path.parent_path());
  if (patient.store.kind == StoreName::Kind::file) folders.insert(patient.store.path);
  return folders;
}

bool is_in_files(const Patient& patient) {
  return patient.store.kind == StoreName::Kind::sqlite ||
         patient.store.kind == StoreName::Kind::file;
}

Path lock_file_of(const Patient& patient) {
  return patient.store.kind == StoreName::Kind::file ? patient.store.path / "store.lock"
                                                     : beside(patient.store.path, ".lock");
}

void check_store_locks(const Patient& patient, Findings& findings) {
  if (!is_in_files(patient)) return;
  const Path path = lock_file_of(patient);
  if (!is_there(patient, path)) return;
  const auto one = LockFile::open(path, patient.clock);
  const auto other = LockFile::open(path, patient.clock);
  if (!one || !other) {
    findings.add(one ? other.error() : one.error(), shown(path));
    return;
  }
  check_locks(**one, **other, *patient.clock, shown(path), findings);
}

}  // namespace

// Keys without a header are a vault too, a broken one.
bool has_vault(const Patient& patient) {
  if (patient.database) {
    const auto kind = vault_kind(patient.where, patient.database);
    return !kind || kind->has_value();
  }
  const auto entries = patient.files->list(patient.where.vault);
  if (!entries) return true;  // opening says what is wrong
  return std::any_of(entries->begin(), entries->end(), [](const FolderEntry& entry) {
    return entry.name == kVaultHeaderName || id_of_key_file(entry.name).has_value();
  });
}

bool has_store(const Patient& patient) {
  switch (patient.store.kind) {
    case StoreName::Kind::memory:
      return false;
    case StoreName::Kind::postgres:
      return patient.database != nullptr;
    case StoreName::Kind::file:
      return is_there(patient, patient.store.path / "format.json");
    case StoreName::Kind::sqlite:
      break;
  }
  return is_there(patient, patient.store.path) ||
         is_there(patient, beside(patient.store.path, "-wal"));
}

void check_locks(LockFile& one, LockFile& other, const Clock& clock, const std::string& about,
                 Findings& findings) {
  // A name that no subject can have: nobody waits for it.
  constexpr std::string_view name = "\nlatchkey doctor";
  const auto held =
      one.acquire(LockKind::lease, name, {.deadline = clock.steady_now() + kLockPatience});
  if (!held && held.error().code == ErrorCode::locked) {
    findings.add(Severity::note, "locks.busy", about,
                 "locks could not be tried: they are in use right now");
    return;
  }
  if (!held) {
    findings.add(held.error(), about);
    return;
  }
  const auto second = other.acquire(LockKind::lease, name, {.deadline = clock.steady_now()});
  if (second) {
    findings.add(Severity::problem, "locks.broken", about,
                 "two holders were given one lock: two programs could renew a session at once and "
                 "lose it; keep the data in a folder on a local disk (--data-dir)");
  } else if (second.error().code == ErrorCode::locked) {
    findings.add(Severity::ok, "locks.work", about, "one lock, one holder");
  } else {
    findings.add(second.error(), about);
  }
}

void check_files(const Patient& patient, Findings& findings) {
  bool fine = true;
  for (const auto& path : own_paths(patient)) fine = check_private(patient, path, findings) && fine;
  for (const auto& folder : own_folders(patient)) {
    fine = check_private(patient, folder, findings) && fine;
    fine = check_folder(patient, folder, findings) && fine;
  }
  for (const auto& folder : shared_folders(patient)) check_shared_folder(patient, folder, findings);
  if (fine) findings.add(Severity::ok, "files.private", "permissions", "all files are yours alone");
  std::vector<Path> places;
  if (patient.store.kind != StoreName::Kind::postgres) places.push_back(patient.where.data);
  if (is_in_files(patient)) places.push_back(patient.store.path);
  for (const auto& place : places) {
    if (const auto local = patient.files->check_local(place); !local)
      findings.add(local.error(), shown(place));
    else
      findings.add(Severity::ok, "location.local", shown(place), "on a local file system");
  }
  check_store_locks(patient, findings);
}

}  // namespace latchkey::cli
