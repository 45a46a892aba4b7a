// SPDX-License-Identifier: MIT
// A token that is good whenever it is needed: the first run logs in, later ones refresh when less
// than five minutes are left, however many of them run at once.
//
//   refresh DIR ISSUER CLIENT_ID
//
// The session is kept in DIR, sealed. Exit codes: 0 there is a good token, 1 failed, 2 usage, 3 a
// person must log in again. Development servers on this machine:
// LATCHKEY_ALLOW_HTTP_FOR_LOOPBACK=1.
#include <chrono>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <iostream>
#include <memory>

import latchkey;

namespace {

latchkey::OAuthClient open_client(const std::filesystem::path& folder, const char* issuer,
                                  const char* client_id) {
  const auto rule = std::getenv("LATCHKEY_ALLOW_HTTP_FOR_LOOPBACK") != nullptr
                        ? latchkey::HttpRule::allow_http_for_loopback
                        : latchkey::HttpRule::https_only;
  auto key = latchkey::MasterKey::key_file(folder / "config" / "vault.key");
  auto vault = latchkey::FileKeyVault::open(folder / "vault", key).value();
  auto store =
      latchkey::SqliteOAuthTokenStore::open(folder / "sessions.db", vault->sealer()).value();
  const auto transport = latchkey::CpprestTransport::open({.http_rule = rule}).value();
  return latchkey::OAuthClient::create(
             {.server = latchkey::discover_server(*transport, issuer, {.http_rule = rule}).value(),
              .client_id = client_id,
              .scope = "offline_access",
              .store = store,
              .vault = vault,
              .http_rule = rule})
      .value();
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc != 4) return std::cerr << "usage: refresh DIR ISSUER CLIENT_ID\n", 2;
  auto client = open_client(std::filesystem::absolute(argv[1]), argv[2], argv[3]);
  if (!client.options().store->load("me").value()) {
    static_cast<void>(client.login("me").value());
    return std::cout << "logged in\n", 0;
  }
  const auto result =
      latchkey::refresh_if_needed(client.keeper(), "me", std::chrono::minutes{5}).value();
  switch (result.outcome) {
    case latchkey::RefreshOutcome::not_needed:
      return std::cout << "still good\n", 0;
    case latchkey::RefreshOutcome::refreshed:
      return std::cout << "refreshed\n", 0;
    case latchkey::RefreshOutcome::no_refresh_token:
      return std::cerr << "it ends soon, and cannot be refreshed: log in again\n", 3;
  }
} catch (const latchkey::Exception& e) {
  std::cerr << "refresh: " << e.what() << '\n';
  const auto code = e.error().code;
  return code == latchkey::ErrorCode::session_dead || code == latchkey::ErrorCode::login_required
             ? 3
             : 1;
} catch (const std::exception& e) {
  std::cerr << "refresh: " << e.what() << '\n';
  return 1;
}
