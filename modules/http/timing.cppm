// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <cstddef>
export module latchkey.http.timing;

// How long the adapters wait for what, apart from the waiting itself.

export namespace latchkey {

/// From `now` to `deadline`, rounded up so that waiting for it does not end too early; zero if the
/// deadline has passed, for to many functions less than zero means for ever.
[[nodiscard]] std::chrono::milliseconds time_left(
    std::chrono::steady_clock::time_point deadline,
    std::chrono::steady_clock::time_point now) noexcept;

/// How long one of `addresses` may take to accept a connection when `left` is what there is for all
/// of them: an equal share, but two seconds at least (a first packet that got lost is sent again
/// after one), even if that leaves nothing for the last ones. Never more than `left`.
[[nodiscard]] std::chrono::milliseconds share_of(std::chrono::milliseconds left,
                                                 std::size_t addresses) noexcept;

}  // namespace latchkey
