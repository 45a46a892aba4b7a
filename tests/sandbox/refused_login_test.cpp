// SPDX-License-Identifier: MIT
#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

import latchkey.atproto.client;
import latchkey.core;
import latchkey.http;
import latchkey.http.cpprest;
import latchkey.sandbox;
import latchkey.session;
import latchkey.store;
import latchkey.store.record;
import latchkey.test.hostile_world;
import latchkey.test.outcome;
import latchkey.test.sandbox_world;
import latchkey.test.wire_client;

// Tokens that were issued and are not accepted: the server that issued them counts no session
// afterwards, and whatever was stored before is as it was. An issuer that may not speak for the
// account is in move_test.cpp.

using namespace latchkey;
using namespace latchkey::test;
using namespace std::chrono_literals;

namespace {

std::size_t count_of(const SandboxWorld& world, std::string_view path, int status) {
  const auto all = world.servers->requests();
  return static_cast<std::size_t>(std::count_if(all.begin(), all.end(), [&](const auto& one) {
    return one.path == path && one.status == status;
  }));
}

// A person at the page who signs in as `who`; gives where the browser is sent.
std::string sign_in(const SandboxWorld& world, const std::string& page, const std::string& who,
                    const std::string& password) {
  const std::string issuer = world.servers->issuer();
  const auto shown = exchange(issuer, "GET", page);
  const std::string mark = "name=\"form_token\" value=\"";
  const auto from = shown.body.find(mark) + mark.size();
  const std::string cookie = shown.header("Set-Cookie");
  return exchange(
             issuer, "POST", "/oauth/authorize",
             {{"Cookie", cookie.substr(0, cookie.find(';'))},
              {"Origin", issuer},
              {"Sec-Fetch-Site", "same-origin"},
              {"Content-Type", "application/x-www-form-urlencoded"}},
             encode({{"client_id", query_field(page, "client_id")},
                     {"request_uri", query_field(page, "request_uri")},
                     {"form_token", shown.body.substr(from, shown.body.find('"', from) - from)},
                     {"identifier", who},
                     {"password", password},
                     {"decision", "allow"}}))
      .header("Location");
}

// A server that gives no nonce with its tokens, or an intermediary that takes it out.
class WithoutNonce final : public HttpTransport {
 public:
  Result<HttpResponse> send(const HttpRequest& request, const SendOptions& options) override {
    auto response = inner_->send(request, options);
    if (response && response->status == 200) response->headers.remove("DPoP-Nonce");
    return response;
  }

 private:
  std::unique_ptr<HttpTransport> inner_ =
      CpprestTransport::open({.http_rule = HttpRule::allow_http_for_loopback}).value();
};

AtprotoClient strict_client(const SandboxWorld& world, bool with_nonces) {
  AtprotoClientOptions options{.client = loopback_client(std::string(kScope)),
                               .store = world.store,
                               .vault = world.vault,
                               .require_dpop_nonce = true,
                               .plc_url = world.servers->plc(),
                               .resolve_handles_at = world.servers->pds(),
                               .http_rule = HttpRule::allow_http_for_loopback,
                               .browser = world.browser,
                               .clock = world.clock};
  if (!with_nonces) options.transport = std::make_shared<WithoutNonce>();
  return AtprotoClient::create(std::move(options)).value();
}

}  // namespace

TEST_CASE("C5.7, C5.11: another account chosen on the same server is refused and its token revoked",
          "[sandbox]") {
  SandboxWorld world;
  REQUIRE(world.servers->set_auto_approve("alice.test", false));
  const auto bob = world.servers->add_account("bob.test", "other").value();
  std::string page;
  const auto session =
      world.client.login("alice.test", {.open_browser = false,
                                        .on_url = [&](const Url& url) { page = url.target(); },
                                        .paste = [&]() -> Result<std::string> {
                                          return sign_in(world, page, "bob.test", "other");
                                        }});
  CHECK(outcome(session) == "token_invalid token.sub_mismatch");
  CHECK(count_of(world, "/oauth/token", 200) == 1);
  CHECK(count_of(world, "/oauth/revoke", 200) == 1);
  CHECK(world.servers->live_sessions("bob.test") == 0);
  CHECK(world.store->list({}, 10).value().sessions.empty());
}

TEST_CASE("C6.8, C5.11: strict: a token answer without DPoP-Nonce is refused and revoked",
          "[sandbox]") {
  SandboxWorld world;
  auto client = strict_client(world, false);
  CHECK(outcome(client.login("alice.test")) == "token_invalid token.dpop_nonce_missing");
  CHECK(count_of(world, "/oauth/token", 200) == 1);
  CHECK(count_of(world, "/oauth/revoke", 200) == 1);
  CHECK(world.servers->live_sessions("alice.test") == 0);
  CHECK(world.store->list({}, 10).value().sessions.empty());
}

TEST_CASE("C6.8: strict: a server that gives its nonces is as usable as ever", "[sandbox]") {
  SandboxWorld world;
  auto client = strict_client(world, true);
  REQUIRE(outcome(client.login("alice.test")) == "ok");
  world.expire();
  CHECK(outcome(client.fresh(world.alice.did)) == "ok");
  CHECK(count_of(world, "/oauth/revoke", 200) == 0);
}

TEST_CASE("C6.8: strict: no session ends because a refresh brings no nonce", "[sandbox]") {
  SandboxWorld world;
  REQUIRE(outcome(world.log_in()) == "ok");
  auto client = strict_client(world, false);
  for (int i = 0; i < 3; ++i) {
    world.expire();
    CHECK(outcome(client.fresh(world.alice.did)) == "ok");
  }
  CHECK(world.servers->counts().refreshes == 3);
  CHECK(world.servers->live_sessions("alice.test") == 1);
}

TEST_CASE("C7.6, C5.11: another sub on refresh is refused and revoked, the record kept to the byte",
          "[sandbox]") {
  SandboxWorld world;
  REQUIRE(outcome(world.log_in()) == "ok");
  const auto before = world.store->load_record(world.alice.did).value().value();
  world.expire();
  meet(world, "token.sub_other");
  CHECK(outcome(world.client.fresh(world.alice.did)) == "token_invalid token.sub_mismatch");
  CHECK(count_of(world, "/oauth/revoke", 200) == 1);
  CHECK(world.servers->live_sessions("alice.test") == 0);
  const auto after = world.store->load_record(world.alice.did).value().value();
  CHECK((after == before));

  // What becomes of it is told: its refresh token is spent, so a person must log in again.
  world.servers->clear_faults();
  world.clock->advance(1min);
  CHECK(outcome(world.client.fresh(world.alice.did)) == "refresh_interrupted refresh.interrupted");
  CHECK(world.store->load(world.alice.did).value()->state == SessionState::dead);
  CHECK(outcome(world.log_in()) == "ok");
}
