// SPDX-License-Identifier: MIT
module;
#include <string>
#include <string_view>
export module latchkey.cli.profile.json;
import latchkey.cli.profile;
import latchkey.core.error;

// A profile's configuration as the JSON text of its file: written for people, who edit it too.

export namespace latchkey::cli {

/// Reads a configuration file. Unknown members are refused. Errors, with `code`:
/// "profile.not_json", "profile.duplicate_member", "profile.unknown_member", "profile.wrong_type",
/// "profile.missing_member", "profile.bad_value"; and schema_too_new, "profile.version". What
/// members mean together is checked by check_profile.
[[nodiscard]] Result<Profile> parse_profile(std::string_view text, ErrorCode code);
/// What parse_profile reads back. Members that have their defaults are left out.
[[nodiscard]] std::string profile_json(const Profile& profile);

}  // namespace latchkey::cli
