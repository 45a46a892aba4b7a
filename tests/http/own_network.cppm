// SPDX-License-Identifier: MIT
module;
#include <string_view>
export module latchkey.test.own_network;

// A network for this program alone: nothing that a test connects to can leave the machine, and
// loopback has an address of the public internet too, so that a test can stand there as a server.
// Whoever imports this gets it before main().

export namespace latchkey::test {

/// Addresses of the public internet (to is_public_address) that are this program's own.
inline constexpr std::string_view kPublicV4 = "1.2.3.4";

/// False where the system does not let a program have a network of its own: there a test that needs
/// kPublicV4 is skipped.
[[nodiscard]] bool has_own_network();

}  // namespace latchkey::test
