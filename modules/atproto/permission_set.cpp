// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
module latchkey.atproto.permission_set;
import latchkey.atproto.identifier;
import latchkey.atproto.permission;
import latchkey.core.error;
import latchkey.core.json;

namespace latchkey {
namespace {

constexpr std::size_t kMaxEntries = 1000;

// Sets may hold permissions for records and for services; others are left out.
std::optional<PermissionResource> resource_of(std::string_view name) {
  if (name == "repo") return PermissionResource::repo;
  if (name == "rpc") return PermissionResource::rpc;
  return std::nullopt;
}

// A list or one string.
Result<std::vector<std::string>> read_values(const JsonObject& entry, std::string_view name) {
  if (entry.kind(name) != JsonKind::string) {
    auto list = entry.strings(name);
    if (!list) return std::move(list).error();
    return list->value_or(std::vector<std::string>{});
  }
  auto one = entry.string(name);
  if (!one) return std::move(one).error();
  return std::vector<std::string>{std::move(**one)};
}

Result<PermissionParameters> read_parameters(const JsonObject& entry) {
  PermissionParameters out;
  for (const std::string_view name : {"collection", "action", "lxm", "aud"}) {
    auto values = read_values(entry, name);
    if (!values) return std::move(values).error();
    if (!values->empty()) out.emplace_back(name, *std::move(values));
  }
  return out;
}

const std::vector<std::string>* find(const PermissionParameters& parameters,
                                     std::string_view name) {
  for (const auto& [known, values] : parameters) {
    if (known == name) return &values;
  }
  return nullptr;
}

}  // namespace

Result<std::vector<PermissionSet::Entry>> PermissionSet::read_entries(const JsonObject& main) {
  auto rows = main.objects("permissions");
  if (!rows) return std::move(rows).error();
  if (!rows->has_value()) return main.missing("permissions");
  std::vector<Entry> entries;
  for (const JsonObject& row : **rows) {
    auto resource = row.required_string("resource");
    if (!resource) return std::move(resource).error();
    const auto known = resource_of(*resource);
    if (!known || entries.size() == kMaxEntries) continue;
    auto parameters = read_parameters(row);
    if (!parameters) return std::move(parameters).error();
    auto inherits = row.boolean("inheritAud");
    if (!inherits) return std::move(inherits).error();
    entries.push_back({*known, *std::move(parameters), inherits->value_or(false)});
  }
  return entries;
}

Result<PermissionSet> PermissionSet::parse(std::string_view lexicon) {
  auto object = JsonObject::parse(lexicon, ErrorCode::invalid_argument, "permission_set");
  if (!object) return std::move(object).error();
  auto id = object->required_string("id");
  if (!id) return std::move(id).error();
  PermissionSet set;
  auto nsid = parse_nsid(*id);
  if (!nsid) return std::move(nsid).error();
  set.nsid_ = *std::move(nsid);
  auto defs = object->object("defs");
  if (!defs) return std::move(defs).error();
  if (!defs->has_value()) return object->missing("defs");
  auto main = (**defs).object("main");
  if (!main) return std::move(main).error();
  if (!main->has_value()) return (**defs).missing("main");
  auto type = (**main).required_string("type");
  if (!type) return std::move(type).error();
  if (*type != "permission-set") {
    return make_error(ErrorCode::invalid_argument, "permission_set.kind",
                      "cannot read the lexicon " + set.nsid_ +
                          " as a permission set: it is of another kind; include a set's NSID");
  }
  auto entries = read_entries(**main);
  if (!entries) return std::move(entries).error();
  set.entries_ = *std::move(entries);
  return set;
}

// Under com.example.auth are com.example.x and com.example.x.y.
bool PermissionSet::is_in_group(std::string_view name) const noexcept {
  const auto group = std::string_view(nsid_).substr(0, nsid_.rfind('.') + 1);
  return name.size() > group.size() && name.starts_with(group);
}

std::vector<Permission> PermissionSet::expand(const Permission& include) const {
  std::vector<Permission> out;
  if (include.resource() != PermissionResource::include || !include.names("nsid", nsid_))
    return out;
  for (const Entry& entry : entries_) {
    const auto* names =
        find(entry.parameters, entry.resource == PermissionResource::repo ? "collection" : "lxm");
    const auto in_group = [this](const std::string& name) { return is_in_group(name); };
    if (names == nullptr || !std::all_of(names->begin(), names->end(), in_group)) continue;
    PermissionParameters parameters = entry.parameters;
    const auto* audience = find(entry.parameters, "aud");
    // A set names no service of its own: any, or the one that the include names.
    if (audience != nullptr && *audience != std::vector<std::string>{"*"}) continue;
    if (audience == nullptr && entry.inherits_audience && !include.values("aud").empty())
      parameters.emplace_back("aud", include.values("aud"));
    if (auto permission = Permission::make(entry.resource, std::move(parameters)))
      out.push_back(*std::move(permission));
  }
  return out;
}

}  // namespace latchkey
