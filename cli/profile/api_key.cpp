// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
module latchkey.cli.profile.api_key;
import latchkey.cli.options;
import latchkey.cli.profile;
import latchkey.cli.profile.assembly;
import latchkey.cli.profile.client;
import latchkey.cli.profile.folder;
import latchkey.cli.profile.secret;
import latchkey.cli.workspace;
import latchkey.core.error;
import latchkey.core.secret;
import latchkey.core.time;
import latchkey.oauth.server_metadata;
import latchkey.refresh.context;
import latchkey.refresh.keeper;
import latchkey.session;

namespace latchkey::cli {
namespace {

// Sent as a Bearer token, which has no spaces (RFC 6750 §2.1).
Result<SecretString> read_api_key(const std::string& file, std::stop_token stop) {
  auto key = read_secret_file(file, std::move(stop));
  if (!key || key->expose().find(' ') == std::string_view::npos) return key;
  return make_error(ErrorCode::invalid_argument, "secret.malformed",
                    "cannot keep the API key: there is a space in it, so it can't be sent; give "
                    "the key alone");
}

Result<Profile> profile_of(const std::string& name, const ProfileFlags& flags) {
  if (name.empty())
    return make_error(ErrorCode::invalid_argument, "profile.needs_name",
                      "cannot keep the API key without a name; choose one with --profile");
  if (auto checked = check_profile_name(name); !checked) return std::move(checked).error();
  ProfileFlags others = flags;
  others.origins.clear();
  if (others.is_any_set())
    return make_error(ErrorCode::invalid_argument, "profile.not_for_api_key",
                      "cannot keep the API key: it has origins (--origin), and nothing of a login; "
                      "leave the other options away");
  Profile profile;
  profile.kind = ProfileKind::api_key;
  profile.origins = flags.origins;
  if (auto checked = check_profile(profile); !checked) return std::move(checked).error();
  return profile;
}

OAuthSession session_of(const std::string& name, SecretString key, SessionKeeper& keeper) {
  OAuthSession session;
  session.subject = name;
  session.token_type = "Bearer";
  session.access_token = std::move(key);
  session.issued_at = session.session_started_at =
      std::chrono::floor<std::chrono::seconds>(keeper.context().clock->now());
  session.login_id = draw_id(*keeper.context().random);
  return session;
}

}  // namespace

Result<SessionSummary> store_api_key(const Options& options, const std::string& file,
                                     const ProfileFlags& flags) {
  const auto where = places(options);
  if (!where) return where.error();
  const std::string& name = options.profile;
  const auto profile = profile_of(name, flags);
  if (!profile) return profile.error();
  auto key = read_api_key(file, options.stop);
  if (!key) return std::move(key).error();
  auto workspace = open_workspace(options);
  if (!workspace) return std::move(workspace).error();
  if (auto free = check_name_free(*workspace->store, name, {}, ServerMetadata{}); !free)
    return std::move(free).error();
  auto keeper = api_key_keeper(*workspace, options);
  if (!keeper) return std::move(keeper).error();
  if (auto saved = ProfileFolder(where->config).save(name, *profile); !saved)
    return std::move(saved).error();
  auto saved =
      (*keeper)->save_login(session_of(name, *std::move(key), **keeper), {.stop = options.stop});
  if (!saved) return std::move(saved).error();
  return static_cast<const SessionSummary&>(**saved);
}

}  // namespace latchkey::cli
