// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <array>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
module latchkey.cli.profile.json;
import latchkey.cli.profile;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.json;
import latchkey.core.json_reader;
import latchkey.session;

namespace latchkey::cli {
namespace {

constexpr int kVersion = 1;

// The members that are plain texts, by their name in the file.
struct TextMember {
  std::string_view name;
  std::string Profile::* member;
};
constexpr std::array kTexts{TextMember{"issuer", &Profile::issuer},
                            TextMember{"client_id", &Profile::client_id},
                            TextMember{"scope", &Profile::scope}};
struct ListMember {
  std::string_view name;
  std::vector<std::string> Profile::* member;
};
constexpr std::array kLists{ListMember{"resources", &Profile::resources},
                            ListMember{"origins", &Profile::origins}};
struct FlagMember {
  std::string_view name;
  bool Profile::* member;
};
constexpr std::array kFlags{
    FlagMember{"https", &Profile::https},
    FlagMember{"without_jwks_validation", &Profile::without_jwks_validation}};
struct EndpointMember {
  std::string_view name;
  std::string Endpoints::* member;
};
constexpr std::array kEndpoints{
    EndpointMember{"authorization", &Endpoints::authorization},
    EndpointMember{"token", &Endpoints::token},
    EndpointMember{"device_authorization", &Endpoints::device_authorization},
    EndpointMember{"revocation", &Endpoints::revocation},
    EndpointMember{"pushed_authorization_request", &Endpoints::pushed_authorization_request},
    EndpointMember{"jwks", &Endpoints::jwks}};
constexpr std::array<std::string_view, 8> kOthers{
    "version",   "kind",       "client_auth", "client_secret_file", "client_secret_command",
    "endpoints", "parameters", "port"};

template <class Members>
bool has_name(const Members& members, std::string_view name) {
  return std::any_of(members.begin(), members.end(),
                     [&](const auto& member) { return member.name == name; });
}

bool is_known(std::string_view name) {
  return has_name(kTexts, name) || has_name(kLists, name) || has_name(kFlags, name) ||
         std::find(kOthers.begin(), kOthers.end(), name) != kOthers.end();
}

Error unknown_member(ErrorCode code, std::string_view name) {
  return make_error(code, "profile.unknown_member",
                    "cannot use the profile: it has the member " + printable(name, 100) +
                        ", which nothing here knows; remove it, or correct its name");
}

Error bad_value(ErrorCode code, std::string_view name, const std::string& wanted) {
  return make_error(
      code, "profile.bad_value",
      "cannot use the profile: " + std::string(name) + " must be " + wanted + "; correct it");
}

// A reader of one file: the first error stays.
class Reader {
 public:
  Reader(const JsonObject& json, ErrorCode code) : read_(json), code_(code) {}

  void texts(Profile& profile) {
    for (const auto& [name, member] : kTexts) read_.text(name, profile.*member);
    for (const auto& [name, member] : kLists) read_.list(name, profile.*member);
    for (const auto& [name, member] : kFlags) read_.take(json().boolean(name), profile.*member);
    read_.text("client_secret_file", profile.secret.file);
    read_.list("client_secret_command", profile.secret.command);
  }
  void version() {
    std::int64_t version = kVersion;
    read_.take(json().integer("version"), version);
    if (version == kVersion) return;
    read_.fail(version > kVersion
                   ? make_error(ErrorCode::schema_too_new, "profile.version",
                                "cannot use the profile: its version is " +
                                    std::to_string(version) +
                                    " and this program knows 1; use a newer latchkey")
                   : bad_value(code_, "version", "1"));
  }
  void kind(Profile& profile) {
    std::string kind = "oauth";
    read_.text("kind", kind);
    profile.kind = kind == "api_key" ? ProfileKind::api_key : ProfileKind::oauth;
    if (kind != "api_key" && kind != "oauth")
      read_.fail(bad_value(code_, "kind", "oauth or api_key"));
  }
  void client_auth(Profile& profile) {
    std::string method = "none";
    read_.text("client_auth", method);
    const auto known = client_auth_method_from(method);
    if (!known || *known == ClientAuthMethod::private_key_jwt) {
      read_.fail(
          bad_value(code_, "client_auth", "none, client_secret_basic or client_secret_post"));
    }
    profile.client_auth = known.value_or(ClientAuthMethod::none);
  }
  void port(Profile& profile) {
    std::int64_t port = 0;
    read_.take(json().integer("port"), port);
    if (port < 0 || port > std::numeric_limits<std::uint16_t>::max())
      read_.fail(bad_value(code_, "port", "a number from 0 to 65535"));
    profile.port = static_cast<std::uint16_t>(port);
  }
  void endpoints(Profile& profile) {
    const auto inner = object("endpoints");
    if (!inner) return;
    for (const std::string& name : inner->names()) {
      if (!has_name(kEndpoints, name)) read_.fail(unknown_member(code_, "endpoints." + name));
    }
    for (const auto& [name, member] : kEndpoints)
      read_.take(inner->string(name), profile.endpoints.*member);
  }
  void parameters(Profile& profile) {
    const auto inner = object("parameters");
    if (!inner) return;
    for (const std::string& name : inner->names()) {
      std::string value;
      read_.take(inner->string(name), value);
      profile.parameters.emplace_back(name, std::move(value));
    }
  }
  [[nodiscard]] const std::optional<Error>& error() const { return read_.error(); }

