// SPDX-License-Identifier: MIT
module;
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>
export module latchkey.oauth.client_keys;
import latchkey.core.crypto;
import latchkey.core.error;
import latchkey.core.secret;
import latchkey.dpop.p256;

// The keys of a confidential client: with one of them it signs the assertions that prove who it is
// (RFC 7523), and their public halves stand in its metadata document. They are not the keys of
// sessions, and must not be (C1.12).
//
// Rotation: add a key, publish, and from then on new sessions are bound to it, while old ones go on
// with theirs; remove a key when no session needs it any more, or at once if it was stolen.

export namespace latchkey {

/// P-256 private keys with their key ids, the newest first. Thread-safe.
class ClientKeys {
 public:
  /// Reads a private JWK Set (RFC 7517 §5), in its order: the first key is the newest. Each key has
  /// a `kid` of its own; `use` may be "sig", `alg` may be "ES256". Errors: invalid_key,
  /// "client_keys.not_json", "client_keys.none" (no keys), "client_keys.kid_missing",
  /// "client_keys.kid_twice", "client_keys.kid" (over 128 characters or not printable ASCII),
  /// "client_keys.use"; those of P256DpopProver::from_private_jwk.
  [[nodiscard]] static Result<std::shared_ptr<ClientKeys>> from_jwk_set(
      const SecretString& jwk_set, std::shared_ptr<Random> random);
  /// One key from a PKCS#8 or SEC1 file, PEM or DER. `kid` empty: its RFC 7638 thumbprint. Errors:
  /// those of P256DpopProver::from_pkcs8 and from_sec1, and "client_keys.kid".
  [[nodiscard]] static Result<std::shared_ptr<ClientKeys>> from_key_file(
      const SecretBytes& file, std::string_view kid, std::shared_ptr<Random> random);
  /// One new key, with its thumbprint as kid. Errors: those of P256DpopProver::generate.
  [[nodiscard]] static Result<std::shared_ptr<ClientKeys>> generate(std::shared_ptr<Random> random);

  /// Makes a key and puts it in front; its kid, which is its thumbprint. Keep private_jwk_set() and
  /// publish public_jwk_set() before the next login. Errors: those of P256DpopProver::generate.
  [[nodiscard]] Result<std::string> add_new();
  /// From now on nothing is signed with it: sessions bound to it can't be refreshed or revoked any
  /// more. Errors: invalid_argument, "client_keys.unknown", "client_keys.last".
  [[nodiscard]] Result<void> remove(std::string_view kid);

  /// The kid of the key for new sessions.
  [[nodiscard]] std::string newest() const;
  /// Newest first.
  [[nodiscard]] std::vector<std::string> kids() const;
  [[nodiscard]] bool contains(std::string_view kid) const;
  /// Their RFC 7638 thumbprints, newest first.
  [[nodiscard]] std::vector<std::string> thumbprints() const;
  /// What is published: {"keys":[…]} with kid, use and alg, without private members.
  [[nodiscard]] std::string public_jwk_set() const;
  /// What is kept, readable by from_jwk_set().
  [[nodiscard]] SecretString private_jwk_set() const;

  /// A JWS of `claims` in compact form (RFC 7515), with `alg` and `kid` in its header. Errors:
  /// invalid_client, "client.key_gone" if there is no such key; invalid_key, "dpop.sign_failed".
  [[nodiscard]] Result<SecretString> sign(std::string_view kid, std::string_view claims) const;

  struct Key {
    std::string kid;
    std::shared_ptr<P256DpopProver> key;
  };
  /// Use the factory functions.
  ClientKeys(std::vector<Key> keys, std::shared_ptr<Random> random);

 private:
  [[nodiscard]] std::vector<Key> copy() const;

  mutable std::mutex mutex_;
  std::vector<Key> keys_;
  std::shared_ptr<Random> random_;
};

}  // namespace latchkey
