// SPDX-License-Identifier: MIT
module;
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
export module latchkey.cli.profile.folder;
import latchkey.cli.profile;
import latchkey.core.error;
import latchkey.core.os.files;

// Where profiles are kept: one JSON file each, profiles/NAME.json in the configuration folder, and
// beside that folder the file `current` with the account that commands are for by default.

export namespace latchkey::cli {

/// A file in the folder: its profile, or what is wrong with it.
struct ListedProfile {
  std::string name;
  std::optional<Profile> profile;
  std::optional<Error> error;
};

/// Every change is durable when it returns. Nothing is made before the first one. Errors of all:
/// io, insecure_location (others may read or write the file: they could send the token elsewhere).
class ProfileFolder {
 public:
  explicit ProfileFolder(std::filesystem::path config,
                         std::shared_ptr<FileSystem> files = posix_file_system())
      : config_(std::move(config)), files_(std::move(files)) {}

  /// Empty if there is no such file. Errors: those of check_profile_name, and of parse_profile with
  /// corrupt; corrupt, "file.too_large".
  [[nodiscard]] Result<std::optional<Profile>> load(std::string_view name) const;
  /// Errors besides: those of check_profile_name and check_profile.
  [[nodiscard]] Result<void> save(std::string_view name, const Profile& profile) const;
  /// Fine if there is none.
  [[nodiscard]] Result<void> remove(std::string_view name) const;
  /// By name. Files whose names no profile can have are left out.
  [[nodiscard]] Result<std::vector<ListedProfile>> list() const;

  /// What `latchkey use` chose: a profile's name or a DID; empty if nothing was. Error: corrupt,
  /// "current.malformed".
  [[nodiscard]] Result<std::optional<std::string>> current() const;
  [[nodiscard]] Result<void> set_current(std::string_view account) const;
  [[nodiscard]] Result<void> clear_current() const;

  [[nodiscard]] std::filesystem::path folder() const { return config_ / "profiles"; }
  [[nodiscard]] std::filesystem::path file(std::string_view name) const;
  [[nodiscard]] std::filesystem::path current_file() const { return config_ / "current"; }

 private:
  [[nodiscard]] Result<std::optional<std::string>> read(const std::filesystem::path& path) const;
  [[nodiscard]] Result<void> write(const std::filesystem::path& path, std::string_view text) const;
  [[nodiscard]] Result<void> erase(const std::filesystem::path& path) const;

  std::filesystem::path config_;
  std::shared_ptr<FileSystem> files_;
};

}  // namespace latchkey::cli
