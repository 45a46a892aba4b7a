// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <array>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
module latchkey.atproto.permission;
import latchkey.atproto.identifier;
import latchkey.core.encoding;
import latchkey.core.error;

namespace latchkey {
namespace {

constexpr std::size_t kMaxWord = 16 * 1024;

bool is_word_character(char c, std::string_view marks) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
         marks.find(c) != std::string_view::npos;
}

bool is_made_of(std::string_view text, std::string_view marks) {
  return !text.empty() &&
         std::all_of(text.begin(), text.end(), [&](char c) { return is_word_character(c, marks); });
}

// restricted-name of RFC 6838 §4.2, but for what comes first.
bool is_media_name(std::string_view text) {
  return is_made_of(text, "!#$&-^_.+");
}

bool is_nsid(std::string_view text) {
  return parse_nsid(text).has_value();
}
bool is_nsid_or_any(std::string_view text) {
  return text == "*" || is_nsid(text);
}
bool is_service(std::string_view text) {
  return parse_service(text).has_value();
}
bool is_audience(std::string_view text) {
  return text == "*" || is_service(text);
}
bool is_record_action(std::string_view text) {
  return text == "create" || text == "update" || text == "delete";
}
bool is_media_pattern(std::string_view text) {
  const auto slash = text.find('/');
  if (text == "*/*" || slash == std::string_view::npos) return text == "*/*";
  const auto subtype = text.substr(slash + 1);
  return is_media_name(text.substr(0, slash)) && (subtype == "*" || is_media_name(subtype));
}
bool is_account_part(std::string_view text) {
  return text == "email" || text == "repo";
}
bool is_account_action(std::string_view text) {
  return text == "read" || text == "manage";
}
bool is_identity_part(std::string_view text) {
  return text == "handle" || text == "*";
}

enum class Count { one, at_most_one, at_least_one, any };

struct Parameter {
  std::string_view name;
  Count count = Count::any;
  bool (*is_good)(std::string_view) = nullptr;
};

// The first parameter is the one that may stand after the colon.
struct Rules {
  std::string_view name;
  std::array<Parameter, 2> parameters;  // the second may have no name: there is none
};

// In the order of PermissionResource.
constexpr std::array<Rules, 6> kRules{{
    {"repo",
     {{{"collection", Count::at_least_one, is_nsid_or_any},
       {"action", Count::any, is_record_action}}}},
    {"rpc", {{{"lxm", Count::at_least_one, is_nsid_or_any}, {"aud", Count::one, is_audience}}}},
    {"blob", {{{"accept", Count::at_least_one, is_media_pattern}, {}}}},
    {"account",
     {{{"attr", Count::one, is_account_part}, {"action", Count::at_most_one, is_account_action}}}},
    {"identity", {{{"attr", Count::one, is_identity_part}, {}}}},
    {"include", {{{"nsid", Count::one, is_nsid}, {"aud", Count::at_most_one, is_service}}}},
}};

const Rules& rules_of(PermissionResource resource) {
  return kRules[static_cast<std::size_t>(resource)];
}

Error bad(std::string_view detail, std::string_view word, const std::string& why) {
  return make_error(ErrorCode::invalid_argument, detail,
                    "cannot read the permission \"" + printable(word, 100) + "\": " + why);
}

bool fits(const std::vector<std::string>& values, const Parameter& parameter) {
  const bool may_lack = parameter.count == Count::any || parameter.count == Count::at_most_one;
  const bool may_repeat = parameter.count == Count::any || parameter.count == Count::at_least_one;
  return (may_lack || !values.empty()) && (may_repeat || values.size() <= 1) &&
         std::all_of(values.begin(), values.end(),
                     [&](const std::string& value) { return parameter.is_good(value); });
}

std::vector<std::string>& values_at(PermissionParameters& parameters, std::string_view name) {
  for (auto& [known, values] : parameters) {
    if (known == name) return values;
  }
  return parameters.emplace_back(std::string(name), std::vector<std::string>{}).second;
}

// Of a query, where "+" is a space.
Result<std::string> decoded(std::string_view text) {
  std::string spaced(text);
  std::replace(spaced.begin(), spaced.end(), '+', ' ');
  return percent_decode(spaced);
}

Result<void> read_query(std::string_view query, PermissionParameters& to) {
  while (!query.empty()) {
    const auto end = std::min(query.find('&'), query.size());
    const auto field = query.substr(0, end);
    query.remove_prefix(std::min(end + 1, query.size()));
    if (field.empty()) continue;
    const auto equals = std::min(field.find('='), field.size());
    auto name = decoded(field.substr(0, equals));
    auto value = decoded(field.substr(std::min(equals + 1, field.size())));
    if (!name) return std::move(name).error();
    if (!value) return std::move(value).error();
    values_at(to, *name).push_back(*std::move(value));
  }
  return {};
}

// What a scope's word may hold without encoding, beside the unreserved characters (as the reference
// server writes it).
std::string encoded(std::string_view text, std::string_view kept) {
  std::string out;
  for (const char c : text) {
    out += kept.find(c) != std::string_view::npos ? std::string(1, c)
                                                  : percent_encode(std::string_view(&c, 1));
  }
  return out;
}

}  // namespace

