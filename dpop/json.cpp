// SPDX-License-Identifier: MIT
module;
#include <sodium.h>
#include <cstddef>
#include <exception>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
module latchkey.dpop.json;
import latchkey.core.secret;

namespace latchkey {
namespace {

// Called by the parser for each piece of the text, so that no document is built and secret strings
// can be wiped where the parser keeps them. Returning false stops it.
class Reader {
 public:
  using Json = nlohmann::json;

  explicit Reader(std::vector<JsonMember>& members) : members_(members) {}

  bool null() { return at_value(); }
  bool boolean(bool) { return at_value(); }
  bool number_integer(Json::number_integer_t) { return at_value(); }
  bool number_unsigned(Json::number_unsigned_t) { return at_value(); }
  bool number_float(Json::number_float_t, const Json::string_t&) { return at_value(); }
  bool binary(Json::binary_t&) { return false; }

  bool string(Json::string_t& value) {
    if (names_.size() == 1 && arrays_ == 0) members_.back().text = SecretString(value);
    sodium_memzero(value.data(), value.size());
    return at_value();
  }

  bool start_object(std::size_t) {
    names_.emplace_back();
    return true;
  }

  bool key(Json::string_t& name) {
    if (!names_.back().insert(name).second) return false;
    if (names_.size() == 1) members_.push_back(JsonMember{.name = name, .text = std::nullopt});
    return true;
  }

  bool end_object() {
    names_.pop_back();
    return true;
  }

  bool start_array(std::size_t) {
    ++arrays_;
    return at_value();
  }

  bool end_array() {
    --arrays_;
    return true;
  }

  bool parse_error(std::size_t, const std::string&, const Json::exception&) { return false; }

 private:
  // Outside of any object there is no value but the object itself.
  [[nodiscard]] bool at_value() const { return !names_.empty(); }

  std::vector<JsonMember>& members_;
  std::vector<std::set<std::string>> names_;  // of the objects that are open
  std::size_t arrays_ = 0;
};

}  // namespace

std::optional<JsonMembers> JsonMembers::parse(std::string_view text) {
  JsonMembers parsed;
  try {
    Reader reader(parsed.members_);
    if (!nlohmann::json::sax_parse(text.begin(), text.end(), &reader)) return std::nullopt;
  } catch (const std::exception&) {
    return std::nullopt;
  }
  return parsed;
}

const JsonMember* JsonMembers::find(std::string_view name) const noexcept {
  for (const auto& member : members_) {
    if (member.name == name) return &member;
  }
  return nullptr;
}

std::optional<std::string_view> JsonMembers::text(std::string_view name) const noexcept {
  const auto* member = find(name);
  if (member == nullptr || !member->text) return std::nullopt;
  return member->text->expose();
}

}  // namespace latchkey
