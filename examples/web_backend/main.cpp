// SPDX-License-Identifier: MIT
// A website whose visitors log in with ATProto, and post:
//
//   web_backend DIR PORT
//
// Sessions, keys and visitors are kept in DIR. README.md beside this file says what to look at.
// Development servers: LATCHKEY_PLC_URL, LATCHKEY_RESOLVE_HANDLES_AT and
// LATCHKEY_ALLOW_HTTP_FOR_LOOPBACK=1, as for the tool.
#include <charconv>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <iostream>
#include <stdexcept>
#include <string>
#include <string_view>

import latchkey;
import latchkey.examples.web_backend.backend;
import latchkey.examples.web_backend.http_server;

namespace {

std::string environment_or(const char* name, const char* otherwise) {
  const char* value = std::getenv(name);
  return value != nullptr && *value != '\0' ? value : otherwise;
}

std::uint16_t port_of(std::string_view text) {
  std::uint16_t port = 0;
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), port);
  if (failed != std::errc() || end != text.data() + text.size()) {
    throw std::invalid_argument("the port is no number from 0 to 65535");
  }
  return port;
}

// A client without a hosted document, for development on one's own machine.
latchkey::AtprotoClient open_client(const std::filesystem::path& folder) {
  const auto identity =
      latchkey::loopback_client_identity("atproto transition:generic", web_backend::kCallbackPath)
          .value();
  auto vault = latchkey::FileKeyVault::open(
                   folder / "vault", latchkey::MasterKey::key_file(folder / "config" / "vault.key"))
                   .value();
  auto store =
      latchkey::SqliteOAuthTokenStore::open(folder / "sessions.db", vault->sealer()).value();
  const bool http = environment_or("LATCHKEY_ALLOW_HTTP_FOR_LOOPBACK", "") == "1";
  return latchkey::AtprotoClient::create(
             {.client = latchkey::loopback_client_of(identity.client_id),
              .store = store,
              .vault = vault,
              .vault_serves_this_store_alone = true,
              .plc_url = environment_or("LATCHKEY_PLC_URL", "https://plc.directory"),
              .resolve_handles_at = environment_or("LATCHKEY_RESOLVE_HANDLES_AT", ""),
              .http_rule = http ? latchkey::HttpRule::allow_http_for_loopback
                                : latchkey::HttpRule::https_only})
      .value();
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc != 3) return std::cerr << "usage: web_backend DIR PORT\n", 2;
  const auto folder = std::filesystem::absolute(argv[1]);
  web_backend::HttpServer server(port_of(argv[2]));
  const std::string origin = "http://127.0.0.1:" + std::to_string(server.port());
  latchkey::AtprotoClient client = open_client(folder);
  web_backend::Backend backend(client, origin, folder / "visitors.json");
  std::cout << origin << std::endl;  // whoever started this waits for the line
  server.run([&](const web_backend::Request& request) { return backend.answer(request); });
  // A refresh that is under way must be saved.
  static_cast<void>(client.keeper().settle(std::chrono::seconds{30}));
  return 0;
} catch (const std::exception& e) {
  std::cerr << "web_backend: " << e.what() << '\n';
  return 1;
}
