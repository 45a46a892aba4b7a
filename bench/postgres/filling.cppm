// SPDX-License-Identifier: MIT
module;
#include <cstddef>
#include <cstdint>
#include <string>
export module latchkey.bench.postgres.filling;
import latchkey.bench.postgres.bare;
import latchkey.session;
import latchkey.store.vault;

// Sessions in numbers: each with its own subject and key, with tokens of the size of a signed JWT,
// sealed as a store seals them.

export namespace latchkey::bench {

/// The subject of the session with this number: a DID, in no order.
[[nodiscard]] std::string subject_of(std::uint64_t number);
[[nodiscard]] OAuthSession session_of(std::uint64_t number);

/// Fills an empty latchkey_sessions with the sessions 0 to `count` - 1, by COPY.
void fill(Bare& bare, Sealer& sealer, std::size_t count);

}  // namespace latchkey::bench
