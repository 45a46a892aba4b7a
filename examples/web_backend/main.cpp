// SPDX-License-Identifier: MIT
// A website whose visitors log in with ATProto, and post:
//
//   web_backend DIR PORT        in development: at http://127.0.0.1:PORT
//   web_backend DIR PORT --client-metadata FILE --client-keys FILE --origin https://NAME
//                               in production: behind a proxy that speaks https
//
// Sessions, keys and visitors are kept in DIR. README.md beside this file says what to look at.
// Development servers: LATCHKEY_PLC_URL, LATCHKEY_RESOLVE_HANDLES_AT and
// LATCHKEY_ALLOW_HTTP_FOR_LOOPBACK=1, as for the tool.
#include <charconv>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <iostream>
#include <map>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>

import latchkey;
import latchkey.examples.web_backend.backend;
import latchkey.examples.web_backend.http_server;
import latchkey.examples.web_backend.site;

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

// What follows DIR and PORT in production, in any order; nothing if it is anything else.
std::optional<web_backend::Hosting> hosting_of(std::span<char* const> words) {
  std::map<std::string_view, const char*> given;
  for (std::size_t i = 0; i + 1 < words.size(); i += 2) given[words[i]] = words[i + 1];
  if (words.size() != 6 || !given.contains("--origin") || !given.contains("--client-metadata") ||
      !given.contains("--client-keys")) {
    return std::nullopt;
  }
  return web_backend::Hosting{.origin = given["--origin"],
                              .document = given["--client-metadata"],
                              .keys = given["--client-keys"]};
}

latchkey::AtprotoClient open_client(const std::filesystem::path& folder,
                                    const latchkey::AtprotoClientIdentity& identity) {
  auto vault = latchkey::FileKeyVault::open(
                   folder / "vault", latchkey::MasterKey::key_file(folder / "config" / "vault.key"))
                   .value();
  auto store =
      latchkey::SqliteOAuthTokenStore::open(folder / "sessions.db", vault->sealer()).value();
  const bool http = environment_or("LATCHKEY_ALLOW_HTTP_FOR_LOOPBACK", "") == "1";
  return latchkey::AtprotoClient::create(
             {.client = identity,
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
  const std::span<char* const> words(argv, static_cast<std::size_t>(argc));
  const auto hosting = argc > 3 ? hosting_of(words.subspan(3)) : std::nullopt;
  if (argc != 3 && !hosting) {
    std::cerr << "usage: web_backend DIR PORT\n"
                 "           [--client-metadata FILE --client-keys FILE --origin https://NAME]\n";
    return 2;
  }
  const auto folder = std::filesystem::absolute(argv[1]);
  web_backend::HttpServer server(port_of(argv[2]));
  const std::string address = "http://127.0.0.1:" + std::to_string(server.port());
  const web_backend::Site site =
      hosting ? web_backend::hosted_site(*hosting) : web_backend::development_site(address);
  latchkey::AtprotoClient client = open_client(folder, site.client);
  web_backend::Backend backend(client, site, folder / "visitors.json");
  std::cout << address << std::endl;  // whoever started this waits for the line
  server.run([&](const web_backend::Request& request) { return backend.answer(request); });
  // A refresh that is under way must be saved.
  static_cast<void>(client.keeper().settle(std::chrono::seconds{30}));
  return 0;
} catch (const std::exception& e) {
  std::cerr << "web_backend: " << e.what() << '\n';
  return 1;
}