std::string_view to_string(RecordAction action) noexcept {
  switch (action) {
    case RecordAction::create:
      return "create";
    case RecordAction::update:
      return "update";
    case RecordAction::remove:
      break;
  }
  return "delete";
}

Result<Permission> Permission::parse(std::string_view word) {
  const auto mark = std::min(word.find('?'), word.size());
  const auto head = word.substr(0, mark);
  const auto colon = std::min(head.find(':'), head.size());
  const auto* const rules = std::find_if(kRules.begin(), kRules.end(), [&](const Rules& one) {
    return one.name == head.substr(0, colon);
  });
  if (rules == kRules.end() || word.size() > kMaxWord) {
    return bad("permission.resource", word,
               "it names none of repo, rpc, blob, account, identity and include");
  }
  PermissionParameters parameters;
  const auto query = word.substr(std::min(mark + 1, word.size()));
  if (auto read = read_query(query, parameters); !read) {
    return bad("permission.encoding", word, "its percent-encoding is broken");
  }
  if (colon < head.size()) {
    auto value = percent_decode(head.substr(colon + 1));
    if (!value) return bad("permission.encoding", word, "its percent-encoding is broken");
    auto& first = values_at(parameters, rules->parameters.front().name);
    if (!first.empty()) {
      return bad("permission.parameter", word,
                 std::string(rules->parameters.front().name) +
                     " is given after the colon and once more by name");
    }
    first.push_back(*std::move(value));
  }
  return make(static_cast<PermissionResource>(rules - kRules.begin()), std::move(parameters));
}

Result<Permission> Permission::make(PermissionResource resource, PermissionParameters parameters) {
  const Rules& rules = rules_of(resource);
  const auto refuse = [&](const std::string& why) {
    return bad("permission.parameter", rules.name, why);
  };
  PermissionParameters ordered;
  for (const Parameter& parameter : rules.parameters) {
    if (parameter.name.empty()) continue;
    auto& values = values_at(parameters, parameter.name);
    if (!fits(values, parameter)) {
      return refuse(std::string(parameter.name) + " is missing, malformed or repeated");
    }
    if (!values.empty()) ordered.emplace_back(parameter.name, std::move(values));
    std::erase_if(parameters, [&](const auto& one) { return one.first == parameter.name; });
  }
  if (!parameters.empty()) return refuse("it has no " + printable(parameters.front().first, 50));
  Permission made(resource, std::move(ordered));
  if (resource == PermissionResource::rpc && made.names("lxm", "*") && made.names("aud", "*")) {
    return refuse("every method at every service would be everything; name one or the other");
  }
  return made;
}

const std::vector<std::string>& Permission::values(std::string_view name) const noexcept {
  static const std::vector<std::string> none;
  for (const auto& [known, values] : parameters_) {
    if (known == name) return values;
  }
  return none;
}

bool Permission::names(std::string_view parameter, std::string_view value) const noexcept {
  const auto& all = values(parameter);
  return std::any_of(all.begin(), all.end(),
                     [&](const std::string& one) { return one == value || one == "*"; });
}

std::string Permission::text() const {
  const Rules& rules = rules_of(resource_);
  std::string out(rules.name), query;
  for (const auto& [name, values] : parameters_) {
    if (name == rules.parameters.front().name && values.size() == 1) {
      out += ':' + encoded(values.front(), ":/*@,+!$");
      continue;
    }
    for (const std::string& value : values) {
      query += (query.empty() ? '?' : '&') + name + '=' + encoded(value, ":/*@,!$");
    }
  }
  return out + query;
}

Result<std::string> parse_service(std::string_view text) {
  const auto hash = std::min(text.find('#'), text.size());
  const auto service = text.substr(std::min(hash + 1, text.size()));
  if (!is_made_of(service, "-._~") || !parse_did(text.substr(0, hash))) {
    return make_error(ErrorCode::invalid_argument, "service.malformed",
                      "cannot use \"" + printable(text, 100) +
                          "\" as a service: it must be a DID, # and a name, such as "
                          "did:web:api.bsky.app#bsky_appview");
  }
  return std::string(text);
}

std::string_view media_type_of(std::string_view content_type) noexcept {
  auto type = content_type.substr(0, content_type.find(';'));
  while (!type.empty() && type.back() == ' ') type.remove_suffix(1);
  const auto slash = std::min(type.find('/'), type.size());
  const bool good = is_media_name(type.substr(0, slash)) &&
                    is_media_name(type.substr(std::min(slash + 1, type.size())));
  return good ? type : std::string_view{};
}

}  // namespace latchkey
