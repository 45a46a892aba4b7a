// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
module latchkey.cli.profile;
import latchkey.core.crypto;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.os.files;
import latchkey.core.url;
import latchkey.oauth.authorization;
import latchkey.session;

namespace latchkey::cli {
namespace {

constexpr std::size_t kMaxName = 64;
constexpr std::string_view kBeside = "revoking|";
constexpr std::size_t kLoginIdDigits = 16;

bool is_name_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
         c == '_' || c == '-';
}

Error invalid(std::string_view detail, std::string message) {
  return make_error(ErrorCode::invalid_argument, detail, std::move(message));
}

Result<void> check_secret(const Profile& profile) {
  const bool sends = profile.client_auth != ClientAuthMethod::none;
  const auto half = [](const std::string& why) {
    return invalid("profile.half_set", "cannot use the profile: " + why);
  };
  if (!profile.secret.file.empty() && !profile.secret.command.empty())
    return half(
        "its client secret has two sources; keep client_secret_file or "
        "client_secret_command");
  if (sends && !profile.secret.is_set())
    return half("client_auth " + std::string(to_string(profile.client_auth)) +
                " needs a client secret; name its client_secret_file or client_secret_command");
  if (!sends && profile.secret.is_set())
    return half(
        "there is a client secret, and client_auth none sends no secret; say "
        "client_secret_basic or client_secret_post, or leave the secret away");
  if (!profile.secret.file.empty() && !std::filesystem::path(profile.secret.file).is_absolute())
    return invalid("profile.bad_value",
                   "cannot use the profile: client_secret_file must be an absolute path, for the "
                   "profile is used from any folder");
  return {};
}

Result<void> check_urls(const Profile& profile) {
  std::vector<std::string> urls = profile.origins;
  if (!profile.issuer.empty()) urls.push_back(profile.issuer);
  const Endpoints& own = profile.endpoints;
  for (const std::string* url : {&own.authorization, &own.token, &own.device_authorization,
                                 &own.revocation, &own.pushed_authorization_request, &own.jwks}) {
    if (!url->empty()) urls.push_back(*url);
  }
  for (const std::string& text : urls) {
    const auto url = Url::parse(text);
    if (!url) return invalid("profile.bad_value", "cannot use the profile: " + url.error().message);
    if (!check_scheme(*url, HttpRule::allow_http_for_loopback)) {
      return invalid("profile.insecure_url", "cannot use the profile: " + printable(text, 200) +
                                                 " is not https, so that anybody on the way could "
                                                 "read the token; write https://");
    }
  }
  return {};
}

// A stored key knows where it may go, and nothing else.
Result<void> check_api_key(const Profile& profile) {
  Profile plain;
  plain.kind = ProfileKind::api_key;
  plain.origins = profile.origins;
  if (plain != profile)
    return invalid("profile.not_for_api_key",
                   "cannot use the profile: an API key has origins, and nothing of a login; leave "
                   "the other members away");
  return check_urls(profile);
}

// Of what is too long for a name itself.
std::string short_digest(std::string_view text) {
  const Sha256 digest = sha256(text);
  return hex_encode(std::span<const unsigned char>(digest).first(4));
}

std::string origin_of(const std::string& text) {
  const auto url = Url::parse(text);
  return url ? url->origin() : std::string();
}

}  // namespace

Result<void> check_profile_name(std::string_view name) {
  const bool fits = !name.empty() && name.size() <= kMaxName && name != "." && name != ".." &&
                    std::all_of(name.begin(), name.end(), is_name_character) &&
                    !name.starts_with(kTemporaryPrefix);
  if (fits) return {};
  return invalid("profile.name", "cannot use " + printable(name, 100) +
                                     " as the name of a profile: use 1 to 64 letters, digits, "
                                     "points, underscores and hyphens, and not . or ..");
}

std::string original_subject(std::string_view subject) {
  const std::size_t end = kBeside.size() + kLoginIdDigits;
  const bool beside = subject.starts_with(kBeside) && subject.size() > end + 1 &&
                      subject[end] == '|' &&
                      hex_decode(subject.substr(kBeside.size(), kLoginIdDigits));
  return std::string(beside ? subject.substr(end + 1) : subject);
}

Result<std::string> name_for_issuer(std::string_view issuer) {
  const auto url = Url::parse(issuer);
  if (!url) return url.error();
  const std::string suffix = url->path() == "/" ? "" : "-" + short_digest(url->path());
  std::string name = url->authority().substr(0, kMaxName - suffix.size()) + suffix;
  std::replace_if(name.begin(), name.end(), [](char c) { return !is_name_character(c); }, '-');
  if (auto checked = check_profile_name(name); !checked) return std::move(checked).error();
  return name;
}

Result<void> check_profile(const Profile& profile) {
  if (profile.kind == ProfileKind::api_key) return check_api_key(profile);
  const auto incomplete = [](const std::string& why) {
    return invalid("profile.incomplete", "cannot use the profile: " + why);
  };
  if (profile.client_id.empty())
    return incomplete(
        "it has no client_id; register a client with the provider, and write its id "
        "here, or pass --client-id");
  const Endpoints& own = profile.endpoints;
  if (own.token.empty() && own != Endpoints{})
    return invalid("profile.half_set",
                   "cannot use the profile: it has endpoints, but no token endpoint; add it, or "
                   "leave all away if the issuer can be asked for them");
  if (!own.token.empty() && own.authorization.empty() && own.device_authorization.empty())
    return invalid("profile.half_set",
                   "cannot use the profile: it has a token endpoint, but no authorization and no "
                   "device_authorization endpoint to begin at; add one");
  if (profile.issuer.empty() && own.token.empty())
    return incomplete(
        "it has neither an issuer nor endpoints; write one of them, or pass "
        "--issuer");
  if (auto secret = check_secret(profile); !secret) return secret;
  if (auto extra = check_extra_parameters(profile.parameters); !extra) return extra;
  return check_urls(profile);
}

bool is_configured_by(const SessionSummary& session, const Profile& profile) {
  const std::string& token_endpoint = profile.endpoints.token;
  return session.client_id == profile.client_id && session.issuer == profile.issuer &&
         (token_endpoint.empty() || session.token_endpoint == token_endpoint);
}

bool allows_origin(const Profile& profile, std::string_view origin) {
  const auto is_it = [&](const std::string& text) { return origin_of(text) == origin; };
  return !origin.empty() &&
         (is_it(profile.issuer) ||
          std::any_of(profile.origins.begin(), profile.origins.end(), is_it) ||
          std::any_of(profile.resources.begin(), profile.resources.end(), is_it));
}

}  // namespace latchkey::cli
