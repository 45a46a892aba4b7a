// SPDX-License-Identifier: MIT
module;
#include <string>
export module latchkey.cli.profile.api_key;
import latchkey.cli.options;
import latchkey.cli.profile.assembly;
import latchkey.core.error;
import latchkey.session;

// An API key that somebody else issued, kept as a profile.

export namespace latchkey::cli {

/// Keeps the key in `file` ("-": standard input) as a session that nothing renews. Flags may name
/// origins, and nothing else. Errors: those of read_secret_file, check_profile and the store;
/// invalid_argument, "profile.needs_name"; conflict, "profile.taken" (a login has that name).
[[nodiscard]] Result<SessionSummary> store_api_key(const Options& options, const std::string& file,
                                                   const ProfileFlags& flags);

}  // namespace latchkey::cli
