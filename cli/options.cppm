// SPDX-License-Identifier: MIT
module;
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
export module latchkey.cli.options;
import latchkey.core.error;
import latchkey.core.url;
import latchkey.http.trace;

// What every command of the tool is told: global options, from the command line first, then from
// the environment.

export namespace latchkey::cli {

enum class Format { text, json };

struct Options {
  std::string data_dir;    ///< empty: XDG folders
  std::string store;       ///< what latchkey.cli.store_name takes; empty: sqlite in the data folder
  std::string account;     ///< a handle or DID
  std::string profile;     ///< a profile's name; not both
  std::string master_key;  ///< "auto" or empty, or what latchkey.cli.vault_key takes
  std::string master_key_file;  ///< where a key file lies; empty: in the configuration folder
  std::string plc_url = "https://plc.directory";
  std::string resolve_handles_at;
  bool allow_http_for_loopback = false;
  std::string trace{};               ///< the file that events are appended to; empty: none
  std::shared_ptr<Tracer> tracer{};  ///< that does it
  Format format = Format::text;
  std::stop_token stop;  ///< requested by SIGINT, SIGTERM and SIGHUP
};

/// LATCHKEY_DATA_DIR, LATCHKEY_STORE, LATCHKEY_ACCOUNT, LATCHKEY_PROFILE, LATCHKEY_MASTER_KEY,
/// LATCHKEY_MASTER_KEY_FILE, LATCHKEY_PLC_URL, LATCHKEY_RESOLVE_HANDLES_AT, LATCHKEY_TRACE and
/// LATCHKEY_ALLOW_HTTP_FOR_LOOPBACK (1, true, yes) as defaults.
[[nodiscard]] Options options_from_environment();

/// What --master-key begins with when it names a key file.
inline constexpr std::string_view kKeyFileAt = "key-file:";

/// Where things are kept.
struct Places {
  std::filesystem::path data;    ///< sessions
  std::filesystem::path vault;   ///< DPoP keys, sealed
  std::filesystem::path config;  ///< profiles, and the vault's master key
  std::filesystem::path key;     ///< that key, if it is a file: not beside the vault
};
/// XDG_DATA_HOME/latchkey and XDG_CONFIG_HOME/latchkey, or below --data-dir; the key file is
/// elsewhere if --master-key key-file:PATH or LATCHKEY_MASTER_KEY_FILE says so. Errors:
/// invalid_argument, "cli.no_home" when there is neither, "cli.data_dir", "cli.master_key" for a
/// path that is none.
[[nodiscard]] Result<Places> places(const Options& options);

/// Whether both paths lead to one file or folder, by whatever links, be it there or not.
[[nodiscard]] bool is_same_file(const std::filesystem::path& one,
                                const std::filesystem::path& other);

/// Looks up a variable of the environment; empty if it is not set, or is empty.
using Variables = std::function<std::optional<std::string>(const std::string& name)>;

/// https, and with --allow-http-for-loopback http to this machine.
[[nodiscard]] HttpRule http_rule_of(const Options& options) noexcept;

}  // namespace latchkey::cli
