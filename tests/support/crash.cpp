// SPDX-License-Identifier: MIT
module;
#include <sys/stat.h>
#include <algorithm>
#include <array>
#include <cstddef>
#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
module latchkey.test.disk;
import latchkey.test.folder;

namespace latchkey::test {
namespace {

using Kind = DiskChange::Kind;
using Tree = std::map<std::string, std::optional<std::string>>;

// What may become of data that was not synced.
enum class Loss { lost, half, zeros, kept };
constexpr std::array kLosses{Loss::lost, Loss::half, Loss::zeros, Loss::kept};

std::string_view to_string(Loss loss) {
  switch (loss) {
    case Loss::lost:
      return "lost";
    case Loss::half:
      return "cut in half";
    case Loss::zeros:
      return "zeros";
    case Loss::kept:
      return "kept";
  }
  return {};
}

struct File {
  std::string durable;
  std::string current;
  std::size_t allocated = 0;
};

std::string contents_after(const File& file, Loss loss) {
  const auto unsynced = file.current.size() - file.durable.size();
  switch (loss) {
    case Loss::lost:
      return file.durable;
    case Loss::half:
      return file.current.substr(0, file.durable.size() + unsynced / 2);
    case Loss::zeros: {
      auto contents = file.durable;
      contents.resize(std::max(file.current.size(), file.allocated), '\0');
      return contents;
    }
    case Loss::kept: {
      auto contents = file.current;
      contents.resize(std::max(file.current.size(), file.allocated), '\0');
      return contents;
    }
  }
  return {};
}

std::string folder_of(const std::string& path) {
  const auto slash = path.rfind('/');
  return slash == std::string::npos ? std::string() : path.substr(0, slash);
}

// A change of a folder: `erased` is no longer a name, `added` names a file (or a folder, if none).
struct EntryChange {
  std::string folder;
  std::optional<std::string> erased;
  std::optional<std::string> added;
  std::optional<std::size_t> file;
};

class Disk {
 public:
  explicit Disk(const Tree& initial) {
    for (const auto& [path, contents] : initial) {
      durable_[path] = contents ? std::optional(old_file(*contents)) : std::nullopt;
    }
    current_ = durable_;
  }

  void apply(const DiskChange& change);
  [[nodiscard]] std::set<Tree> after_power_cut(Loss loss) const;

 private:
  using Entries = std::map<std::string, std::optional<std::size_t>>;  // no file: a folder

  // Created files are numbered from 0, those that were there before from the other end.
  std::size_t old_file(const std::string& contents) {
    const auto number = static_cast<std::size_t>(-1) - files_.size();
    files_[number] = {.durable = contents, .current = contents};
    return number;
  }
  static void enter(Entries& entries, const EntryChange& change) {
    if (change.erased) entries.erase(*change.erased);
    if (change.added) entries[*change.added] = change.file;
  }
  void change_entry(EntryChange change) {
    enter(current_, change);
    pending_.push_back(std::move(change));
  }
  void sync_folder(const std::string& folder) {
    std::vector<EntryChange> others;
    for (auto& change : pending_) {
      if (change.folder == folder) {
        enter(durable_, change);
      } else {
        others.push_back(std::move(change));
      }
    }
    pending_ = std::move(others);
  }
  [[nodiscard]] Tree tree(const Entries& entries, Loss loss) const;

  std::map<std::size_t, File> files_;
  Entries durable_, current_;
  std::vector<EntryChange> pending_;
};

void Disk::apply(const DiskChange& change) {
  const auto folder = folder_of(change.path);
  switch (change.kind) {
    case Kind::create:
      files_[change.file] = {};
      return change_entry({folder, std::nullopt, change.path, change.file});
    case Kind::allocate:
      files_[change.file].allocated = change.size;
      return;
    case Kind::write:
      files_[change.file].current += change.bytes;
      return;
    case Kind::sync_file:
      files_[change.file].durable = files_[change.file].current;
      files_[change.file].allocated = 0;
      return;
    case Kind::rename:
      return change_entry({folder, change.path, change.to, current_.at(change.path)});
    case Kind::remove:
      if (!current_.contains(change.path)) return;
      return change_entry({folder, change.path, std::nullopt, std::nullopt});
    case Kind::sync_folder:
      return sync_folder(change.path);
    case Kind::make_folder:
      change_entry({folder, std::nullopt, change.path, std::nullopt});
      return sync_folder(folder);
  }
}

Tree Disk::tree(const Entries& entries, Loss loss) const {
  Tree tree;
  for (const auto& [path, file] : entries) {
    const auto folder = folder_of(path);
    if (!folder.empty() && !entries.contains(folder)) continue;  // in a folder that was lost
    tree[path] = file ? std::optional(contents_after(files_.at(*file), loss)) : std::nullopt;
  }
  return tree;
}

// Every selection of the pending changes, in order; with very many of them, every beginning of the
// list.
std::set<Tree> Disk::after_power_cut(Loss loss) const {
  constexpr std::size_t most_selected = 6;
  std::set<Tree> trees;
  const bool selections = pending_.size() <= most_selected;
  const std::size_t count = selections ? std::size_t{1} << pending_.size() : pending_.size() + 1;
  for (std::size_t choice = 0; choice < count; ++choice) {
    auto entries = durable_;
    for (std::size_t i = 0; i < pending_.size(); ++i) {
      if (selections ? (choice >> i & 1) != 0 : i < choice) enter(entries, pending_[i]);
    }
    trees.insert(tree(entries, loss));
  }
  return trees;
}

}  // namespace

std::vector<CrashState> simulate_crashes(
    const std::map<std::string, std::optional<std::string>>& initial,
    const std::vector<DiskChange>& changes) {
  std::vector<CrashState> states;
  Disk disk(initial);
  for (std::size_t done = 0; done <= changes.size(); ++done) {
    if (done != 0) disk.apply(changes[done - 1]);
    const auto last = done == 0 ? std::string("nothing") : to_string(changes[done - 1]);
    std::set<Tree> seen;
    for (const auto loss : kLosses) {
      for (const auto& tree : disk.after_power_cut(loss)) {
        if (!seen.insert(tree).second) continue;
        states.push_back(
            {done, "after: " + last + "; unsynced data: " + std::string(to_string(loss)), tree});
      }
    }
  }
  return states;
}

TemporaryFolder CrashState::materialise() const {
  TemporaryFolder folder;
  for (const auto& [name, contents] : tree) {  // in this order a folder comes before what it holds
    const auto path = folder.path() / name;
    if (contents) {
      write_text(path, *contents);
    } else {
      mkdir(path.c_str(), 0700);
    }
  }
  return folder;
}

}  // namespace latchkey::test
