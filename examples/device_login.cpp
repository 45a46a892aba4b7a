// SPDX-License-Identifier: MIT
// A login on a machine without a browser: the person types a code on another one (RFC 8628).
//
//   device_login DIR ISSUER CLIENT_ID
//
// The session is kept in DIR, sealed. A run that was cut off is resumed by the next one. Exit
// codes: 0 logged in, 1 failed, 2 usage, 3 refused or too late. Development servers on this
// machine: LATCHKEY_ALLOW_HTTP_FOR_LOOPBACK=1.
#include <chrono>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <iostream>
#include <memory>
#include <utility>

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
              .store = store,
              .vault = vault,
              .http_rule = rule})
      .value();
}

void show(const latchkey::DeviceProgress& progress) {
  std::cerr << '\r' << std::chrono::duration_cast<std::chrono::seconds>(progress.time_left).count()
            << " s left " << (progress.trouble != nullptr ? "(no answer)" : "") << std::flush;
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc != 4) return std::cerr << "usage: device_login DIR ISSUER CLIENT_ID\n", 2;
  const auto client = open_client(std::filesystem::absolute(argv[1]), argv[2], argv[3]);
  const auto flow = latchkey::DeviceFlow::create({.keeper = client.shared_keeper(),
                                                  .server = client.options().server,
                                                  .scope = "offline_access",
                                                  .subject = "me"})
                        .value();
  const auto begun = flow.resumable().value();
  auto pending = (begun.empty() ? flow.begin() : flow.resume(begun.front().id)).value();
  std::cout << "go to " << pending.codes().verification_uri << " and type "
            << pending.codes().user_code << std::endl;

  const auto session = std::move(pending).poll({.on_progress = show});
  std::cerr << '\n';
  if (session) return std::cout << "logged in\n", 0;
  std::cerr << session.error().message << '\n';
  const auto code = session.error().code;
  return code == latchkey::ErrorCode::access_denied || code == latchkey::ErrorCode::timeout ? 3 : 1;
} catch (const std::exception& e) {
  std::cerr << "device_login: " << e.what() << '\n';
  return 1;
}
