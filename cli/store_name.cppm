// SPDX-License-Identifier: MIT
module;
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
export module latchkey.cli.store_name;
import latchkey.cli.options;
import latchkey.core.error;
import latchkey.core.secret;

// What --store, --from and --to say. The address of a database may hold a password: it is a secret
// from here on, and no message repeats it.

export namespace latchkey::cli {

struct StoreName {
  enum class Kind { sqlite, file, memory, postgres } kind = Kind::sqlite;
  std::filesystem::path path{};                   ///< absolute; of sqlite and file
  std::shared_ptr<const SecretString> address{};  ///< of postgres: what libpq takes, may be empty

  [[nodiscard]] bool operator==(const StoreName& other) const;
};

/// The store that is used when none is named.
[[nodiscard]] StoreName own_store(const Places& where);
/// `text`: sqlite:PATH, file:FOLDER, memory:, a URI postgresql://... or postgres://..., or
/// postgresql: with libpq's keywords or nothing behind it; empty: own_store. Error:
/// invalid_argument, "cli.store".
[[nodiscard]] Result<StoreName> parse_store_name(const std::string& text, const Places& where);
/// The same of --store.
[[nodiscard]] Result<StoreName> store_name(const Options& options, const Places& where);
/// For people: "sqlite:PATH"; of a database nothing but its kind.
[[nodiscard]] std::string shown(const StoreName& name);

/// Whether both are one file or folder, also by way of links; of databases only whether the
/// addresses are the same.
[[nodiscard]] bool is_same_store(const StoreName& one, const StoreName& other);
/// A name that tells stores apart and stays the same, for MigrationOptions::target: links are
/// followed, and of an address nothing but host, port and database is kept. Error: that of an
/// address that can't be read.
[[nodiscard]] Result<std::string> lasting_name(const StoreName& name);

/// The text with "***" in place of passwords of addresses in it: for what is repeated of a command
/// line.
[[nodiscard]] std::string without_passwords(std::string_view text);

}  // namespace latchkey::cli
