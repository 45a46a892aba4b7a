// SPDX-License-Identifier: MIT
module;
#include <filesystem>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
module latchkey.cli.options;
import latchkey.core.error;
import latchkey.core.os.process;
import latchkey.core.url;

namespace latchkey::cli {
namespace {

// XDG says: relative values are not valid and are ignored.
std::optional<std::filesystem::path> xdg_folder(const char* variable, const char* below_home) {
  if (const auto value = environment_variable(variable)) {
    if (std::filesystem::path path(*value); path.is_absolute()) return path / "latchkey";
  }
  if (const auto home = environment_variable("HOME")) {
    if (std::filesystem::path path(*home); path.is_absolute())
      return path / below_home / "latchkey";
  }
  return std::nullopt;
}

// What is said at the command line counts more than the environment.
std::string key_file_named(const Options& options) {
  if (options.master_key.starts_with(kKeyFileAt))
    return options.master_key.substr(kKeyFileAt.size());
  return options.master_key_file;
}

Result<Places> folders(const Options& options) {
  if (!options.data_dir.empty()) {
    std::error_code fault;
    const auto folder = std::filesystem::absolute(options.data_dir, fault);
    if (fault) {
      return make_error(ErrorCode::invalid_argument, "cli.data_dir",
                        "cannot use the data folder " + options.data_dir + ": " + fault.message());
    }
    return Places{.data = folder / "data",
                  .vault = folder / "data" / "vault",
                  .config = folder / "config",
                  .key = folder / "config" / "vault.key"};
  }
  const auto data = xdg_folder("XDG_DATA_HOME", ".local/share");
  const auto config = xdg_folder("XDG_CONFIG_HOME", ".config");
  if (!data || !config) {
    return make_error(ErrorCode::invalid_argument, "cli.no_home",
                      "cannot tell where to keep sessions: neither HOME nor the XDG folders are "
                      "set; use --data-dir");
  }
  return Places{
      .data = *data, .vault = *data / "vault", .config = *config, .key = *config / "vault.key"};
}

}  // namespace

Options options_from_environment() {
  Options options;
  const auto take = [](std::string& target, const char* variable) {
    if (auto value = environment_variable(variable)) target = *std::move(value);
  };
  take(options.data_dir, "LATCHKEY_DATA_DIR");
  take(options.store, "LATCHKEY_STORE");
  take(options.account, "LATCHKEY_ACCOUNT");
  take(options.profile, "LATCHKEY_PROFILE");
  take(options.master_key, "LATCHKEY_MASTER_KEY");
  take(options.master_key_file, "LATCHKEY_MASTER_KEY_FILE");
  take(options.plc_url, "LATCHKEY_PLC_URL");
  take(options.resolve_handles_at, "LATCHKEY_RESOLVE_HANDLES_AT");
  take(options.trace, "LATCHKEY_TRACE");
  const auto http = environment_variable("LATCHKEY_ALLOW_HTTP_FOR_LOOPBACK").value_or("");
  options.allow_http_for_loopback = http == "1" || http == "true" || http == "yes";
  return options;
}

Result<Places> places(const Options& options) {
  auto where = folders(options);
  if (!where) return where;
  if (const std::string named = key_file_named(options);
      !named.empty() || options.master_key == kKeyFileAt) {
    std::error_code fault;
    where->key = std::filesystem::absolute(named, fault);
    if (named.empty() || fault) {
      return make_error(ErrorCode::invalid_argument, "cli.master_key",
                        "cannot use a key file without a path: write key-file:PATH");
    }
  }
  return where;
}

bool is_same_file(const std::filesystem::path& one, const std::filesystem::path& other) {
  std::error_code fault;
  if (std::filesystem::equivalent(one, other, fault)) return true;
  const auto a = std::filesystem::weakly_canonical(one, fault);
  if (fault) return one.lexically_normal() == other.lexically_normal();
  const auto b = std::filesystem::weakly_canonical(other, fault);
  return !fault && a == b;
}

HttpRule http_rule_of(const Options& options) noexcept {
  return options.allow_http_for_loopback ? HttpRule::allow_http_for_loopback : HttpRule::https_only;
}

}  // namespace latchkey::cli
