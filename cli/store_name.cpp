// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <cctype>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>
module latchkey.cli.store_name;
import latchkey.cli.options;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.secret;

namespace latchkey::cli {
namespace {

using Kind = StoreName::Kind;

constexpr std::string_view kMask = "***";

StoreName postgres(std::string_view address) {
  return {
      .kind = Kind::postgres, .path = {}, .address = std::make_shared<const SecretString>(address)};
}

Error unknown(const std::string& text) {
  return make_error(ErrorCode::invalid_argument, "cli.store",
                    "cannot use the store " + printable(without_passwords(text), 200) +
                        ": write sqlite:PATH, file:FOLDER, memory: or postgresql://HOST/DATABASE");
}

// Where the password of "//USER:PASSWORD@" begins and ends, `begin` being behind the slashes. Both
// are the same if there is none. A password with an unescaped slash in it is one too.
struct Span {
  std::size_t begin, end;
};
Span password_in_authority(std::string_view text, std::size_t begin) {
  const std::size_t blank = std::min(text.find_first_of(" \t\n\"'", begin), text.size());
  const std::size_t at = text.substr(0, blank).rfind('@');
  const std::size_t colon = text.find(':', begin);
  if (at == std::string_view::npos || at < begin || colon == std::string_view::npos || colon > at)
    return {begin, begin};
  return {colon + 1, at};
}

std::string mask_authorities(std::string text) {
  for (std::size_t from = 0; (from = text.find("://", from)) != std::string::npos;) {
    from += 3;
    const auto [begin, end] = password_in_authority(text, from);
    if (begin == end) continue;
    text.replace(begin, end - begin, kMask);
    from = begin + kMask.size();
  }
  return text;
}

// Of a quoted value the last quote of all ends it: too much is masked rather than too little.
std::size_t end_of_value(std::string_view text, std::size_t begin) {
  if (begin == text.size() || text[begin] != '\'')
    return std::min(text.find_first_of(" &", begin), text.size());
  const std::size_t last = text.rfind('\'');
  return last == begin ? text.size() : last + 1;
}

// "password=x", "password = 'a b'", as a keyword and in the query of a URI.
std::string mask_keywords(std::string text) {
  std::string lower(text);
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  std::string out;
  std::size_t from = 0;
  for (std::size_t at = 0; (at = lower.find("password", at)) != std::string::npos;) {
    at += std::string_view("password").size();
    const std::size_t equals = lower.find_first_not_of(' ', at);
    if (equals == std::string::npos || lower[equals] != '=') continue;
    const std::size_t value = std::min(lower.find_first_not_of(' ', equals + 1), lower.size());
    out += text.substr(from, value - from) + std::string(kMask);
    from = at = end_of_value(lower, value);
  }
  return out + text.substr(from);
}

}  // namespace

bool StoreName::operator==(const StoreName& other) const {
  if (kind != other.kind || path != other.path) return false;
  return kind != Kind::postgres || *address == *other.address;
}

StoreName own_store(const Places& where) {
  return {.kind = Kind::sqlite, .path = where.data / "sessions.db"};
}

Result<StoreName> parse_store_name(const std::string& text, const Places& where) {
  if (text.empty()) return own_store(where);
  const auto colon = text.find(':');
  if (colon == std::string::npos) return unknown(text);
  const std::string kind = text.substr(0, colon), rest = text.substr(colon + 1);
  const bool is_uri = rest.starts_with("//");
  if (kind == "postgresql") return postgres(is_uri ? text : rest);
  if (kind == "postgres" && is_uri) return postgres(text);
  if (text == "memory:") return StoreName{.kind = Kind::memory};
  std::error_code fault;
  const auto path = std::filesystem::absolute(rest, fault);
  if (rest.empty() || fault) return unknown(text);
  if (kind == "sqlite") return StoreName{.kind = Kind::sqlite, .path = path};
  if (kind == "file") return StoreName{.kind = Kind::file, .path = path};
  return unknown(text);
}

Result<StoreName> store_name(const Options& options, const Places& where) {
  return parse_store_name(options.store, where);
}

std::string shown(const StoreName& name) {
  switch (name.kind) {
    case Kind::postgres:
      return "postgresql";
    case Kind::memory:
      return "memory";
    case Kind::file:
      return "file:" + printable(name.path.native(), 300);
    case Kind::sqlite:
      break;
  }
  return "sqlite:" + printable(name.path.native(), 300);
}

std::string without_passwords(std::string_view text) {
  return mask_keywords(mask_authorities(std::string(text)));
}

}  // namespace latchkey::cli
