// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

import latchkey.core;
import latchkey.flows.client;
import latchkey.flows.client_options;
import latchkey.flows.code_login;
import latchkey.http.trace;
import latchkey.oauth.authorization;
import latchkey.oauth.client_secret;
import latchkey.session;
import latchkey.test.flow_world;
import latchkey.test.oauth;
import latchkey.test.outcome;
import latchkey.test.random;

// The two halves of a web login at any provider. What they share with ATProto is tested in
// tests/atproto/web_login_test.cpp.

using namespace latchkey;
using namespace latchkey::test;

namespace {

constexpr std::string_view kBack = "https://app.test/back";

OAuthClient client_of(FlowWorld& w) {
  return OAuthClient::create(w.options()).value();
}

AuthorizeOptions returning_to(std::string app_state) {
  return {.redirect_uri = std::string(kBack), .app_state = std::move(app_state)};
}

/// Begins, and shows the browser its page.
BegunLogin begin(FlowWorld& w, OAuthClient client, const AuthorizeOptions& options) {
  auto begun = client.authorize("work", options).value();
  w.page = begun.url;
  return begun;
}

std::string query_of(const BegunLogin& begun, std::string_view rest = "code=c") {
  return "state=" + begun.state + "&" + std::string(rest);
}

}  // namespace

TEST_CASE("web login: one client begins, another over the same store ends and has the session",
          "[web]") {
  FlowWorld w;
  const auto begun = begin(w, client_of(w), returning_to("/cart"));
  CHECK(w.asked("redirect_uri") == kBack);
  auto end = client_of(w).callback(query_of(begun), begun.browser_binding);
  CHECK(end.session.value().subject == "work");
  CHECK(end.app_state == "/cart");
  CHECK(client_of(w).fresh("work").value()->access_token.expose() == "at-fresh");
}

TEST_CASE("web login: with an id token nobody has to name the session, without one somebody must",
          "[web]") {
  FlowWorld w;
  CHECK(outcome(client_of(w).authorize("", returning_to({}))) ==
        "invalid_argument login.subject_missing");
  CHECK(w.transport->count() == 0);
  OAuthClientOptions options = w.options();
  options.validator = w.validator;
  w.answer_with({{"id_token", R"("the.id.token")"}});
  auto client = OAuthClient::create(std::move(options)).value();
  const auto begun = client.authorize("", returning_to({})).value();
  const auto end = client.callback(query_of(begun), begun.browser_binding);
  CHECK(end.session.value().subject == "https://op.test|alice-1");
}

TEST_CASE("web login: another browser is refused before the code is used, and the login is spent",
          "[web]") {
  FlowWorld w;
  const auto mine = begin(w, client_of(w), returning_to("/mine"));
  for (const std::string_view cookie : {std::string_view(), mine.browser_binding.expose()}) {
    const auto begun = begin(w, client_of(w), returning_to("/evil"));
    const auto end = client_of(w).callback(query_of(begun), SecretString(cookie));
    CHECK(outcome(end.session) == "callback_invalid callback.other_browser");
    CHECK(end.app_state.empty());
    CHECK(outcome(client_of(w).callback(query_of(begun), begun.browser_binding).session) ==
          "callback_invalid callback.unknown_state");
  }
  CHECK(w.requests_to("/token").empty());
  CHECK(w.world.store->list({}, 10).value().sessions.empty());
  CHECK(client_of(w).callback(query_of(mine), mine.browser_binding).session);
}

TEST_CASE("web login: another client over the same store is refused, sends nothing, and spends it",
          "[web]") {
  const auto change = GENERATE(
      as<std::function<void(OAuthClientOptions&)>>(),
      [](OAuthClientOptions& o) { o.client_id = "another"; },
      [](OAuthClientOptions& o) {
        o.client = client_secret_basic(o.client_id, SecretString("s3cret"));
      },
      [](OAuthClientOptions& o) { o.server.issuer = "https://evil.test"; },
      [](OAuthClientOptions& o) { o.server.token_endpoint = "https://evil.test/token"; });
  FlowWorld w;
  w.offer_dpop();
  const std::size_t keys = w.keys();
  const auto begun = begin(w, client_of(w), returning_to("/cart"));
  const std::size_t sent = w.transport->count();
  OAuthClientOptions options = w.options();
  change(options);
  auto other = OAuthClient::create(std::move(options)).value();
  const auto end = other.callback(query_of(begun), begun.browser_binding);
  CHECK(outcome(end.session) == "callback_invalid callback.other_client");
  CHECK(end.app_state.empty());
  CHECK(w.transport->count() == sent);
  CHECK(w.keys() == keys);
  CHECK(outcome(client_of(w).callback(query_of(begun), begun.browser_binding).session) ==
        "callback_invalid callback.unknown_state");
}

