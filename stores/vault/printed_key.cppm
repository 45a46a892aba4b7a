// SPDX-License-Identifier: MIT
module;
#include <string_view>
export module latchkey.store.vault.printed_key;
import latchkey.core.error;
import latchkey.core.secret;

// A master key as a command prints it.

export namespace latchkey {

/// 32 bytes as base64 or base64url, padded or not, or as 64 hexadecimal digits; white space before
/// and after is ignored. Error: not_a_key(program).
[[nodiscard]] Result<SecretBytes> parse_printed_key(const SecretBytes& printed,
                                                    std::string_view program);

/// invalid_key, "vault.command_output"; shows nothing of what was printed.
[[nodiscard]] Error not_a_key(std::string_view program);

}  // namespace latchkey
