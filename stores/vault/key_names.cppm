// SPDX-License-Identifier: MIT
module;
#include <optional>
#include <string>
#include <string_view>
export module latchkey.store.vault.key_names;

// How the files of a vault's keys are called.

export namespace latchkey {

/// The name of a key's file. Lower-case base32 of the id, since some file systems do not tell cases
/// apart.
[[nodiscard]] std::string key_file_name(std::string_view id);
/// The id, or empty if this is not the name of a key's file.
[[nodiscard]] std::optional<std::string> id_of_key_file(std::string_view name);

}  // namespace latchkey
