// SPDX-License-Identifier: MIT
module;
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
export module latchkey.cli.profile;
import latchkey.core.error;
import latchkey.session;

// The configuration of a profile: which provider, as which client, with what to ask for. A profile
// is the tool's name for a login that is not an AT Protocol account: the session is kept under that
// name, the configuration in a file of its own. There is no secret in it, only where one is to be
// found. docs/providers.md says what the members mean, with a file for each of some providers.

export namespace latchkey::cli {

/// Where a client secret comes from. At most one of the two is set.
struct SecretSource {
  std::string file;                  ///< absolute path
  std::vector<std::string> command;  ///< program and arguments, no shell
  [[nodiscard]] bool is_set() const noexcept { return !file.empty() || !command.empty(); }
  [[nodiscard]] bool operator==(const SecretSource&) const = default;
};

/// For servers without discovery; empty: none.
struct Endpoints {
  std::string authorization, token, device_authorization, revocation, pushed_authorization_request,
      jwks;
  [[nodiscard]] bool operator==(const Endpoints&) const = default;
};

enum class ProfileKind {
  oauth,
  api_key,  ///< a fixed token, kept like a session; nothing renews it
};

/// See docs/providers.md for each member.
struct Profile {
  ProfileKind kind = ProfileKind::oauth;
  std::string issuer;
  Endpoints endpoints{};  ///< `token` set: these, and no discovery
  std::string client_id;
  ClientAuthMethod client_auth = ClientAuthMethod::none;
  SecretSource secret{};
  std::string scope;
  std::vector<std::string> resources{};
  std::vector<std::pair<std::string, std::string>> parameters{};
  std::uint16_t port = 0;  ///< of the redirect; 0: any free one
  bool https = false;      ///< of the redirect
  bool without_jwks_validation = false;
  std::vector<std::string> origins{};  ///< to which `request` may send the token
  [[nodiscard]] bool operator==(const Profile&) const = default;
};

/// 1 to 64 letters, digits, ".", "_" and "-", and not "." or "..": it is a file's name. Error:
/// invalid_argument, "profile.name".
[[nodiscard]] Result<void> check_profile_name(std::string_view name);
/// Whose session it was, of the subject of a logout that is kept beside
/// ("revoking|0102030405060708|work": "work"); any other subject is its own.
[[nodiscard]] std::string original_subject(std::string_view subject);
/// A name for a profile that was given none: the issuer's host, with what a name can't have
/// replaced by "-", and if the issuer has a path, as tenants do, 8 hexadecimal digits of its
/// SHA-256. Errors: those of Url::parse and check_profile_name.
[[nodiscard]] Result<std::string> name_for_issuer(std::string_view issuer);

/// What can't be told from one member alone. Errors, all invalid_argument: "profile.incomplete" (no
/// client_id, or neither issuer nor endpoints), "profile.half_set" (a secret without a method that
/// sends it, a method without a secret, two sources, one of two endpoints that need each other),
/// "profile.not_for_api_key" (a member that only a login has), "profile.bad_value",
/// "profile.insecure_url", and those of check_extra_parameters.
[[nodiscard]] Result<void> check_profile(const Profile& profile);

/// Is the session the one that the profile configures? Its secret and its origins are for no other:
/// client and issuer must be the same, and the token endpoint if the profile names one.
[[nodiscard]] bool is_configured_by(const SessionSummary& session, const Profile& profile);

/// May the token be sent to this origin? Those of `origins`, of `resources` that are URLs, and of
/// the issuer, which has given the token.
[[nodiscard]] bool allows_origin(const Profile& profile, std::string_view origin);

}  // namespace latchkey::cli
