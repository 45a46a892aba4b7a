// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
module latchkey.sandbox.permission_scope;
import latchkey.atproto.identifier;
import latchkey.core.encoding;
import latchkey.core.error;

namespace latchkey::sandbox {
namespace {

bool is_nsid(std::string_view text) {
  return parse_nsid(text).has_value();
}

bool is_nsid_or_any(std::string_view text) {
  return text == "*" || is_nsid(text);
}

// A DID with the service in it that is called.
bool is_service(std::string_view text) {
  const auto hash = text.find('#');
  return hash != std::string_view::npos && hash + 1 < text.size() &&
         text.find('#', hash + 1) == std::string_view::npos &&
         parse_did(text.substr(0, hash)).has_value();
}

bool is_audience(std::string_view text) {
  return text == "*" || is_service(text);
}

bool is_write(std::string_view text) {
  return text == "create" || text == "update" || text == "delete";
}

// type/subtype, where the latter or both may be any.
bool is_mime_pattern(std::string_view text) {
  const auto slash = text.find('/');
  if (slash == std::string_view::npos) return false;
  const auto is_word = [](std::string_view word) {
    return !word.empty() && std::all_of(word.begin(), word.end(), [](char c) {
      return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
             std::string_view("!#$&-^_.+").find(c) != std::string_view::npos;
    });
  };
  const auto type = text.substr(0, slash), subtype = text.substr(slash + 1);
  return type == "*" ? subtype == "*" : is_word(type) && (subtype == "*" || is_word(subtype));
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

struct Parameter {
  std::string_view name;
  bool (*is_good)(std::string_view);
  bool required;
  bool repeatable;
};

/// The first parameter is the one that may stand before the query.
struct Resource {
  std::string_view name;
  std::array<Parameter, 2> parameters;
};

constexpr Parameter kNone{"", nullptr, false, false};
constexpr std::array<Resource, 6> kResources{
    Resource{"repo",
             {{{"collection", is_nsid_or_any, true, true}, {"action", is_write, false, true}}}},
    Resource{"rpc", {{{"lxm", is_nsid_or_any, true, true}, {"aud", is_audience, true, false}}}},
    Resource{"blob", {{{"accept", is_mime_pattern, true, true}, kNone}}},
    Resource{
        "account",
        {{{"attr", is_account_part, true, false}, {"action", is_account_action, false, false}}}},
    Resource{"identity", {{{"attr", is_identity_part, true, false}, kNone}}},
    Resource{"include", {{{"nsid", is_nsid, true, false}, {"aud", is_service, false, false}}}},
};

bool fits(const PermissionScope& scope, const Parameter& parameter) {
  const auto values = scope.all(parameter.name);
  if (values.empty()) return !parameter.required;
  return (values.size() == 1 || parameter.repeatable) &&
         std::all_of(values.begin(), values.end(),
                     [&](const std::string& value) { return parameter.is_good(value); });
}

bool fits(const PermissionScope& scope, const Resource& resource) {
  const auto& known = resource.parameters;
  const bool all_known =
      std::all_of(scope.parameters.begin(), scope.parameters.end(), [&](const auto& one) {
        return !one.first.empty() && std::any_of(known.begin(), known.end(), [&](const auto& p) {
          return p.name == one.first;
        });
      });
  return all_known && std::all_of(known.begin(), known.end(), [&](const Parameter& parameter) {
           return parameter.name.empty() || fits(scope, parameter);
         });
}

// Every method at every service would be everything.
bool is_everything(const PermissionScope& scope) {
  if (scope.resource != "rpc") return false;
  const auto methods = scope.all("lxm"), audience = scope.all("aud");
  return std::find(methods.begin(), methods.end(), "*") != methods.end() && audience.front() == "*";
}

}  // namespace

std::vector<std::string> PermissionScope::all(std::string_view name) const {
  std::vector<std::string> out;
  for (const auto& [parameter, value] : parameters) {
    if (parameter == name) out.push_back(value);
  }
  return out;
}

std::optional<PermissionScope> parse_permission_scope(std::string_view token) {
  const auto mark = token.find('?');
  const auto head = token.substr(0, mark), name = head.substr(0, head.find(':'));
  const auto* const resource = std::find_if(kResources.begin(), kResources.end(),
                                            [&](const auto& one) { return one.name == name; });
  if (resource == kResources.end()) return std::nullopt;
  auto fields =
      form_decode(mark == std::string_view::npos ? std::string_view{} : token.substr(mark + 1));
  if (!fields) return std::nullopt;
  PermissionScope scope{.resource = std::string(name), .parameters = *std::move(fields)};
  if (name.size() < head.size()) {
    const auto positional = resource->parameters.front().name;
    auto value = percent_decode(head.substr(name.size() + 1));
    if (!value || !scope.all(positional).empty()) return std::nullopt;
    scope.parameters.emplace_back(positional, *std::move(value));
  }
  if (!fits(scope, *resource) || is_everything(scope)) return std::nullopt;
  return scope;
}

}  // namespace latchkey::sandbox
