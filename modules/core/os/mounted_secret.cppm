// SPDX-License-Identifier: MIT
module;
#include <cstdint>
#include <filesystem>
export module latchkey.core.os.mounted_secret;

// Secrets that a machine's owner provides as files: mounts of containers and services, where the
// file is root's and the program is not. Who runs the program can't make it 0600.

export namespace latchkey {

/// Whose a file is, and who may do what with it, as lstat(2) says.
struct FileRights {
  std::uint32_t owner = 0;
  std::uint32_t mode = 0;  ///< with the type
};

/// Whether user `us` may use the file as a secret of root's: a regular file that root owns, that
/// nobody else can write, and that root lets at most one group read. False for root itself, whose
/// files are to be private as everybody's.
[[nodiscard]] bool is_mounted_secret(const FileRights& rights, std::uint32_t us) noexcept;
/// The same of a file, which is not followed if it is a link. False if it can't be told.
[[nodiscard]] bool is_mounted_secret(const std::filesystem::path& path) noexcept;

}  // namespace latchkey
