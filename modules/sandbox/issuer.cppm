// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <memory>
#include <string>
#include <string_view>
export module latchkey.sandbox.issuer;
import latchkey.core.crypto;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.time;
import latchkey.sandbox.accounts;
import latchkey.sandbox.authorization;
import latchkey.sandbox.client_auth;
import latchkey.sandbox.clients;
import latchkey.sandbox.device;
import latchkey.sandbox.front;
import latchkey.sandbox.id_tokens;
import latchkey.sandbox.message;
import latchkey.sandbox.proofs;
import latchkey.sandbox.tokens;

// The authorization server, which is an OpenID provider too: its documents, pushed requests, the
// pages, tokens, devices, userinfo and revocation.

export namespace latchkey::sandbox {

struct IssuerOptions {
  std::string issuer;
  std::string pds;
  std::chrono::milliseconds nonce_rotation{60'000};
};

/// Not thread-safe. Holds what it is given by reference.
class Issuer {
 public:
  Issuer(IssuerOptions options, std::shared_ptr<Clock> clock, Random& random, Accounts& accounts,
         TokenLedger& ledger);
  [[nodiscard]] Response handle(const Request& request);
  /// use_dpop_nonce with a nonce that is not good.
  [[nodiscard]] Response ask_for_bad_nonce();
  void set_nonce_rotation(std::chrono::milliseconds rotation) {
    proofs_.set_nonce_rotation(rotation);
  }

  [[nodiscard]] Clients& clients() noexcept { return clients_; }
  [[nodiscard]] DeviceDesk& devices() noexcept { return devices_; }
  [[nodiscard]] SigningKeys& signing_keys() noexcept { return keys_; }

 private:
  enum class Endpoint { pushed_request, token, revocation, device };
  [[nodiscard]] Response documents(const Request& request);
  [[nodiscard]] Response authenticated(const Request& request, Endpoint endpoint);
  [[nodiscard]] Result<Caller> caller_of(const Request& request, const FormFields& form,
                                         Endpoint endpoint);
  [[nodiscard]] static std::string_view step_of(Endpoint endpoint) noexcept;
  [[nodiscard]] Result<Response> answer(Endpoint endpoint, const FormFields& form,
                                        const Caller& caller);
  [[nodiscard]] Result<Response> push(const FormFields& form, const Caller& caller);
  [[nodiscard]] Result<Response> tokens(const FormFields& form, const Caller& caller);
  [[nodiscard]] Result<Response> token_answer(const IssuedTokens& issued, const Caller& caller,
                                              std::string_view nonce);
  [[nodiscard]] Result<Response> revoke(const FormFields& form, const Caller& caller);
  [[nodiscard]] Result<Response> start_device(const FormFields& form, const Caller& caller);

  IssuerOptions options_;
  std::shared_ptr<Clock> clock_;
  Accounts& accounts_;
  TokenLedger& ledger_;
  Clients clients_;
  ClientGate gate_;
  AuthorizationDesk desk_;
  DeviceDesk devices_;
  Front front_;
  SigningKeys keys_;
  ProofGate proofs_;
};

}  // namespace latchkey::sandbox
