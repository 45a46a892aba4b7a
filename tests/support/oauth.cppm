// SPDX-License-Identifier: MIT
module;
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
export module latchkey.test.oauth;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.secret;
import latchkey.http;
import latchkey.oauth.client_auth;
import latchkey.session;

// What the tests of latchkey.oauth share: answers made up, requests taken apart, files of test
// data.

export namespace latchkey::test {

/// An answer with one header, its content type; an empty type leaves it out.
HttpResponse typed_answer(int status, std::string_view body,
                          std::string_view content_type = "application/json") {
  HttpResponse response;
  response.status = status;
  if (!content_type.empty()) response.headers.add("Content-Type", content_type).value();
  response.body = SecretString(body);
  return response;
}

/// The form fields of a request's body.
FormFields form_of(const HttpRequest& request) {
  return form_decode(request.body.expose()).value();
}

/// The value of a field that must be there exactly once.
std::string field(const HttpRequest& request, std::string_view name) {
  const auto fields = form_of(request);
  const auto* value = form_value(fields, name).value();
  if (value == nullptr) throw std::runtime_error("no field " + std::string(name));
  return *value;
}

std::vector<std::string> field_names(const HttpRequest& request) {
  std::vector<std::string> names;
  for (auto& [name, value] : form_of(request)) names.push_back(name);
  return names;
}

/// The content of a file: LATCHKEY_TEST_DATA "/…".
std::string read_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) throw std::runtime_error("cannot read " + path);
  return {std::istreambuf_iterator<char>(in), {}};
}

/// A client whose key is gone: apply() fails.
class KeylessClient final : public ClientAuthenticator {
 public:
  ClientAuthMethod method() const noexcept override { return ClientAuthMethod::private_key_jwt; }
  std::string kid() const override { return "gone"; }
  Result<void> apply(ClientRequest&, std::string_view, std::string_view) override {
    return make_error(ErrorCode::invalid_client, "client.key_gone", "no key");
  }
};

/// A client with an assertion that shows what it was asked for, and how often.
class AssertingClient final : public ClientAuthenticator {
 public:
  ClientAuthMethod method() const noexcept override { return ClientAuthMethod::private_key_jwt; }
  std::string kid() const override { return "newest"; }
  Result<void> apply(ClientRequest& request, std::string_view issuer,
                     std::string_view kid) override {
    request.form.add("client_id", "https://app.test.dev/client.json")
        .add("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
        .add("client_assertion",
             std::string(issuer) + "|" + std::string(kid) + "|" + std::to_string(++count_));
    return {};
  }

 private:
  int count_ = 0;
};

}  // namespace latchkey::test
