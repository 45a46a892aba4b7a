// SPDX-License-Identifier: MIT
module;
#include <memory>
#include <optional>
#include <string>
#include <string_view>
export module latchkey.atproto.client_identity;
import latchkey.core.error;
import latchkey.loopback.receiver;
import latchkey.oauth.client_auth;
import latchkey.oauth.client_document;
import latchkey.oauth.client_keys;
import latchkey.oauth.client_metadata;
import latchkey.oauth.private_key_jwt;

// Which client an AtprotoClient is. docs/clients.md says which form is for whom.

export namespace latchkey {

/// Made by the functions below, which never fail: what is wrong is reported by
/// AtprotoClient::create. A value; copies share the keys.
class AtprotoClientIdentity {
 public:
  /// No client: create() refuses it with invalid_argument, "client.missing".
  AtprotoClientIdentity();

  /// Who the client is, or what is wrong with it.
  [[nodiscard]] const Result<ClientIdentity>& description() const noexcept { return description_; }
  /// Null for a public client.
  [[nodiscard]] const std::shared_ptr<ClientKeys>& keys() const noexcept { return keys_; }
  /// How its requests prove who sends them. Only for a description without an error.
  [[nodiscard]] std::shared_ptr<ClientAuthenticator> authenticator(AssertionContext context) const;

  /// Use the functions below.
  explicit AtprotoClientIdentity(Result<ClientIdentity> description,
                                 std::shared_ptr<ClientKeys> keys = {});

 private:
  Result<ClientIdentity> description_;
  std::shared_ptr<ClientKeys> keys_;
};

/// A public client that needs no hosted document (C1.2): for tools and desktop programs on the
/// user's own machine. `scope` must contain "atproto". create() gives the errors of
/// loopback_client_identity.
[[nodiscard]] AtprotoClientIdentity loopback_client(std::string_view scope,
                                                    std::string_view redirect_path = "/callback");
/// The loopback client that a stored session belongs to. create() gives the errors of
/// parse_loopback_client_id.
[[nodiscard]] AtprotoClientIdentity loopback_client_of(std::string_view client_id);
/// A public client whose metadata document is at its client_id. create() gives invalid_metadata,
/// "client.document" if the document breaks a rule (see latchkey.oauth.client_lint), and
/// "client.not_public" if it names another method than "none".
[[nodiscard]] AtprotoClientIdentity hosted_client(const ClientDocument& document);
/// A client that authenticates with its keys (private_key_jwt). create() gives invalid_argument,
/// "client.no_keys" for null; invalid_metadata, "client.document", "client.not_confidential" if the
/// document names another method, and "client.key_not_published" if its `jwks` lacks one of `keys`:
/// another key under the same kid is not that one.
[[nodiscard]] AtprotoClientIdentity confidential_client(const ClientDocument& document,
                                                        std::shared_ptr<ClientKeys> keys);
/// A client that has logged in before, to use and end its sessions: the document was held against
/// the rules then, and is not again, nor compared with the keys that there are now. `keys` null: a
/// public client.
[[nodiscard]] AtprotoClientIdentity remembered_client(const ClientDocument& document,
                                                      std::shared_ptr<ClientKeys> keys);

/// Where a login on this machine listens: at the first redirect of the client that is http on
/// 127.0.0.1, or else on [::1], which not every machine has, and has no query; at its port if it
/// has one and else at any. Nothing if there
/// is none: such a client's login comes back elsewhere.
[[nodiscard]] std::optional<ReceiverOptions> receiver_of(const ClientIdentity& client);

}  // namespace latchkey
