// SPDX-License-Identifier: MIT
module;
#include <memory>
#include <string>
#include <string_view>
export module latchkey.sandbox.client_auth;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.time;
import latchkey.dpop.replay;
import latchkey.sandbox.clients;
import latchkey.sandbox.message;

// Which client a request is from, and whether it is (RFC 6749 §2.3, RFC 7523 §3, the ATProto
// profile's client assertions).

export namespace latchkey::sandbox {

/// The sender of a request to one of the authorization server's endpoints.
struct Caller {
  std::shared_ptr<const Client> client;
  std::string key;  ///< thumbprint of the key that signed its assertion; empty: it sent none
  std::string jkt;  ///< of the key whose DPoP proof came with it; empty: none
  [[nodiscard]] const std::string& client_id() const noexcept { return client->identity.client_id; }
};

/// Not thread-safe. Holds the clients by reference.
class ClientGate {
 public:
  /// `issuer`: the only audience that an assertion may have.
  ClientGate(const Clients& clients, std::shared_ptr<Clock> clock, std::string issuer);

  /// The client that the request names in its form or by HTTP Basic, believed. Null: none that is
  /// known here.
  [[nodiscard]] std::shared_ptr<const Client> named(const Request& request,
                                                    const FormFields& form) const;
  /// The same, authenticated by its registered method and no other. A good assertion is used up.
  /// Errors: invalid_request, "<step>.client_id_missing", "<step>.client_id_differs";
  /// invalid_client, "<step>.client_id", "<step>.client_authentication" (another method than the
  /// registered one, or several), "<step>.client_secret", "<step>.assertion_type",
  /// "<step>.assertion_malformed", "<step>.assertion_alg", "<step>.assertion_crit",
  /// "<step>.assertion_kid", "<step>.assertion_signature", "<step>.assertion_claims",
  /// "<step>.assertion_iss", "<step>.assertion_aud", "<step>.assertion_expired",
  /// "<step>.assertion_future", "<step>.assertion_lifetime" (over 60 s),
  /// "<step>.assertion_dpop_key" (its key also made the DPoP proof), "<step>.assertion_replayed";
  /// temporarily_unavailable, "<step>.assertion_cache_full".
  [[nodiscard]] Result<Caller> authenticate(const Request& request, const FormFields& form,
                                            std::string_view jkt, std::string_view step);

 private:
  [[nodiscard]] Result<std::string> check_assertion(const Client& client, const FormFields& form,
                                                    std::string_view jkt, std::string_view step);

  const Clients& clients_;
  std::shared_ptr<Clock> clock_;
  std::string issuer_;
  ReplayCache seen_;
};

}  // namespace latchkey::sandbox
