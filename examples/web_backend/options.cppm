// SPDX-License-Identifier: MIT
module;
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
export module latchkey.examples.web_backend.options;
import latchkey.core;

// The command line.

export namespace web_backend {

inline constexpr std::string_view kUsage =
    "usage: web_backend DIR PORT [OPTION...]\n"
    "  DIR                     what is kept on this machine\n"
    "  PORT                    where it listens, at 127.0.0.1; 0: any free one\n"
    "  --store ADDRESS         keeps sessions, keys and visitors in PostgreSQL, for many "
    "processes;\n"
    "                          postgresql://... or service=..., without a password: others may\n"
    "                          read this line, so that belongs into .pgpass or the service file\n"
    "  --master-key-file FILE  the key to the vault (DIR/config/vault.key)\n"
    "  --origin URL            how browsers name the site, when a proxy stands before it\n"
    "  --client-metadata FILE  in production, at https: the document of a confidential client\n"
    "  --client-keys FILE      and its keys\n";

struct Options {
  std::filesystem::path folder;
  std::uint16_t port = 0;
  std::optional<latchkey::SecretString> store{};  ///< empty: files in the folder
  std::filesystem::path master_key_file{};
  std::string origin{};  ///< empty: where it listens
  /// Both, at an https origin; else none.
  std::filesystem::path client_document{};
  std::filesystem::path client_keys{};
};

/// `words`: without the program's name. Empty if they are anything but what kUsage says.
[[nodiscard]] std::optional<Options> parse_options(std::span<char* const> words);

}  // namespace web_backend
