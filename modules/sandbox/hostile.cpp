// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <charconv>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
module latchkey.sandbox.hostile;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.json;
import latchkey.sandbox.message;

namespace latchkey::sandbox {
namespace {

constexpr std::size_t kHuge = std::size_t{1024} * 1024;
constexpr std::size_t kDepth = 40;

// Names and values in their order; a name may be there twice.
using Members = std::vector<std::pair<std::string, std::string>>;

void set(Members& members, std::string_view name, const std::string& value) {
  const auto found = std::find_if(members.begin(), members.end(),
                                  [&](const auto& member) { return member.first == name; });
  if (found == members.end()) {
    members.emplace_back(name, value);
  } else {
    found->second = value;
  }
}

void edit(Members& members, const HostileForm& form, const std::string& value) {
  const auto named = [&](const auto& member) { return member.first == form.member; };
  const auto found = std::find_if(members.begin(), members.end(), named);
  if (form.edit == Edit::repeat && found != members.end()) members.push_back(*found);
  if (form.edit == Edit::drop) std::erase_if(members, named);
  if (form.edit == Edit::set) set(members, form.member, value);
}

std::string nested() {
  return std::string(kDepth, '[') + std::string(kDepth, ']');
}

std::string service_at(const std::string& endpoint) {
  return '[' +
         json_object({{"id", json_quote("#atproto_pds")},
                      {"type", json_quote("AtprotoPersonalDataServer")},
                      {"serviceEndpoint", endpoint}}) +
         ']';
}

void edit_json(Response& response, const HostileForm& form, const std::string& value) {
  const auto object = JsonObject::parse(response.body, ErrorCode::invalid_argument, "hostile");
  if (!object) return;
  Members members;
  for (const auto& name : object->names()) {
    members.emplace_back(name, object->json_text(name).value_or("null"));
  }
  edit(members, form, value);
  if (form.edit == Edit::nest) members.emplace_back("nested", nested());
  if (form.edit == Edit::endpoint) set(members, "service", service_at(value));
  std::string body = "{";
  for (const auto& [name, text] : members) {
    if (body.size() > 1) body += ',';
    body += json_quote(name) + ':' + text;
  }
  response.body = body + '}';
}

void edit_location(Response& response, const HostileForm& form, const std::string& value) {
  for (auto& [name, location] : response.headers) {
    if (name != "Location") continue;
    const auto mark = location.find('?');
    auto fields =
        form_decode(mark == std::string::npos ? std::string() : location.substr(mark + 1));
    if (!fields) return;
    edit(*fields, form, value);
    location = location.substr(0, mark) + '?' + form_encode(*fields);
  }
}

std::string with_origin(std::string_view text, std::string_view origin) {
  constexpr std::string_view self = "{self}";
  std::string out(text);
  for (auto at = out.find(self); at != std::string::npos; at = out.find(self, at + origin.size())) {
    out.replace(at, self.size(), origin);
  }
  return out;
}

void redirect_to(Response& response, std::string target) {
  response.status = 302;
  response.headers.emplace_back("Location", std::move(target));
}

void set_status(Response& response, std::string_view text) {
  std::from_chars(text.data(), text.data() + text.size(), response.status);
  if (response.status == 204) response.body.clear();
}

}  // namespace

void make_hostile(const HostileForm& form, std::string_view origin, Response& response) {
  std::string value = with_origin(form.value, origin);
  switch (form.edit) {
    case Edit::set:
    case Edit::drop:
    case Edit::repeat:
    case Edit::nest:
    case Edit::endpoint:
      if (form.document == Document::callback) return edit_location(response, form, value);
      return edit_json(response, form, value);
    case Edit::body:
      response.status = 200;
      response.body = std::move(value);
      return;
    case Edit::append:
      response.body += value;
      return;
    case Edit::prefix:
      response.body.insert(0, value);
      return;
    case Edit::swell:
      response.body.resize(kHuge, ' ');
      return;
    case Edit::status:
      return set_status(response, value);
    case Edit::content_type:
      response.content_type = std::move(value);
      return;
    case Edit::redirect:
      return redirect_to(response, std::move(value));
  }
}

}  // namespace latchkey::sandbox
