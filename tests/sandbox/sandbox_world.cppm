// SPDX-License-Identifier: MIT
module;
#include <atomic>
#include <chrono>
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

/// A browser without a person: opens the page and follows its redirect to the client. Without
/// cookies, so that a page opened twice is opened by two browsers.
class FollowingBrowser final : public BrowserOpener {
 public:
  FollowingBrowser();
  ~FollowingBrowser() override;
  [[nodiscard]] Result<void> open(const Url& url) override;
  void open_twice(bool twice) { twice_ = twice; }

 private:
  void follow(const Url& url);
  std::unique_ptr<HttpTransport> transport_;
  std::mutex mutex_;
  std::vector<std::thread> visits_;
  std::atomic<bool> twice_ = false;
};

inline constexpr std::string_view kScope = "atproto transition:generic";
inline constexpr std::string_view kPosts = "app.bsky.feed.post";
inline constexpr std::string_view kPost = R"({"text":"hello","createdAt":"2026-01-01T00:00:00Z"})";

/// Servers and client share a clock that stands still, so that waiting takes no time.
struct SandboxWorld {
  explicit SandboxWorld(std::string scope = std::string(kScope));

  std::shared_ptr<ManualClock> clock;
  std::unique_ptr<sandbox::Sandbox> servers;
  sandbox::Account alice;
  std::shared_ptr<FollowingBrowser> browser;
  std::shared_ptr<KeyVault> vault;
  std::shared_ptr<OAuthTokenStore> store;
  AtprotoClient client;

  [[nodiscard]] Result<SessionSummary> log_in() { return client.login("alice.test"); }
  /// The same without a browser: what the page answers is pasted.
  [[nodiscard]] Result<SessionSummary> log_in_by_paste(std::string_view start);
  /// A client over another store.
  [[nodiscard]] AtprotoClient client_over(std::shared_ptr<OAuthTokenStore> sessions,
                                          std::string scope = std::string(kScope)) const;
  [[nodiscard]] std::shared_ptr<OAuthTokenStore> empty_store() const;
  /// The next use of the session refreshes first.
  void expire() { clock->advance(std::chrono::hours{2}); }
  /// Requests that refreshed or tried to.
  [[nodiscard]] std::vector<sandbox::RecordedRequest> refreshes() const;
};

}  // namespace latchkey::test
