// SPDX-License-Identifier: MIT
module;
#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
module latchkey.oauth.client_secret;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.secret;
import latchkey.http;
import latchkey.oauth.client_auth;
import latchkey.session;

namespace latchkey {
namespace {

// One form-encoded value: a form with a nameless field, without its "=".
SecretString form_value_of(std::string_view text) {
  SecretForm form;
  form.add("", text);
  return SecretString(std::move(form).finish().expose().substr(1));
}

SecretString base64_secret(std::span<const unsigned char> bytes) {
  SecretBytes out((bytes.size() + 2) / 3 * 4);
  const auto text = out.mutable_span();
  base64url_encode_to(bytes, reinterpret_cast<char*>(text.data()));
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (i >= base64url_size(bytes.size())) text[i] = '=';
    if (text[i] == '-') text[i] = '+';
    if (text[i] == '_') text[i] = '/';
  }
  return SecretString(std::move(out));
}

/// What both have: an id and a secret.
class SecretClient : public ClientAuthenticator {
 public:
  SecretClient(std::string client_id, SecretString secret)
      : client_id_(std::move(client_id)), secret_(std::move(secret)) {}
  std::string kid() const override { return {}; }
  Result<void> apply(ClientRequest& request, std::string_view, std::string_view) override {
    if (secret_.empty()) {
      return make_error(ErrorCode::invalid_client, "client.no_secret",
                        "cannot authenticate the client " + printable(client_id_, 200) +
                            ": its secret is empty; give the one that it was registered with");
    }
    add_to(request);
    return {};
  }

 protected:
  virtual void add_to(ClientRequest& request) const = 0;
  const std::string client_id_;
  const SecretString secret_;
};

class BasicClient final : public SecretClient {
 public:
  using SecretClient::SecretClient;
  ClientAuthMethod method() const noexcept override {
    return ClientAuthMethod::client_secret_basic;
  }

 private:
  void add_to(ClientRequest& request) const override {
    SecretBuilder pair;
    pair.append(form_value_of(client_id_).expose())
        .append(':')
        .append(form_value_of(secret_.expose()).expose());
    const SecretString text = std::move(pair).finish();
    request.authorization =
        Authorization{Authorization::Scheme::basic, base64_secret(as_bytes(text.expose()))};
  }
};

class PostClient final : public SecretClient {
 public:
  using SecretClient::SecretClient;
  ClientAuthMethod method() const noexcept override { return ClientAuthMethod::client_secret_post; }

 private:
  void add_to(ClientRequest& request) const override {
    request.form.add("client_id", client_id_).add("client_secret", secret_.expose());
  }
};

}  // namespace

std::shared_ptr<ClientAuthenticator> client_secret_basic(std::string client_id,
                                                         SecretString secret) {
  return std::make_shared<BasicClient>(std::move(client_id), std::move(secret));
}

std::shared_ptr<ClientAuthenticator> client_secret_post(std::string client_id,
                                                        SecretString secret) {
  return std::make_shared<PostClient>(std::move(client_id), std::move(secret));
}

}  // namespace latchkey
