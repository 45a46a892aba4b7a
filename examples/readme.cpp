// SPDX-License-Identifier: MIT
#include <filesystem>
#include <iostream>

import latchkey;

int main() try {
  const auto here = std::filesystem::absolute("my-bot");
  auto key = latchkey::MasterKey::key_file(here / "config" / "vault.key");
  auto vault = latchkey::FileKeyVault::open(here / "vault", key).value();
  auto store = latchkey::SqliteOAuthTokenStore::open(here / "sessions.db", vault->sealer()).value();
  auto client = latchkey::AtprotoClient::create(
                    {.client = latchkey::loopback_client("atproto transition:generic"),
                     .store = store,
                     .vault = vault})
                    .value();
  const auto did =
      client.login("alice.bsky.social").value().subject;  // later runs: the DID is enough
  auto pds = client.pds(did);  // refreshes and proves possession of its key by itself
  auto post = pds.create_record("app.bsky.feed.post",
                                R"({"text":"hi","createdAt":"2026-01-01T00:00:00Z"})");
  if (!post) return std::cerr << post.error().message << '\n', 1;  // or branch on error().code
  std::cout << post->uri << '\n';
} catch (const latchkey::Exception& e) {
  return std::cerr << e.what() << '\n', 1;
}
