// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <memory>
export module latchkey.store.vault.keychain;
import latchkey.store.vault.key_keeper;

// The operating system's keychain (the Secret Service of GNOME, KDE and others) through libsecret.
// In a target of its own, latchkey::keychain, for its library.

export namespace latchkey {

struct KeychainOptions {
  /// The most that a call takes, but for a second to wind up.
  std::chrono::milliseconds patience{5000};
};

/// Uses the session bus that the environment names (DBUS_SESSION_BUS_ADDRESS, or else
/// XDG_RUNTIME_DIR/bus) and never starts one. Never unlocks and never prompts: a prompt that nobody
/// answers could not be ended by us, so a locked keychain is the error "keychain.locked". Keys go
/// into the default collection. A key crosses the bus encrypted. Each call has a thread of its own;
/// if the keychain hangs where it cannot be interrupted, that thread is left to itself, and the
/// call returns. GIO's connection to the session bus, if the program shares it, no longer ends the
/// program when the bus goes away. See KeyKeeper for the errors, and docs/formats.md for what an
/// item looks like.
[[nodiscard]] std::shared_ptr<KeyKeeper> secret_service_keychain(KeychainOptions options = {});

}  // namespace latchkey
