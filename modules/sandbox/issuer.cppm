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
import latchkey.sandbox.message;
import latchkey.sandbox.proofs;
import latchkey.sandbox.tokens;

// The authorization server: its metadata, pushed requests, the page, tokens and revocation.

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

 private:
  enum class Endpoint { pushed_request, token, revocation };
  [[nodiscard]] Response metadata() const;
  [[nodiscard]] Response with_proof(const Request& request, Endpoint endpoint);
  [[nodiscard]] Result<Response> answer(Endpoint endpoint, const FormFields& form,
                                        std::string_view jkt);
  [[nodiscard]] Result<Response> tokens(const FormFields& form, std::string_view jkt);
  [[nodiscard]] Result<Response> revoke(const FormFields& form, std::string_view jkt);
  [[nodiscard]] Response open_page(const Request& request);
  [[nodiscard]] Response decide(const Request& request);
  [[nodiscard]] Response page(const AuthorizationRequest& request, std::string_view identifier,
                              std::string_view problem, int status) const;

  IssuerOptions options_;
  Random& random_;
  Accounts& accounts_;
  TokenLedger& ledger_;
  AuthorizationDesk desk_;
  ProofGate proofs_;
};

}  // namespace latchkey::sandbox
