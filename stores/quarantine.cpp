// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <tuple>
#include <utility>
#include <vector>
module latchkey.store.quarantine;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.os.files;
import latchkey.core.secret;
import latchkey.core.time;

namespace latchkey {
namespace {

// A file name has 255 bytes at most; a time and a detail take less than the rest.
constexpr std::size_t kMaxKeptName = 150;

std::string file_name_of(const Quarantined& entry) {
  const auto time = std::max<std::int64_t>(0, entry.at.time_since_epoch().count());
  return std::to_string(time) + '-' + entry.why + '-' + entry.name;
}

// Details have no hyphen.
std::optional<Quarantined> parse_file_name(std::string_view text) {
  const auto first = text.find('-');
  const auto second = text.find('-', first + 1);
  if (first == std::string_view::npos || second == std::string_view::npos) return std::nullopt;
  std::int64_t time = 0;
  const auto [end, fault] = std::from_chars(text.data(), text.data() + first, time);
  if (fault != std::errc() || end != text.data() + first || time < 0) return std::nullopt;
  return Quarantined{.name = std::string(text.substr(second + 1)),
                     .at = TimePoint(Duration(time)),
                     .why = std::string(text.substr(first + 1, second - first - 1)),
                     .where = {}};
}

}  // namespace

QuarantineFolder::QuarantineFolder(std::shared_ptr<FileSystem> files, std::shared_ptr<Clock> clock,
                                   std::filesystem::path folder)
    : files_(std::move(files)), clock_(std::move(clock)), folder_(std::move(folder)) {}

// Nothing that lies there is ever replaced.
Result<std::filesystem::path> QuarantineFolder::free_place(Quarantined& entry) const {
  for (;; entry.at += Duration(1)) {
    auto place = folder_ / file_name_of(entry);
    const auto taken = files_->modified_at(place);
    if (!taken) return taken.error();
    if (!*taken) return place;
  }
}

Result<Quarantined> QuarantineFolder::take(const std::filesystem::path& file,
                                           std::string_view why) const {
  const auto bytes = files_->read(file, kMaxQuarantinedFile);
  if (!bytes) return bytes.error();
  if (!*bytes) {
    return make_error(ErrorCode::io, "io.failed",
                      "cannot move " + printable(file.native(), 300) +
                          " aside: it is not there any more; look again");
  }
  if (auto made = files_->make_folder(folder_); !made) return std::move(made).error();
  if (auto checked = files_->check_private(folder_); !checked) return std::move(checked).error();
  Quarantined entry{.name = file.filename().native().substr(0, kMaxKeptName),
                    .at = clock_->now(),
                    .why = std::string(why),
                    .where = {}};
  const auto place = free_place(entry);
  if (!place) return place.error();
  if (auto copied = replace_file(files_, *place, (*bytes)->expose()); !copied)
    return std::move(copied).error();
  if (auto removed = files_->remove(file); !removed) return std::move(removed).error();
  if (auto durable = files_->sync_folder(file.parent_path()); !durable)
    return std::move(durable).error();
  entry.where = place->native();
  return entry;
}

Result<std::vector<Quarantined>> QuarantineFolder::list() const {
  const auto files = files_->list(folder_);
  if (!files) return files.error();
  std::vector<Quarantined> entries;
  for (const auto& file : *files) {
    auto entry = parse_file_name(file.name);
    if (!entry) continue;
    entry->where = (folder_ / file.name).native();
    entries.push_back(std::move(*entry));
  }
  std::sort(entries.begin(), entries.end(), [](const Quarantined& a, const Quarantined& b) {
    return std::tie(a.at, a.name) < std::tie(b.at, b.name);
  });
  return entries;
}

}  // namespace latchkey
