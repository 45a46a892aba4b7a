// SPDX-License-Identifier: MIT
// A token that another program keeps fresh in a file (an orchestrator's projected token, an agent's
// output), used like every other kind: code that calls an API takes an AuthStrategy.
//
//   custom_strategy TOKEN_FILE URL
//
// The body of the answer goes to standard output. Exit codes: 0 a 2xx answer, 1 anything else, 2
// usage. http is allowed to this machine only.
#include <exception>
#include <filesystem>
#include <iostream>
#include <memory>
#include <string_view>
#include <utility>

import latchkey;

namespace {

// Thread-safe, as every strategy must be: it holds nothing that changes.
class TokenFileStrategy final : public latchkey::AuthStrategy {
 public:
  explicit TokenFileStrategy(std::filesystem::path file) : file_(std::move(file)) {}

  // Reads the file each time. A token that a server has refused is not handed out again: until the
  // other program has written a new one, there is none.
  latchkey::Result<latchkey::AuthToken> get_token(const latchkey::TokenOptions& options) override {
    const auto bytes = latchkey::posix_file_system()->read(file_, 64 * 1024);
    if (!bytes) return bytes.error();
    if (!*bytes) return none("there is no token in " + file_.native() + " yet");
    std::string_view text = latchkey::as_text((*bytes)->expose());
    text = text.substr(0, text.find_first_of("\r\n"));
    latchkey::AuthToken token{.access_token = latchkey::SecretString(text)};
    token.fingerprint = latchkey::token_fingerprint(token.access_token);
    if (token.fingerprint == options.rejected) return none("the token was refused");
    return token;
  }

 private:
  static latchkey::Error none(std::string message) {
    return latchkey::make_error(latchkey::ErrorCode::login_required, "token_file.none",
                                std::move(message));
  }

  const std::filesystem::path file_;
};

}  // namespace

int main(int argc, char** argv) try {
  if (argc != 3) return std::cerr << "usage: custom_strategy TOKEN_FILE URL\n", 2;
  TokenFileStrategy strategy(std::filesystem::absolute(argv[1]));
  const std::shared_ptr<latchkey::HttpTransport> transport =
      latchkey::CpprestTransport::open({.http_rule = latchkey::HttpRule::allow_http_for_loopback})
          .value();

  // Once more with the token of then if the server refuses the first.
  const auto request = latchkey::json_get(latchkey::Url::parse(argv[2]).value());
  const auto answer = latchkey::send_authorized(strategy, transport, request,
                                                latchkey::Repeat::safe, latchkey::resource_limits())
                          .value();
  std::cerr << "status " << answer.status << '\n';
  std::cout << answer.body.expose() << '\n';
  return answer.status >= 200 && answer.status < 300 ? 0 : 1;
} catch (const std::exception& e) {
  std::cerr << "custom_strategy: " << e.what() << '\n';
  return 1;
}