 private:
  [[nodiscard]] const JsonObject& json() const { return read_.object(); }
  std::optional<JsonObject> object(std::string_view name) {
    return read_.keep(json().object(name)).value_or(std::nullopt);
  }
  JsonReader read_;
  ErrorCode code_;
};

// One line a member, so that people can edit it.
class Writer {
 public:
  void member(std::string_view name, const std::string& json) {
    text_ += ",\n  " + json_quote(name) + ": " + json;
  }
  void text(std::string_view name, const std::string& value) {
    if (!value.empty()) member(name, json_quote(value));
  }
  void list(std::string_view name, const std::vector<std::string>& values) {
    if (values.empty()) return;
    std::string json;
    for (const std::string& value : values) json += (json.empty() ? "[" : ", ") + json_quote(value);
    member(name, json + "]");
  }
  void object(std::string_view name,
              const std::vector<std::pair<std::string, std::string>>& values) {
    std::string json;
    for (const auto& [key, value] : values)
      json += (json.empty() ? "{" : ", ") + json_quote(key) + ": " + json_quote(value);
    if (!json.empty()) member(name, json + "}");
  }
  [[nodiscard]] std::string finish() && { return std::move(text_) + "\n}\n"; }

 private:
  std::string text_ = "{\n  \"version\": 1";
};

}  // namespace

Result<Profile> parse_profile(std::string_view text, ErrorCode code) {
  const auto json = JsonObject::parse(text, code, "profile");
  if (!json) return json.error();
  Reader reader(*json, code);
  reader.version();  // a newer one may have members that are unknown here
  if (reader.error()) return *reader.error();
  for (const std::string& name : json->names()) {
    if (!is_known(name)) return unknown_member(code, name);
  }
  Profile profile;
  reader.kind(profile);
  reader.texts(profile);
  reader.client_auth(profile);
  reader.port(profile);
  reader.endpoints(profile);
  reader.parameters(profile);
  if (reader.error()) return *reader.error();
  return profile;
}

std::string profile_json(const Profile& profile) {
  Writer writer;
  if (profile.kind == ProfileKind::api_key) writer.text("kind", "api_key");
  for (const auto& [name, member] : kTexts) writer.text(name, profile.*member);
  if (profile.client_auth != ClientAuthMethod::none)
    writer.text("client_auth", std::string(to_string(profile.client_auth)));
  writer.text("client_secret_file", profile.secret.file);
  writer.list("client_secret_command", profile.secret.command);
  for (const auto& [name, member] : kLists) writer.list(name, profile.*member);
  writer.object("parameters", profile.parameters);
  std::vector<std::pair<std::string, std::string>> endpoints;
  for (const auto& [name, member] : kEndpoints) {
    if (const auto& url = profile.endpoints.*member; !url.empty())
      endpoints.emplace_back(name, url);
  }
  writer.object("endpoints", endpoints);
  if (profile.port != 0) writer.member("port", std::to_string(profile.port));
  for (const auto& [name, member] : kFlags) {
    if (profile.*member) writer.member(name, "true");
  }
  return std::move(writer).finish();
}

}  // namespace latchkey::cli
