// SPDX-License-Identifier: MIT
// A website whose visitors log in with ATProto, and post:
//
//   web_backend DIR PORT        in development: at http://127.0.0.1:PORT
//   web_backend DIR PORT --client-metadata FILE --client-keys FILE --origin https://NAME
//                               in production: behind a proxy that speaks https
//   ... --store postgresql://... --master-key-file FILE
//                               several of them, on one database
//
// README.md beside this file says what to look at.
// Development servers: LATCHKEY_PLC_URL, LATCHKEY_RESOLVE_HANDLES_AT and
// LATCHKEY_ALLOW_HTTP_FOR_LOOPBACK=1, as for the tool.
#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <exception>
#include <iostream>
#include <span>
#include <string>

import latchkey;
import latchkey.examples.web_backend.backend;
import latchkey.examples.web_backend.housekeeping;
import latchkey.examples.web_backend.http_server;
import latchkey.examples.web_backend.options;
import latchkey.examples.web_backend.site;
import latchkey.examples.web_backend.storage;

namespace {

std::string environment_or(const char* name, const char* otherwise) {
  const char* value = std::getenv(name);
  return value != nullptr && *value != '\0' ? value : otherwise;
}

// `address`: where the website listens.
web_backend::Site site_of(const web_backend::Options& options, const std::string& address) {
  if (options.client_document.empty()) {
    return web_backend::development_site(options.origin.empty() ? address : options.origin);
  }
  return web_backend::hosted_site(
      {.origin = options.origin, .document = options.client_document, .keys = options.client_keys});
}

web_backend::Storage storage_of(const web_backend::Options& options) {
  return options.store ? web_backend::storage_in_postgres(*options.store, options.master_key_file)
                       : web_backend::storage_in_files(options.folder, options.master_key_file);
}

latchkey::AtprotoClient client_of(const web_backend::Storage& storage,
                                  const latchkey::AtprotoClientIdentity& identity) {
  const bool http = environment_or("LATCHKEY_ALLOW_HTTP_FOR_LOOPBACK", "") == "1";
  return latchkey::AtprotoClient::create(
             {.client = identity,
              .store = storage.store,
              .vault = storage.vault,
              .vault_serves_this_store_alone = storage.logins_collect_keys,
              .plc_url = environment_or("LATCHKEY_PLC_URL", "https://plc.directory"),
              .resolve_handles_at = environment_or("LATCHKEY_RESOLVE_HANDLES_AT", ""),
              .http_rule = http ? latchkey::HttpRule::allow_http_for_loopback
                                : latchkey::HttpRule::https_only})
      .value();
}

}  // namespace

int main(int argc, char** argv) try {
  const auto options = web_backend::parse_options(
      std::span<char* const>(argv, static_cast<std::size_t>(argc)).subspan(1));
  if (!options) {
    std::cerr << web_backend::kUsage;
    return 2;
  }
  web_backend::HttpServer server(options->port);
  const std::string address = "http://127.0.0.1:" + std::to_string(server.port());
  const web_backend::Site site = site_of(*options, address);
  const web_backend::Storage storage = storage_of(*options);
  const web_backend::Housekeeping housekeeping(storage.store, storage.visitors);
  latchkey::AtprotoClient client = client_of(storage, site.client);
  web_backend::Backend backend(client, site, storage.visitors);
  std::cout << address << std::endl;  // whoever started this waits for the line
  server.run([&](const web_backend::Request& request) { return backend.answer(request); });
  // A refresh that is under way must be saved.
  static_cast<void>(client.keeper().settle(std::chrono::seconds{30}));
  return 0;
} catch (const std::exception& e) {
  std::cerr << "web_backend: " << e.what() << '\n';
  return 1;
}
