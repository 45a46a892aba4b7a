// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <chrono>
#include <iterator>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>
module latchkey.test.sandbox_world;
import latchkey.atproto.client;
import latchkey.core;
import latchkey.core.url;
import latchkey.http;
import latchkey.http.curl;
import latchkey.http.policy;
import latchkey.loopback.browser;
import latchkey.sandbox;
import latchkey.session;
import latchkey.store;
import latchkey.store.memory;
import latchkey.store.vault;
import latchkey.test.wire_client;

namespace latchkey::test {
namespace {

// Longer than most tests let pass, so that each request arrives once.
constexpr std::chrono::hours kNonces{100};

}  // namespace

FollowingBrowser::FollowingBrowser()
    : transport_(CurlTransport::open({.address_rule = AddressRule::any,
                                      .http_rule = HttpRule::allow_http_for_loopback})
                     .value()) {}

FollowingBrowser::~FollowingBrowser() {
  for (auto& visit : visits_) visit.join();
}

// The client answers its own page only when the login is decided, so nobody may wait for it here.
Result<void> FollowingBrowser::open(const Url& url) {
  const std::scoped_lock lock(mutex_);
  visits_.emplace_back([this, url] { follow(url); });
  return {};
}

void FollowingBrowser::follow(const Url& url) {
  auto page = transport_->send({.method = "GET", .url = url}, {});
  if (twice_) page = transport_->send({.method = "GET", .url = url}, {});
  const std::string* location = page ? page->headers.find("Location") : nullptr;
  const auto target = Url::parse(location == nullptr ? std::string_view() : *location);
  if (target) static_cast<void>(transport_->send({.method = "GET", .url = *target}, {}));
}

SandboxWorld::SandboxWorld(std::string scope)
    : clock(std::make_shared<ManualClock>(SystemClock().now())),
      servers(sandbox::Sandbox::start({.nonce_rotation = kNonces, .clock = clock}).value()),
      alice(servers->add_account("alice.test", {}, true).value()),
      browser(std::make_shared<FollowingBrowser>()),
      vault(memory_vault()),
      store(empty_store()),
      client(client_over(store, std::move(scope))) {}

Result<SessionSummary> SandboxWorld::log_in_by_paste(std::string_view start) {
  std::string page;
  return client.login(start, {.open_browser = false,
                              .on_url = [&](const Url& url) { page = url.target(); },
                              .paste = [&]() -> Result<std::string> {
                                return exchange(servers->issuer(), "GET", page).header("Location");
                              }});
}

std::shared_ptr<OAuthTokenStore> SandboxWorld::empty_store() const {
  return MemoryOAuthTokenStore::create(vault->sealer(), clock);
}

AtprotoClient SandboxWorld::client_over(std::shared_ptr<OAuthTokenStore> sessions,
                                        std::string scope) const {
  return AtprotoClient::create({.client = loopback_client(scope),
                                .store = std::move(sessions),
                                .vault = vault,
                                .plc_url = servers->plc(),
                                .resolve_handles_at = servers->pds(),
                                .http_rule = HttpRule::allow_http_for_loopback,
                                .browser = browser,
                                .clock = clock})
      .value();
}

std::vector<sandbox::RecordedRequest> SandboxWorld::refreshes() const {
  const auto all = servers->requests();
  std::vector<sandbox::RecordedRequest> out;
  std::copy_if(all.begin(), all.end(), std::back_inserter(out),
               [](const auto& one) { return one.grant_type == "refresh_token"; });
  return out;
}

}  // namespace latchkey::test
