// SPDX-License-Identifier: MIT
module;
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
export module latchkey.test.wire_client;
import latchkey.core;
import latchkey.sandbox;
import latchkey.test.proof_key;

// An OAuth client that does not use the library: raw requests, and proofs made by OpenSSL. Every
// request can be made wrong.

export namespace latchkey::test {

struct WireAnswer {
  int status = 0;
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;

  /// The first value, or "".
  [[nodiscard]] std::string header(std::string_view name) const;
  /// A string member of the JSON body, or "".
  [[nodiscard]] std::string text(std::string_view name) const;
  /// "400 invalid_grant".
  [[nodiscard]] std::string outcome() const;
};

using WireHeaders = std::vector<std::pair<std::string, std::string>>;
using Form = std::map<std::string, std::string>;

/// One request on a connection of its own; `origin` is http://localhost:PORT. A status of 0: no
/// answer.
[[nodiscard]] WireAnswer exchange(const std::string& origin, std::string_view method,
                                  std::string_view target, const WireHeaders& headers = {},
                                  std::string_view body = {}, std::string_view host = {});
[[nodiscard]] std::string encode(const Form& form);

/// The steps of a login, each with its right form to start from.
class WireClient {
 public:
  explicit WireClient(const sandbox::Sandbox& servers,
                      std::string scope = "atproto transition:generic");

  /// The claims of a proof for this request, with the last nonce of its server.
  [[nodiscard]] Members claims(std::string_view method, const std::string& url) const;
  [[nodiscard]] std::string proof(std::string_view method, const std::string& url) const;
  /// A form POST to the authorization server with a right proof (unless `bearer`) and what
  /// `authenticate` adds, once more if it wants a nonce.
  [[nodiscard]] WireAnswer post(const std::string& path, const Form& form);
  /// The same with this very proof, and no second attempt.
  [[nodiscard]] WireAnswer post_with(const std::string& path, const Form& form,
                                     const std::string& proof);
  /// An XRPC call with token and proof, once more if the PDS wants a nonce.
  [[nodiscard]] WireAnswer call(std::string_view method, const std::string& target,
                                const std::string& token, std::string_view body = {},
                                std::string_view type = "application/json");

  [[nodiscard]] Form par_form() const;
  [[nodiscard]] std::string authorize_target(const std::string& request_uri) const;
  /// PAR and the page, as auto-approved: the code.
  [[nodiscard]] std::string code();
  [[nodiscard]] Form code_form(const std::string& code) const;
  [[nodiscard]] Form refresh_form(const std::string& refresh_token) const;
  /// All of it: the token answer.
  [[nodiscard]] WireAnswer log_in();

  const sandbox::Sandbox& servers;
  std::string client_id, redirect_uri, scope, verifier, state;
  std::string login_hint = "alice.test";
  bool bearer = false;        ///< sends no proofs to the authorization server
  WireHeaders extra_headers;  ///< further ones for the authorization server
  /// Adds a client's authentication to a form, anew for each attempt.
  std::function<void(Form&)> authenticate;
  std::int64_t ahead = 0;  ///< seconds that its clock is ahead of the machine's
  ProofKey key;
  std::map<std::string, std::string> nonces;  ///< by origin
};

/// A parameter of the query of a URL, or "".
[[nodiscard]] std::string query_field(std::string_view url, std::string_view name);

}  // namespace latchkey::test
