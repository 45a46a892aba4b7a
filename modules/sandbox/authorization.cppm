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
import latchkey.oauth.client_metadata;
import latchkey.sandbox.tokens;

// From a pushed request to a code, and from a code to tokens.

export namespace latchkey::sandbox {

/// A pushed request (RFC 9126) that waits for the account's owner.
struct AuthorizationRequest {
  std::string request_uri;
  ClientIdentity client;
  std::string redirect_uri;
  std::string scope;  ///< what of it is known here
  std::string state;
  std::string code_challenge;
  std::string login_hint;
  std::string jkt;
  TimePoint expires_at;
  std::string browser;     ///< cookie of the browser that opened it first; empty: none has
  std::string form_token;  ///< in the page's form, so that no other page can send it
  unsigned failures = 0;   ///< wrong passwords
};

/// A loopback client by its client_id, which must not authenticate itself.
/// Errors: invalid_client, "<step>.client_id", "<step>.client_authentication";
/// invalid_request, "<step>.client_id_missing".
[[nodiscard]] Result<ClientIdentity> read_client(const FormFields& form, std::string_view step);

/// Not thread-safe.
class AuthorizationDesk {
 public:
  AuthorizationDesk(Random& random, const Clock& clock, TokenLedger& ledger, std::string issuer);

  /// `jkt`: the key whose proof came with the request. Errors: invalid_client,
  /// unsupported_response_type, invalid_scope and invalid_request, "par.<what>".
  [[nodiscard]] Result<const AuthorizationRequest*> push(const FormFields& form,
                                                         std::string_view jkt);
  /// Null if there is none, it is over, or it is another client's.
  [[nodiscard]] AuthorizationRequest* find(std::string_view request_uri,
                                           std::string_view client_id);
  /// The redirect with a code. The request is used up by this and by deny().
  [[nodiscard]] std::string approve(AuthorizationRequest& request, std::string_view did);
  /// The redirect with error=access_denied.
  [[nodiscard]] std::string deny(AuthorizationRequest& request, std::string_view why);

  /// A code for tokens; whatever is wrong uses the code up. Errors: invalid_grant, "code.unknown",
  /// "code.replayed" (ends the session), "code.expired", "code.wrong_client", "code.wrong_key",
  /// "code.redirect_uri", "code.verifier"; invalid_request, "token.<field>_missing".
  [[nodiscard]] Result<IssuedTokens> exchange(const FormFields& form, std::string_view client_id,
                                              std::string_view jkt);

 private:
  struct Code {
    AuthorizationRequest request;
    std::string did;
    TimePoint expires_at;
    bool used = false;
    std::optional<SessionId> session;
  };
  void forget_old();
  [[nodiscard]] std::string redirect(const AuthorizationRequest& request,
                                     const FormFields& fields) const;

  Random& random_;
  const Clock& clock_;
  TokenLedger& ledger_;
  std::string issuer_;
  std::list<AuthorizationRequest> requests_;
  std::unordered_map<std::string, Code> codes_;  // by their hash
};

}  // namespace latchkey::sandbox
