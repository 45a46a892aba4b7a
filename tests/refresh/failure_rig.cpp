// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
module latchkey.test.failure_rig;
import latchkey.atproto.client;
import latchkey.core;
import latchkey.http;
import latchkey.refresh.keeper;
import latchkey.sandbox;
import latchkey.session;
import latchkey.store;
import latchkey.test.outcome;
import latchkey.test.refresh_world;
import latchkey.test.sandbox_world;

namespace latchkey::test {
namespace {

std::string text_of(const sandbox::RecordedRequest& request) {
  const std::string what = request.path == "/oauth/revoke" ? "revoke" : "refresh";
  std::string text =
      what + ": " + (request.status == 0 ? std::string("unread") : std::to_string(request.status));
  if (!request.detail.empty()) text += " " + request.detail;
  if (request.fault == "drop_after") text += ", answer lost";
  if (request.fault == "truncate") text += ", answer cut";
  if (request.fault == "garbage" || request.fault == "content_type") text += ", answer wrong";
  if (request.fault == "status_after") text += ", but carried out";
  return text;
}

}  // namespace

FailureRig::FailureRig() {
  did = world.log_in().value().subject;
  store = std::make_shared<WatchedStore>(world.store);
  client = world.client_over(store);
  old_token_ = token_fingerprint(world.store->load(did).value().value().access_token);
  world.expire();
  world.servers->forget_requests();
}

FailureRig::~FailureRig() {
  store->set_hook({});
  world.servers->release();
}

void FailureRig::fail(std::string_view call, Error error, int nth) {
  store->set_hook([call = std::string(call), error = std::move(error),
                   nth](std::string_view name) mutable -> std::optional<Error> {
    if (name != call || --nth > 0) return std::nullopt;
    return error;
  });
}

void FailureRig::before(std::string_view call, std::function<void()> act, int nth) {
  store->set_hook([call = std::string(call), act = std::move(act),
                   nth](std::string_view name) mutable -> std::optional<Error> {
    if (name == call && --nth == 0) act();
    return std::nullopt;
  });
}

void FailureRig::change_stored(const std::function<void(OAuthSession&)>& change) {
  OAuthSession session = std::move(world.store->load(did).value().value());
  change(session);
  store_instead(std::move(session));
}

OAuthSession FailureRig::other_login() {
  const auto elsewhere = world.empty_store();
  static_cast<void>(world.client_over(elsewhere).login("alice.test").value());
  OAuthSession session = std::move(elsewhere->load(did).value().value());
  their_token_ = token_fingerprint(session.access_token);
  world.servers->forget_requests();
  return session;
}

void FailureRig::store_instead(OAuthSession session) {
  const auto stored = world.store->load(did).value();
  session.revision = Revision{++revisions_};
  world.store->save(session, stored ? stored->revision : Revision{}).value();
}

std::string FailureRig::call() {
  const auto session = client->fresh(did);
  if (!session) return outcome(session);
  const std::string token = token_fingerprint((*session)->access_token);
  const std::string name = token == old_token_     ? "old token"
                           : token == their_token_ ? "their token"
                                                   : "new token";
  const auto used = client->request(did, "GET", "/xrpc/com.atproto.server.getSession", {}, {});
  return used && used->status == 200 ? name : name + ", refused by the PDS";
}

std::string FailureRig::seen() {
  std::string text;
  for (const auto& request : world.servers->requests()) {
    if (request.path != "/oauth/token" && request.path != "/oauth/revoke") continue;
    text += (text.empty() ? "" : "; ") + text_of(request);
  }
  world.servers->forget_requests();
  return text.empty() ? "nothing" : text;
}

void FailureRig::heal() {
  store->set_hook({});
  lease.reset();
  world.servers->clear_faults();
  world.servers->release();
  static_cast<void>(client->keeper().settle(std::chrono::seconds{10}));
  world.clock->advance(std::chrono::minutes{5});
}

}  // namespace latchkey::test
