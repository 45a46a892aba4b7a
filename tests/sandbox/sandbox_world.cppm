// SPDX-License-Identifier: MIT
module;
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>
export module latchkey.test.sandbox_world;
import latchkey.atproto.client;
import latchkey.core;
import latchkey.http;
import latchkey.loopback.browser;
import latchkey.sandbox;
import latchkey.session;
import latchkey.store;
import latchkey.store.vault;

// A sandbox with an account that approves by itself, and a client over the real transports.

export namespace latchkey::test {

/// A browser without a person: opens the page and follows its redirect to the client.
class FollowingBrowser final : public BrowserOpener {
 public:
  FollowingBrowser();
  ~FollowingBrowser() override;
  [[nodiscard]] Result<void> open(const Url& url) override;
  /// What the authorization page answered each time: the status, and the redirect.
  [[nodiscard]] std::vector<std::string> seen() const;

 private:
  void follow(const Url& url);
  std::unique_ptr<HttpTransport> transport_;
  mutable std::mutex mutex_;
  std::vector<std::string> seen_;
  std::vector<std::thread> visits_;
};

inline constexpr std::string_view kScope = "atproto transition:generic";
inline constexpr std::string_view kPosts = "app.bsky.feed.post";
inline constexpr std::string_view kPost = R"({"text":"hello","createdAt":"2026-01-01T00:00:00Z"})";

struct SandboxWorld {
  explicit SandboxWorld(sandbox::SandboxOptions options = {},
                        std::string scope = std::string(kScope));

  std::unique_ptr<sandbox::Sandbox> servers;
  sandbox::Account alice;
  std::shared_ptr<FollowingBrowser> browser;
  std::shared_ptr<KeyVault> vault;
  std::shared_ptr<OAuthTokenStore> store;
  std::shared_ptr<AtprotoClient> client;

  [[nodiscard]] Result<SessionSummary> log_in() { return client->login("alice.test"); }
  /// The same client in another process, as far as the server can tell.
  [[nodiscard]] AtprotoClient another_client(std::string scope) const;
  /// Requests to the token endpoint that refreshed or tried to.
  [[nodiscard]] std::vector<sandbox::RecordedRequest> refreshes() const;
};

}  // namespace latchkey::test
