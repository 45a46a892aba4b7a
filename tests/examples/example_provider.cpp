// SPDX-License-Identifier: MIT
module;
#include <cstddef>
#include <iterator>
#include <memory>
#include <string>
#include <utility>
#include <vector>
module latchkey.test.example_provider;
import latchkey.sandbox;
import latchkey.test.program;

namespace latchkey::test {

Provider::Provider(const std::string& redirect_uri) : servers_(sandbox::Sandbox::start().value()) {
  static_cast<void>(servers_->add_account("alice.test", {}, true).value());
  servers_
      ->add_client({.metadata = R"({"client_id":")" + std::string(kPublicClient) +
                                R"(","token_endpoint_auth_method":"none","redirect_uris":[")" +
                                redirect_uri +
                                R"("],"grant_types":["authorization_code","refresh_token",)"
                                R"("urn:ietf:params:oauth:grant-type:device_code"]})"})
      .value();
}

std::size_t Provider::token_requests() const {
  std::size_t count = 0;
  for (const auto& request : servers_->requests()) count += request.path == "/oauth/token";
  return count;
}

std::vector<std::string> Provider::words(std::vector<std::string> program,
                                         std::vector<std::string> variables) const {
  std::vector<std::string> all{"/usr/bin/env", "LATCHKEY_ALLOW_HTTP_FOR_LOOPBACK=1",
                               "BROWSER=" LATCHKEY_VISITOR};
  const auto append = [&all](std::vector<std::string>& more) {
    all.insert(all.end(), std::make_move_iterator(more.begin()),
               std::make_move_iterator(more.end()));
  };
  append(variables);
  append(program);
  return all;
}

}  // namespace latchkey::test
