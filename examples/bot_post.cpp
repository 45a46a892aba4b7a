// SPDX-License-Identifier: MIT
// A bot that posts. A person logs it in once, with the tool:
//
//   latchkey --data-dir DIR login bot.example.org
//
// From then on it needs the folder and its DID, at any time and from any number of processes:
//
//   bot_post DIR DID TEXT
//
// Exit codes: 0 posted, 1 failed (try again later), 2 usage, 3 a person must log in again.
// Development servers: LATCHKEY_PLC_URL and LATCHKEY_ALLOW_HTTP_FOR_LOOPBACK=1, as for the tool.
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

import latchkey;

namespace {

std::string environment_or(const char* name, const char* otherwise) {
  const char* value = std::getenv(name);
  return value != nullptr && *value != '\0' ? value : otherwise;
}

// The client that logged in, on the folders that the tool uses.
latchkey::AtprotoClient open_client(const std::filesystem::path& folder, const std::string& did) {
  auto key = latchkey::MasterKey::key_file(folder / "config" / "vault.key");
  auto vault = latchkey::FileKeyVault::open(folder / "data" / "vault", key).value();
  auto store =
      latchkey::SqliteOAuthTokenStore::open(folder / "data" / "sessions.db", vault->sealer())
          .value();
  const auto session = store->load(did).value();
  if (!session) {
    throw latchkey::Exception(latchkey::make_error(latchkey::ErrorCode::login_required,
                                                   "bot.no_session",
                                                   did + " is not logged in; run latchkey login"));
  }
  const bool http = environment_or("LATCHKEY_ALLOW_HTTP_FOR_LOOPBACK", "") == "1";
  return latchkey::AtprotoClient::create(
             {.client = latchkey::loopback_client_of(session->client_id),
              .store = store,
              .vault = vault,
              .plc_url = environment_or("LATCHKEY_PLC_URL", "https://plc.directory"),
              .http_rule = http ? latchkey::HttpRule::allow_http_for_loopback
                                : latchkey::HttpRule::https_only})
      .value();
}

int exit_code(const latchkey::Error& error) {
  using enum latchkey::ErrorCode;
  return error.code == login_required || error.code == session_dead ||
                 error.code == refresh_interrupted
             ? 3
             : 1;
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc != 4) return std::cerr << "usage: bot_post DIR DID TEXT\n", 2;
  const latchkey::AtprotoClient client = open_client(std::filesystem::absolute(argv[1]), argv[2]);
  const nlohmann::json post{{"text", argv[3]},
                            {"createdAt", latchkey::format_rfc3339(latchkey::SystemClock{}.now())}};
  const auto ref = client.pds(argv[2]).create_record("app.bsky.feed.post", post.dump()).value();
  std::cout << ref.uri << '\n';
  return 0;
} catch (const latchkey::Exception& e) {
  std::cerr << "bot_post: " << e.what() << '\n';
  return exit_code(e.error());
} catch (const std::exception& e) {
  std::cerr << "bot_post: " << e.what() << '\n';
  return 1;
}
