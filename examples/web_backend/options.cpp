// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <array>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
module latchkey.examples.web_backend.options;
import latchkey.core;

namespace web_backend {
namespace {

constexpr std::array<std::string_view, 5> kNames{"--store", "--master-key-file", "--origin",
                                                 "--client-metadata", "--client-keys"};

using Given = std::map<std::string_view, std::string_view>;

// Names and values by turns; each name once.
std::optional<Given> read_given(std::span<char* const> words) {
  Given given;
  for (std::size_t i = 0; i < words.size(); i += 2) {
    const std::string_view name = words[i];
    if (std::find(kNames.begin(), kNames.end(), name) == kNames.end()) return std::nullopt;
    if (i + 1 == words.size() || !given.emplace(name, words[i + 1]).second) return std::nullopt;
  }
  return given;
}

std::string_view value_of(const Given& given, std::string_view name) {
  const auto found = given.find(name);
  return found == given.end() ? std::string_view() : found->second;
}

std::optional<std::uint16_t> port_of(std::string_view text) {
  std::uint16_t port = 0;
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), port);
  if (failed != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return port;
}

}  // namespace

std::optional<Options> parse_options(std::span<char* const> words) {
  if (words.size() < 2) return std::nullopt;
  const auto port = port_of(words[1]);
  const auto given = read_given(words.subspan(2));
  if (!port || !given) return std::nullopt;
  Options options{.folder = std::filesystem::absolute(words[0]), .port = *port};
  if (given->contains("--store")) {
    options.store = latchkey::SecretString(value_of(*given, "--store"));
  }
  options.master_key_file = given->contains("--master-key-file")
                                ? std::filesystem::path(value_of(*given, "--master-key-file"))
                                : options.folder / "config" / "vault.key";
  options.origin = value_of(*given, "--origin");
  options.client_document = value_of(*given, "--client-metadata");
  options.client_keys = value_of(*given, "--client-keys");
  // A client of its own belongs to a name of its own.
  const bool is_hosted = options.origin.starts_with("https:");
  if (options.client_document.empty() == is_hosted || options.client_keys.empty() == is_hosted) {
    return std::nullopt;
  }
  return options;
}

}  // namespace web_backend
