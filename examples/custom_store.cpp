// SPDX-License-Identifier: MIT
// A job that has credentials of its own (RFC 6749 §4.4) and keeps its token where it likes: two
// functions are a store. Here that is a file; it could be a secret manager or a cache.
//
//   custom_store STATE_FILE CLIENT_ID SECRET_FILE TOKEN_ENDPOINT
//
// Runs while the token is good ask nobody. Exit codes: 0 there is a token, 1 failed, 2 usage. http
// is allowed to this machine only.
#include <chrono>
#include <exception>
#include <filesystem>
#include <iostream>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>

import latchkey;

namespace {

using latchkey::Result;
using latchkey::SecretString;

// The first line of a file that only its owner can read; empty if there is no such file.
Result<std::optional<SecretString>> read_secret(const std::filesystem::path& file) {
  const auto files = latchkey::posix_file_system();
  const auto bytes = files->read(file, 64 * 1024);
  if (!bytes) return bytes.error();
  if (!*bytes) return std::nullopt;
  if (auto is_private = files->check_private(file); !is_private) return is_private.error();
  const std::string_view text = latchkey::as_text((*bytes)->expose());
  return SecretString(text.substr(0, text.find('\n')));
}

std::shared_ptr<latchkey::TokenStore> keep_in(const std::filesystem::path& file) {
  return std::make_shared<latchkey::TokenStoreFn>([file] { return read_secret(file); },
                                                  [file](const SecretString& token) {
                                                    return latchkey::replace_file(
                                                        latchkey::posix_file_system(), file,
                                                        latchkey::as_bytes(token.expose()));
                                                  });
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc != 5) {
    return std::cerr << "usage: custom_store STATE_FILE CLIENT_ID SECRET_FILE TOKEN_ENDPOINT\n", 2;
  }
  auto secret = read_secret(std::filesystem::absolute(argv[3])).value();
  if (!secret) return std::cerr << "there is no file " << argv[3] << '\n', 1;
  latchkey::ClientCredentialsRequest request;
  request.token_endpoint = argv[4];
  const auto strategy = latchkey::AccessKeyStrategy::with_client_credentials(
      argv[2], std::move(request), latchkey::client_secret_basic(argv[2], *std::move(secret)),
      {.transport = latchkey::CpprestTransport::open(
                        {.http_rule = latchkey::HttpRule::allow_http_for_loopback})
                        .value(),
       .store = keep_in(std::filesystem::absolute(argv[1]))});

  const auto token = strategy->get_token().value();
  std::cout << "a token, good until "
            << (token.expires_at ? latchkey::format_rfc3339(*token.expires_at) : "it is refused")
            << '\n';
  return 0;
} catch (const std::exception& e) {
  std::cerr << "custom_store: " << e.what() << '\n';
  return 1;
}
