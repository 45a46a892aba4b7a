// SPDX-License-Identifier: MIT
module;
#include <optional>
#include <string>
#include <vector>
export module latchkey.cli.profile.assembly;
import latchkey.cli.options;
import latchkey.cli.profile;
import latchkey.cli.profile.folder;
import latchkey.core.error;

// From what a login was told on the command line to the profile it is about. Flags are stronger
// than the file; the environment only names a client where nothing else does, for a stored profile
// is a whole. A half of a pair never takes its other half from another place.

export namespace latchkey::cli {

/// As the flags of `latchkey login` say; empty: not said.
struct ProfileFlags {
  std::string issuer;
  Endpoints endpoints{};
  std::string client_id;
  std::string client_auth;
  std::string client_secret_file;
  std::string client_secret_command;  ///< split on blanks, no shell
  std::optional<std::string> scope{};
  std::vector<std::string> resources{};
  std::vector<std::string> origins{};
  std::vector<std::string> parameters{};  ///< NAME=VALUE
  std::optional<int> port{};
  bool https = false;
  bool without_jwks_validation = false;
  std::string config;  ///< a file as docs/providers.md describes it

  [[nodiscard]] bool is_any_set() const;
};

struct NamedProfile {
  std::string name;
  Profile profile;
};

/// The profile `name` (empty: named after its issuer), made of --config or else of its stored file,
/// with the flags over it, and checked. If the flags name another provider than the stored file (by
/// the issuer, or without one by the token endpoint), the file's secret, endpoints, resources and
/// origins, and its word that id tokens need no keys, do not count. LATCHKEY_CLIENT_ID and
/// LATCHKEY_CLIENT_SECRET_FILE count as a pair, and only if neither of these names a client.
/// Errors: those of parse_profile, check_profile and check_profile_name, and of
/// ProfileFolder::load; invalid_argument, "profile.half_set" (a secret file in the environment
/// without a client_id), "profile.parameter" (not NAME=VALUE), "profile.needs_name" (no name and no
/// issuer), "profile.unknown" (nothing but a name, which no file has).
[[nodiscard]] Result<NamedProfile> assemble_profile(const std::string& name,
                                                    const ProfileFlags& flags,
                                                    const ProfileFolder& folder,
                                                    const Variables& variable);

}  // namespace latchkey::cli
