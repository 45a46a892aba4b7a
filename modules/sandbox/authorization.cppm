// SPDX-License-Identifier: MIT
module;
#include <list>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
export module latchkey.sandbox.authorization;
import latchkey.core.crypto;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.time;
import latchkey.sandbox.authorization_request;
import latchkey.sandbox.client_auth;
import latchkey.sandbox.tokens;

// From a request, pushed or not, to a code, and from a code to tokens.

export namespace latchkey::sandbox {

/// Not thread-safe.
class AuthorizationDesk {
 public:
  AuthorizationDesk(Random& random, const Clock& clock, TokenLedger& ledger, std::string issuer);

  /// A pushed request (RFC 9126). Errors as of read_redirect and read_request, "par.<what>".
  [[nodiscard]] Result<const AuthorizationRequest*> push(const FormFields& form, Caller caller);
  /// The same for a request that stands in the address of the page. `redirect_uri`: as of
  /// read_redirect. Errors as of read_request, "authorize.<what>".
  [[nodiscard]] Result<AuthorizationRequest*> open(const FormFields& form, Caller caller,
                                                   std::string redirect_uri);
  /// Null if there is none, it is over, or it is another client's.
  [[nodiscard]] AuthorizationRequest* find(std::string_view request_uri,
                                           std::string_view client_id);
  /// The redirect with a code. The request is used up by this and by deny().
  [[nodiscard]] std::string approve(AuthorizationRequest& request, std::string_view did);
  /// The redirect with an error (RFC 6749 §4.1.2.1).
  [[nodiscard]] std::string deny(AuthorizationRequest& request, std::string_view error,
                                 std::string_view why);
  /// The redirect of a request that was refused before it was one.
  [[nodiscard]] std::string refuse(const std::string& redirect_uri, std::string_view state,
                                   std::string_view error, std::string_view why) const;

  /// A code for tokens; whatever is wrong uses the code up. Errors: invalid_grant, "code.unknown",
  /// "code.replayed" (ends the session), "code.expired", "code.wrong_client",
  /// "code.wrong_client_key", "code.wrong_key", "code.redirect_uri", "code.verifier";
  /// invalid_request, "token.<field>_missing".
  [[nodiscard]] Result<IssuedTokens> exchange(const FormFields& form, const Caller& caller);

 private:
  struct Code {
    AuthorizationRequest request;
    std::string did;
    TimePoint auth_time;
    bool used = false;
    std::optional<SessionId> session;
  };
  [[nodiscard]] Result<void> check_code(const Code& code, const Caller& caller,
                                        std::string_view redirect_uri,
                                        std::string_view verifier) const;
  void forget_old();
  AuthorizationRequest& keep(AuthorizationRequest request);
  void forget(const AuthorizationRequest& request);

  Random& random_;
  const Clock& clock_;
  TokenLedger& ledger_;
  std::string issuer_;
  std::list<AuthorizationRequest> requests_;
  std::unordered_map<std::string, Code> codes_;  // by their hash
};

}  // namespace latchkey::sandbox
