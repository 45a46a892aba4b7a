// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <iterator>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>
module latchkey.test.sandbox_world;
import latchkey.atproto.client;
import latchkey.core;
import latchkey.http;
import latchkey.http.curl;
import latchkey.http.policy;
import latchkey.loopback.browser;
import latchkey.sandbox;
import latchkey.store;
import latchkey.store.memory;
import latchkey.store.vault;

namespace latchkey::test {

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
  const auto page = transport_->send({.method = "GET", .url = url}, {});
  const std::string* location = page ? page->headers.find("Location") : nullptr;
  {
    const std::scoped_lock lock(mutex_);
    seen_.push_back(std::to_string(page ? page->status : 0) + ' ' +
                    (location == nullptr ? std::string() : *location));
  }
  if (location == nullptr) return;
  const auto target = Url::parse(*location);
  if (target) static_cast<void>(transport_->send({.method = "GET", .url = *target}, {}));
}

std::vector<std::string> FollowingBrowser::seen() const {
  const std::scoped_lock lock(mutex_);
  return seen_;
}

SandboxWorld::SandboxWorld(sandbox::SandboxOptions options, std::string scope)
    : servers(sandbox::Sandbox::start(std::move(options)).value()),
      alice(servers->add_account("alice.test", {}, true).value()),
      browser(std::make_shared<FollowingBrowser>()),
      vault(memory_vault()),
      store(MemoryOAuthTokenStore::create(vault->sealer())),
      client(std::make_shared<AtprotoClient>(another_client(std::move(scope)))) {}

AtprotoClient SandboxWorld::another_client(std::string scope) const {
  return AtprotoClient::create({.client = loopback_client(std::move(scope)),
                                .store = store,
                                .vault = vault,
                                .plc_url = servers->plc(),
                                .resolve_handles_at = servers->pds(),
                                .http_rule = HttpRule::allow_http_for_loopback,
                                .browser = browser})
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
