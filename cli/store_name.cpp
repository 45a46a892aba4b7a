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
import latchkey.store.postgres.address;

namespace latchkey::cli {
namespace {

using Kind = StoreName::Kind;

constexpr std::string_view kMask = "***";

StoreName postgres(std::string_view address) {
  return {
      .kind = Kind::postgres, .path = {}, .address = std::make_shared<const SecretString>(address)};
}

// Repeats nothing from the colon on: a mistyped address may have its password anywhere.
Error unknown(const std::string& text) {
  const std::string kind = text.substr(0, text.find_first_of(":=@ \t\r\n"));
  return make_error(ErrorCode::invalid_argument, "cli.store",
                    "cannot use the store " + printable(kind, 200) +
                        (kind.size() < text.size() ? "...: write" : ": write") +
                        " sqlite:PATH, file:FOLDER, memory: or postgresql://HOST/DATABASE");
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

// "postgres:/USER:PASSWORD@", "postgresl:PASSWORD@": words that are no URI, and may have been meant
// as one.
std::string mask_near_authorities(std::string text) {
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find_first_of(" \t\n\"'", begin), text.size());
    const std::size_t at = text.substr(0, end).rfind('@');
    const std::size_t kind = text.find(':', begin);
    if (at == std::string::npos || at < begin || kind > at || text.compare(kind, 3, "://") == 0) {
      begin = end + 1;
      continue;
    }
    const std::size_t user = text.find(':', kind + 1);
    const std::size_t password = (user < at ? user : kind) + 1;
    text.replace(password, at - password, kMask);
    begin = std::min(text.find_first_of(" \t\n\"'", password), text.size()) + 1;
  }
  return text;
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

bool is_same_store(const StoreName& one, const StoreName& other) {
  if (one == other) return true;
  if (one.kind != other.kind || one.path.empty()) return false;
  return is_same_file(one.path, other.path);
}

Result<std::string> lasting_name(const StoreName& name) {
  if (name.kind == Kind::postgres) return postgres_address_name(*name.address);
  std::error_code fault;
  const auto path = std::filesystem::weakly_canonical(name.path, fault);
  return (name.kind == Kind::file ? "file:" : "sqlite:") + (fault ? name.path : path).string();
}

std::string without_passwords(std::string_view text) {
  return mask_keywords(mask_near_authorities(mask_authorities(std::string(text))));
}

}  // namespace latchkey::cli
