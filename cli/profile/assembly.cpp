// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <sstream>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>
module latchkey.cli.profile.assembly;
import latchkey.cli.input;
import latchkey.cli.options;
import latchkey.cli.profile;
import latchkey.cli.profile.folder;
import latchkey.cli.profile.json;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.session;

namespace latchkey::cli {
namespace {

Error invalid(std::string_view detail, std::string message) {
  return make_error(ErrorCode::invalid_argument, detail, std::move(message));
}

// The profile is used from any folder.
std::string absolute(const std::string& path) {
  std::error_code fault;
  const auto whole = std::filesystem::absolute(path, fault);
  return fault ? path : whole.native();
}

std::vector<std::string> words_of(const std::string& text) {
  std::vector<std::string> words;
  std::istringstream stream(text);
  for (std::string word; stream >> word;) words.push_back(std::move(word));
  return words;
}

// --config, or the stored file, or nothing.
Result<Profile> base_of(const std::string& name, const ProfileFlags& flags,
                        const ProfileFolder& folder) {
  if (!flags.config.empty()) {
    auto text = read_argument("@" + flags.config, {});
    if (!text) return std::move(text).error();
    return parse_profile(*text, ErrorCode::invalid_argument);
  }
  auto stored = folder.load(name);
  if (!stored) return std::move(stored).error();
  if (*stored) return **std::move(stored);
  if (flags.is_any_set()) return Profile{};
  return invalid("profile.unknown",
                 "cannot log in to the profile " + printable(name, 100) +
                     ": there is none of that name; say whose it is with --issuer and "
                     "--client-id, or with --config FILE");
}

// Without an issuer a provider is known by where it gives tokens.
bool is_other_provider(const Profile& stored, const ProfileFlags& flags) {
  if (!flags.issuer.empty()) return flags.issuer != stored.issuer;
  const std::string& token = flags.endpoints.token;
  return stored.issuer.empty() && !token.empty() && token != stored.endpoints.token;
}

// What was said of one provider is neither told to another nor believed of it.
void leave_provider(Profile& profile) {
  profile.endpoints = {};
  profile.client_auth = ClientAuthMethod::none;
  profile.secret = {};
  profile.resources.clear();
  profile.origins.clear();
  profile.without_jwks_validation = false;
}

void set(std::string& target, const std::string& flag) {
  if (!flag.empty()) target = flag;
}

void set_secret(Profile& profile, const ProfileFlags& flags) {
  if (flags.client_secret_file.empty() && flags.client_secret_command.empty()) return;
  profile.secret = {.file = {}, .command = words_of(flags.client_secret_command)};
  if (!flags.client_secret_file.empty()) profile.secret.file = absolute(flags.client_secret_file);
  if (profile.client_auth == ClientAuthMethod::none)
    profile.client_auth = ClientAuthMethod::client_secret_basic;
}

Result<void> set_client(Profile& profile, const ProfileFlags& flags, const Variables& variable) {
  const auto id = variable("LATCHKEY_CLIENT_ID"), secret = variable("LATCHKEY_CLIENT_SECRET_FILE");
  if (!flags.client_id.empty() && flags.client_id != profile.client_id) {
    // Another client: the secret of the one before is none of its.
    profile.client_id = flags.client_id;
    profile.secret = {};
    profile.client_auth = ClientAuthMethod::none;
  } else if (profile.client_id.empty()) {
    if (secret && !id)
      return invalid("profile.half_set",
                     "cannot tell whose client secret LATCHKEY_CLIENT_SECRET_FILE is: "
                     "LATCHKEY_CLIENT_ID is not set; set both, or neither");
    profile.client_id = id.value_or("");
    if (secret) {
      profile.secret.file = absolute(*secret);
      profile.client_auth = ClientAuthMethod::client_secret_basic;
    }
  }
  set_secret(profile, flags);
  if (flags.client_auth.empty()) return {};
  const auto method = client_auth_method_from(flags.client_auth);
  if (!method || *method == ClientAuthMethod::private_key_jwt)
    return invalid("profile.bad_value",
                   "cannot use --client-auth " + printable(flags.client_auth, 100) +
                       ": write none, client_secret_basic or client_secret_post");
  profile.client_auth = *method;
  return {};
}

Result<void> set_parameters(Profile& profile, const std::vector<std::string>& flags) {
  for (const std::string& flag : flags) {
    const auto equals = flag.find('=');
    if (equals == 0 || equals == std::string::npos)
      return invalid("profile.parameter",
                     "cannot use --parameter " + printable(flag, 100) + ": write NAME=VALUE");
    const std::string name = flag.substr(0, equals);
    std::erase_if(profile.parameters, [&](const auto& one) { return one.first == name; });
    profile.parameters.emplace_back(name, flag.substr(equals + 1));
  }
  return {};
}

void set_rest(Profile& profile, const ProfileFlags& flags) {
  set(profile.issuer, flags.issuer);
  for (const auto endpoint :
       {&Endpoints::authorization, &Endpoints::token, &Endpoints::device_authorization,
        &Endpoints::revocation, &Endpoints::pushed_authorization_request, &Endpoints::jwks}) {
    set(profile.endpoints.*endpoint, flags.endpoints.*endpoint);
  }
  if (flags.scope) profile.scope = *flags.scope;
  if (!flags.resources.empty()) profile.resources = flags.resources;
  if (!flags.origins.empty()) profile.origins = flags.origins;
  if (flags.port) profile.port = static_cast<std::uint16_t>(*flags.port);
  profile.https = profile.https || flags.https;
  profile.without_jwks_validation =
      profile.without_jwks_validation || flags.without_jwks_validation;
}

// What --config names is not known before it is read; the flags know it without that.
Result<std::string> name_of(const std::string& name, const ProfileFlags& flags) {
  if (!name.empty()) {
    auto checked = check_profile_name(name);
    return checked ? Result<std::string>(name) : std::move(checked).error();
  }
  std::string issuer = flags.issuer;
  if (issuer.empty() && !flags.config.empty()) {
    const auto config = base_of(name, flags, ProfileFolder({}));
    if (!config) return config.error();
    issuer = config->issuer;
  }
  if (!issuer.empty()) return name_for_issuer(issuer);
  return invalid("profile.needs_name",
                 "cannot name the profile: without an issuer there is nothing to name it after; "
                 "choose a name with --profile");
}

}  // namespace

bool ProfileFlags::is_any_set() const {
  const auto given = [](const std::string& text) { return !text.empty(); };
  return given(issuer) || endpoints != Endpoints{} || given(client_id) || given(client_auth) ||
         given(client_secret_file) || given(client_secret_command) || !resources.empty() ||
         !origins.empty() || !parameters.empty() || port || https || without_jwks_validation ||
         given(config);
}

Result<NamedProfile> assemble_profile(const std::string& name, const ProfileFlags& flags,
                                      const ProfileFolder& folder, const Variables& variable) {
  auto chosen = name_of(name, flags);
  if (!chosen) return std::move(chosen).error();
  auto profile = base_of(*chosen, flags, folder);
  if (!profile) return std::move(profile).error();
  // A file that is named along with the flags is meant with them.
  if (flags.config.empty() && is_other_provider(*profile, flags)) leave_provider(*profile);
  set_rest(*profile, flags);
  if (auto done = set_client(*profile, flags, variable); !done) return std::move(done).error();
  if (auto done = set_parameters(*profile, flags.parameters); !done) return std::move(done).error();
  if (auto checked = check_profile(*profile); !checked) return std::move(checked).error();
  return NamedProfile{.name = *std::move(chosen), .profile = *std::move(profile)};
}

}  // namespace latchkey::cli