TEST_CASE("web login: a login that a confidential client began is not ended by a public one",
          "[web]") {
  FlowWorld w;
  OAuthClientOptions options = w.options();
  options.client = client_secret_basic(options.client_id, SecretString("a-secret-of-the-client"));
  const auto begun = begin(w, OAuthClient::create(std::move(options)).value(), returning_to({}));
  CHECK(outcome(client_of(w).callback(query_of(begun), begun.browser_binding).session) ==
        "callback_invalid callback.other_client");
  CHECK(w.requests_to("/token").empty());
}

TEST_CASE("web login: a person who says no is brought back to where they were", "[web]") {
  FlowWorld w;
  const auto begun = begin(w, client_of(w), returning_to("/cart"));
  const auto end =
      client_of(w).callback(query_of(begun, "error=access_denied"), begun.browser_binding);
  CHECK(outcome(end.session) == "access_denied callback.access_denied");
  CHECK(end.app_state == "/cart");
}

TEST_CASE("web login: form_post and a prompt are asked for in the address as in a pushed request",
          "[web]") {
  for (const bool pushed : {false, true}) {
    FlowWorld w;
    if (pushed) w.offer_par();
    AuthorizeOptions options = returning_to({});
    static_cast<void>(begin(w, client_of(w), options));
    CHECK_FALSE(w.asked_for("response_mode"));
    CHECK_FALSE(w.asked_for("prompt"));
    options.response_mode = ResponseMode::form_post;
    options.prompt = Prompt::consent;
    const auto begun = begin(w, client_of(w), options);
    CHECK(w.asked("response_mode") == "form_post");
    CHECK(w.asked("prompt") == "consent");
    const std::string form = form_encode({{"code", "c d"}, {"state", begun.state}});
    CHECK(outcome(client_of(w).callback(form, begun.browser_binding).session) ==
          "callback_invalid callback.malformed");  // a code has no spaces
  }
}

TEST_CASE("web login: no prompt is for clients that prove who they are", "[web]") {
  FlowWorld w;
  AuthorizeOptions options = returning_to({});
  options.prompt = Prompt::none;
  CHECK(outcome(client_of(w).authorize("work", options)) == "invalid_argument login.prompt");
  OAuthClientOptions confidential = w.options();
  confidential.client = client_secret_basic("my-client", SecretString("a-secret-of-the-client"));
  static_cast<void>(begin(w, OAuthClient::create(std::move(confidential)).value(), options));
  CHECK(w.asked("prompt") == "none");
}

TEST_CASE("web login: what the caller got wrong is said before anything is sent or kept", "[web]") {
  FlowWorld w;
  const std::size_t keys = w.keys();
  auto client = client_of(w);
  CHECK(outcome(client.authorize("work", {})) == "invalid_argument login.redirect_missing");
  CHECK(outcome(client.authorize("work", returning_to(std::string(kMaxAppState + 1, 'x')))) ==
        "invalid_argument login.app_state");
  OAuthClientOptions options = w.options();
  options.extra_parameters = {{"prompt", "login"}};
  AuthorizeOptions twice = returning_to({});
  twice.prompt = Prompt::consent;
  CHECK(outcome(OAuthClient::create(std::move(options)).value().authorize("work", twice)) ==
        "invalid_argument authorization.duplicate_parameter");
  CHECK(w.transport->count() == 0);
  CHECK(w.keys() == keys);
}

TEST_CASE("web login: a provider's refusal after the code was sent brings app_state back too",
          "[web]") {
  FlowWorld w;
  w.answer_with({{"error", R"("invalid_grant")"}}, 400);
  const auto begun = begin(w, client_of(w), returning_to("/cart"));
  const auto end = client_of(w).callback(query_of(begun), begun.browser_binding);
  CHECK(outcome(end.session) == "invalid_grant token.invalid_grant");
  CHECK(end.app_state == "/cart");
  CHECK(w.world.store->list({}, 10).value().sessions.empty());
}

TEST_CASE("web login: its steps are in a trace, and so is what ended it", "[web]") {
  FlowWorld w;
  std::string steps;
  FixedRandom random{1};
  OAuthClientOptions options = w.options();
  options.tracer = std::make_shared<Tracer>(
      [&](const TraceEvent& event) {
        const auto* step = std::get_if<TracedStep>(&event.what);
        // What becomes of sessions is told by a thread of its own.
        if (step != nullptr && !step->name.text().starts_with("session_"))
          steps += std::string(step->name.text()) + " " + step->detail.text() + ";";
      },
      w.world.clock, random);
  auto client = OAuthClient::create(std::move(options)).value();
  const auto traced = [&] { return std::exchange(steps, {}); };

  const auto begun = begin(w, client, returning_to({}));
  CHECK(traced() == "login_begun ;");
  CHECK(client.callback(query_of(begun), begun.browser_binding).session);
  CHECK(traced() == "callback ;logged_in ;");
  CHECK_FALSE(client.callback(query_of(begun), begun.browser_binding).session);
  CHECK(traced() == "callback ;login_failed callback.unknown_state;");
  CHECK_FALSE(client.authorize("work", {}));
  CHECK(traced() == "login_failed login.redirect_missing;");
}
