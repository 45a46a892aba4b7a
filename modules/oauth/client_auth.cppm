// SPDX-License-Identifier: MIT
module;
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
export module latchkey.oauth.client_auth;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.url;
import latchkey.http;
import latchkey.session;

// How a request proves which client sends it (RFC 6749 §2.3). A new proof for each attempt: apply()
// is called again when a request is built again, and what is good only once is made again when a
// transport repeats one.

export namespace latchkey {

/// A POST to the token endpoint or one of its neighbours, in the making.
struct ClientRequest {
  Url url;
  SecretForm form{};
  std::optional<Authorization> authorization{};  ///< for a method that uses the header
  /// Adds the fields that are good for one attempt only. It is called for each one, also long after
  /// apply() has returned, and so must own what it uses.
  std::function<Result<void>(SecretForm&)> add_single_use{};
};

/// Thread-safe.
class ClientAuthenticator {
 public:
  ClientAuthenticator() = default;
  ClientAuthenticator(const ClientAuthenticator&) = delete;
  ClientAuthenticator& operator=(const ClientAuthenticator&) = delete;
  virtual ~ClientAuthenticator();

  [[nodiscard]] virtual ClientAuthMethod method() const noexcept = 0;
  /// The key that a new session will be bound to; empty unless private_key_jwt.
  [[nodiscard]] virtual std::string kid() const = 0;
  /// Adds whatever the method needs to the request: client_id and more to the form, or the
  /// Authorization header, which then names the client alone. `issuer` is the audience of an
  /// assertion, `kid` the session's own key. Error: invalid_client, "client.key_gone" if that key
  /// is no longer there, "client.no_secret" if there is no secret to send.
  [[nodiscard]] virtual Result<void> apply(ClientRequest& request, std::string_view issuer,
                                           std::string_view kid) = 0;
  /// True if `jkt` is the RFC 7638 thumbprint of a key of the client's own, to which no session may
  /// be bound (C1.12).
  [[nodiscard]] virtual bool owns_key(std::string_view jkt) const;
};

/// A public client: client_id alone.
[[nodiscard]] std::shared_ptr<ClientAuthenticator> public_client(std::string client_id);

/// The POST that `client` sends: its proof is added last, and HttpRequest::renew_body makes the
/// next one if a proof is good only once. Errors: those of apply().
[[nodiscard]] Result<HttpRequest> finish_request(ClientRequest request, ClientAuthenticator& client,
                                                 std::string_view issuer, std::string_view kid);

/// The URL of an endpoint that requests with credentials go to: https, or http to this machine,
/// without a fragment. Errors: invalid_argument, "<step>.no_endpoint" if the text is empty;
/// invalid_url, "<step>.endpoint_fragment"; and those of Url::parse and check_scheme.
[[nodiscard]] Result<Url> parse_endpoint(std::string_view endpoint, std::string_view step);

}  // namespace latchkey
