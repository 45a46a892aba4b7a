// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
module latchkey.sandbox.fault_json;
import latchkey.core.error;
import latchkey.core.json;
import latchkey.sandbox.faults;
import latchkey.sandbox.message;

namespace latchkey::sandbox {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

using Text = std::string Fault::*;
using Number = std::variant<int Fault::*, unsigned Fault::*, std::size_t Fault::*,
                            milliseconds Fault::*, std::optional<seconds> Fault::*>;

struct TextMember {
  std::string_view name;
  Text place;
};
constexpr std::array kTexts{TextMember{"method", &Fault::method}, TextMember{"path", &Fault::path},
                            TextMember{"grant_type", &Fault::grant_type},
                            TextMember{"text", &Fault::text}};

struct NumberMember {
  std::string_view name;
  Number place;
  std::int64_t min, max;
};
constexpr std::array kNumbers{
    NumberMember{"skip", &Fault::skip, 0, 1'000'000},
    NumberMember{"times", &Fault::times, 1, 1'000'000},
    NumberMember{"delay_ms", &Fault::delay, 0, 86'400'000},
    NumberMember{"status", &Fault::status, 200, 599},
    NumberMember{"retry_after_s", &Fault::retry_after, 0, 31'536'000},
    NumberMember{"rate_limit_reset_s", &Fault::rate_limit_reset, 0, 31'536'000},
    NumberMember{"size", &Fault::size, 0, 67'108'864}};

void put(int& place, std::int64_t value) {
  place = static_cast<int>(value);
}
void put(unsigned& place, std::int64_t value) {
  place = static_cast<unsigned>(value);
}
void put(std::size_t& place, std::int64_t value) {
  place = static_cast<std::size_t>(value);
}
void put(milliseconds& place, std::int64_t value) {
  place = milliseconds(value);
}
void put(std::optional<seconds>& place, std::int64_t value) {
  place = seconds(value);
}

std::string written(milliseconds value) {
  return std::to_string(value.count());
}
std::string written(const std::optional<seconds>& value) {
  return value ? std::to_string(value->count()) : "null";
}
template <class Integer>
std::string written(Integer value) {
  return std::to_string(value);
}

Error wrong(std::string_view detail, std::string problem) {
  return make_error(ErrorCode::invalid_argument, detail,
                    "cannot script this fault: " + std::move(problem));
}

std::string kind_names() {
  std::string names;
  for (const auto& one : fault_kinds()) {
    names += (names.empty() ? "" : ", ") + std::string(one.name);
  }
  return names;
}

bool is_member(std::string_view name) {
  const auto is = [&](const auto& member) { return member.name == name; };
  return name == "kind" || name == "server" || std::any_of(kTexts.begin(), kTexts.end(), is) ||
         std::any_of(kNumbers.begin(), kNumbers.end(), is);
}

Result<void> read_kind(const JsonObject& json, Fault& fault) {
  const auto name = json.required_string("kind");
  if (!name) return name.error();
  const auto& kinds = fault_kinds();
  const auto found =
      std::find_if(kinds.begin(), kinds.end(), [&](const auto& one) { return one.name == *name; });
  if (found == kinds.end()) {
    return wrong("fault.kind", "there is no such kind; use one of " + kind_names());
  }
  if (!found->needs.empty() && !json.contains(found->needs)) {
    return json.missing(found->needs);
  }
  fault.kind = found->kind;
  return {};
}

Result<void> check_form(const Fault& fault) {
  if (fault.kind != FaultKind::hostile || find_hostile_form(fault.text) != nullptr) return {};
  return wrong("fault.hostile", "there is no such hostile form; see docs/sandbox.md");
}

Result<void> read_server(const JsonObject& json, Fault& fault) {
  const auto name = json.string("server");
  if (!name) return name.error();
  if (!*name) return {};
  for (const Server server : {Server::plc, Server::authorization, Server::pds}) {
    if (to_string(server) == **name) fault.server = server;
  }
  if (fault.server) return {};
  return wrong("fault.server", "there is no such server; use plc, authorization or pds");
}

Result<void> read_text(const JsonObject& json, const TextMember& member, Fault& fault) {
  auto text = json.string(member.name);
  if (!text) return std::move(text).error();
  if (*text) fault.*member.place = **std::move(text);
  return {};
}

Result<void> read_number(const JsonObject& json, const NumberMember& member, Fault& fault) {
  const auto number = json.integer(member.name);
  if (!number) return number.error();
  if (!*number) return {};
  if (**number < member.min || **number > member.max) {
    return wrong("fault.range", std::string(member.name) + " must be " +
                                    std::to_string(member.min) + " to " +
                                    std::to_string(member.max));
  }
  std::visit([&](auto place) { put(fault.*place, **number); }, member.place);
  return {};
}

}  // namespace

Result<Fault> fault_from_json(const JsonObject& json) {
  for (const auto& name : json.names()) {
    if (!is_member(name)) {
      return wrong("fault.unknown_member", "it has a member that faults do not have");
    }
  }
  Fault fault;
  if (auto read = read_kind(json, fault); !read) return std::move(read).error();
  if (auto read = read_server(json, fault); !read) return std::move(read).error();
  for (const auto& member : kTexts) {
    if (auto read = read_text(json, member, fault); !read) return std::move(read).error();
  }
  for (const auto& member : kNumbers) {
    if (auto read = read_number(json, member, fault); !read) return std::move(read).error();
  }
  if (auto known = check_form(fault); !known) return std::move(known).error();
  return fault;
}

std::string fault_to_json(const Fault& fault) {
  const Fault usual;
  std::string out = "{\"kind\":" + json_quote(to_string(fault.kind));
  const auto add = [&](std::string_view name, const std::string& value) {
    out += ',' + json_quote(name) + ':' + value;
  };
  if (fault.server) add("server", json_quote(to_string(*fault.server)));
  for (const auto& member : kTexts) {
    if (!(fault.*member.place).empty()) add(member.name, json_quote(fault.*member.place));
  }
  for (const auto& member : kNumbers) {
    std::visit(
        [&](auto place) {
          if (fault.*place != usual.*place) add(member.name, written(fault.*place));
        },
        member.place);
  }
  return out + '}';
}

}  // namespace latchkey::sandbox
