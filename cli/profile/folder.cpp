// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
module latchkey.cli.profile.folder;
import latchkey.cli.profile;
import latchkey.cli.profile.json;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.os.files;
import latchkey.core.secret;
import latchkey.store.record;

namespace latchkey::cli {
namespace {

constexpr std::size_t kMaxFile = 64 * 1024;
constexpr std::string_view kSuffix = ".json";

Error in_file(Error error, const std::filesystem::path& path) {
  error.message += " (" + printable(path.native(), 300) + ")";
  return error;
}

}  // namespace

std::filesystem::path ProfileFolder::file(std::string_view name) const {
  return folder() / (std::string(name) + std::string(kSuffix));
}

Result<std::optional<std::string>> ProfileFolder::read(const std::filesystem::path& path) const {
  if (auto checked = files_->check_private(path); !checked) return std::move(checked).error();
  auto bytes = files_->read(path, kMaxFile);
  if (!bytes) return std::move(bytes).error();
  if (!*bytes) return std::optional<std::string>();
  return std::optional<std::string>(as_text((*bytes)->expose()));
}

Result<void> ProfileFolder::write(const std::filesystem::path& path, std::string_view text) const {
  if (auto made = files_->make_folder(path.parent_path()); !made) return made;
  return replace_file(files_, path, as_bytes(text));
}

Result<void> ProfileFolder::erase(const std::filesystem::path& path) const {
  const auto there = files_->modified_at(path);
  if (!there) return there.error();
  if (!*there) return {};
  if (auto removed = files_->remove(path); !removed) return removed;
  return files_->sync_folder(path.parent_path());
}

Result<std::optional<Profile>> ProfileFolder::load(std::string_view name) const {
  if (auto checked = check_profile_name(name); !checked) return std::move(checked).error();
  const auto path = file(name);
  const auto text = read(path);
  if (!text) return text.error();
  if (!*text) return std::optional<Profile>();
  auto profile = parse_profile(**text, ErrorCode::corrupt);
  if (!profile) return in_file(std::move(profile).error(), path);
  if (auto checked = check_profile(*profile); !checked)
    return in_file(std::move(checked).error(), path);
  return std::optional<Profile>(*std::move(profile));
}

Result<void> ProfileFolder::save(std::string_view name, const Profile& profile) const {
  if (auto checked = check_profile_name(name); !checked) return checked;
  if (auto checked = check_profile(profile); !checked) return checked;
  return write(file(name), profile_json(profile));
}

Result<void> ProfileFolder::remove(std::string_view name) const {
  if (auto checked = check_profile_name(name); !checked) return checked;
  return erase(file(name));
}

Result<std::vector<ListedProfile>> ProfileFolder::list() const {
  const auto entries = files_->list(folder());
  if (!entries) return entries.error();
  std::vector<ListedProfile> profiles;
  for (const FolderEntry& entry : *entries) {
    if (!entry.name.ends_with(kSuffix)) continue;
    ListedProfile listed{.name = entry.name.substr(0, entry.name.size() - kSuffix.size()),
                         .profile = {},
                         .error = {}};
    if (!check_profile_name(listed.name)) continue;
    auto profile = load(listed.name);
    if (!profile) {
      listed.error = std::move(profile).error();
    } else if (*profile) {
      listed.profile = **std::move(profile);
    } else {
      continue;  // removed meanwhile
    }
    profiles.push_back(std::move(listed));
  }
  std::sort(profiles.begin(), profiles.end(),
            [](const auto& a, const auto& b) { return a.name < b.name; });
  return profiles;
}

Result<std::optional<std::string>> ProfileFolder::current() const {
  auto text = read(current_file());
  if (!text || !*text) return text;
  std::string& account = **text;
  if (account.ends_with('\n')) account.pop_back();
  if (check_subject(account)) return text;
  return make_error(ErrorCode::corrupt, "current.malformed",
                    "cannot tell the default account: " + printable(current_file().native(), 300) +
                        " does not hold one; choose one with latchkey use NAME");
}

Result<void> ProfileFolder::set_current(std::string_view account) const {
  if (auto checked = check_subject(account); !checked) return checked;
  return write(current_file(), std::string(account) + "\n");
}

Result<void> ProfileFolder::clear_current() const {
  return erase(current_file());
}

}  // namespace latchkey::cli
