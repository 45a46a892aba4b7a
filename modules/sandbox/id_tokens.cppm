// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>
export module latchkey.sandbox.id_tokens;
import latchkey.core.error;
import latchkey.core.time;
import latchkey.sandbox.jose;
import latchkey.sandbox.storage;
import latchkey.sandbox.tokens;

// OpenID Connect's id tokens (Core §2) and the keys that sign them.

export namespace latchkey::sandbox {

/// One current key for each algorithm, made when it is first needed: an RSA key takes its time.
/// Not thread-safe.
class SigningKeys {
 public:
  explicit SigningKeys(const Clock& clock) : clock_(clock) {}
  /// Reads what is kept, and keeps everything from now on. Errors: those of Storage; corrupt,
  /// "signing_key.…".
  [[nodiscard]] Result<void> restore(Storage& storage);
  /// Error: invalid_key, "sandbox.key_not_generated".
  [[nodiscard]] Result<const SigningKey*> current(JwsAlg alg);
  /// New keys sign from now on. The old ones stay in the JWKS for `keep_old`; zero: they are gone
  /// at once, as after a theft.
  void rotate(std::chrono::seconds keep_old);
  /// The JWK Set (RFC 7517 §5), with a current key for each algorithm. Error as of current().
  [[nodiscard]] Result<std::string> jwks();

 private:
  struct Held {
    SigningKey key;
    std::optional<TimePoint> until{};  // nothing: it signs; else it is only published until then
  };
  [[nodiscard]] static Result<Held> read(const KeptRow& row);
  void keep(const Held& held);
  void forget_old();

  const Clock& clock_;
  Storage* storage_ = nullptr;  // null: in memory only
  std::vector<Held> keys_;
};

/// The id token for tokens that were just issued; `nonce` stands in it unless empty. Its one
/// audience is the client, so it needs no azp. Errors as of SigningKeys::current and
/// SigningKey::sign.
[[nodiscard]] Result<std::string> make_id_token(SigningKeys& keys, JwsAlg alg,
                                                std::string_view issuer, const IssuedTokens& issued,
                                                std::string_view nonce, TimePoint now);

}  // namespace latchkey::sandbox
