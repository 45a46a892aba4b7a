// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <cstddef>
#include <filesystem>
#include <functional>
#include <future>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

import latchkey.atproto.client;
import latchkey.atproto.discovery;
import latchkey.atproto.login;
import latchkey.core;
import latchkey.flows.code_login;
import latchkey.http;
import latchkey.oauth.authorization;
import latchkey.oauth.client_metadata;
import latchkey.session;
import latchkey.store;
import latchkey.store.filesystem;
import latchkey.store.sqlite;
import latchkey.store.vault;
import latchkey.test.folder;
import latchkey.test.login_world;
import latchkey.test.oauth;
import latchkey.test.outcome;
import latchkey.test.refresh_world;
import latchkey.test.scripted_transport;

// A login in two halves, bound to the browser that began it.

using namespace latchkey;
using namespace latchkey::test;
using namespace std::chrono_literals;

namespace {

const std::string kUnknown = "callback_invalid callback.unknown_state";
const std::string kOtherBrowser = "callback_invalid callback.other_browser";
using Tokens = std::vector<std::string>;

AuthorizeOptions returning_to(std::string app_state) {
  return {.redirect_uri = std::string(kRedirect), .app_state = std::move(app_state)};
}

BegunLogin begin(LoginWorld& w, const AuthorizeOptions& options = returning_to("/compose"),
                 const LoginTarget& target = LoginWorld::account()) {
  return w.login->authorize(target, options).value();
}

CallbackOutcome finish(LoginWorld& w, const BegunLogin& begun) {
  return w.login->callback(LoginWorld::callback(begun.state), begun.browser_binding);
}

std::string contents_of(const std::filesystem::path& folder) {
  std::string text;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    if (entry.is_regular_file()) text += read_text(entry.path()).value_or("");
  }
  return text;
}

bool has(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

}  // namespace

TEST_CASE("C5.1, C5.4: what one process began another ends, and its session is at hand in a third",
          "[web]") {
  LoginWorld w;
  const BegunLogin begun = begin(w);
  w.restart();
  const auto end = finish(w, begun);
  REQUIRE(end.session);
  CHECK(end.session->subject == kSubject);
  CHECK(end.app_state == "/compose");
  CHECK(w.requests_to("/token").size() == 1);
  CHECK(w.world.keeper()->fresh(kSubject).value()->access_token.expose() == kAccess);
}

TEST_CASE("C4.5: state and browser binding are 32 random bytes each, and neither shows the other",
          "[web]") {
  LoginWorld w;
  const BegunLogin one = begin(w), two = begin(w);
  CHECK(one.state.size() == 43);
  CHECK(one.browser_binding.size() == 43);
  CHECK_FALSE(one.browser_binding == two.browser_binding);
  CHECK(one.state != one.browser_binding.expose());
  CHECK(one.state != sha256_base64url(one.browser_binding.expose()));
  const auto pushed = w.requests_to("/par").front().clone();
  CHECK_FALSE(has(pushed.body.expose(), one.browser_binding.expose()));
  CHECK_FALSE(has(one.url.text(), one.browser_binding.expose()));
  CHECK_FALSE(has(one.url.text(), one.state));
}

TEST_CASE("C4.11: binding, state and app_state are nowhere to be read in the store", "[web]") {
  const TemporaryFolder folder;
  auto vault = memory_vault();
  auto clock = std::make_shared<ManualClock>(kNow);
  LoginWorld w(
      FilesystemOAuthTokenStore::open(folder.path() / "store", vault->sealer(), {.clock = clock})
          .value(),
      vault);
  const BegunLogin begun = begin(w, returning_to("/drafts/secret-plan"));
  const std::string on_disk = contents_of(folder.path());
  CHECK(on_disk.size() > 100);
  CHECK_FALSE(has(on_disk, begun.state));
  CHECK_FALSE(has(on_disk, begun.browser_binding.expose()));
  CHECK_FALSE(has(on_disk, sha256_base64url(begun.browser_binding.expose())));
  CHECK_FALSE(has(on_disk, "secret-plan"));
  CHECK(finish(w, begun).app_state == "/drafts/secret-plan");
}

TEST_CASE("C5.1: a victim's browser on an attacker's callback: no code is sent and nothing changes",
          "[web]") {
  LoginWorld w;
  const BegunLogin victims = begin(w);
  const std::string other(victims.browser_binding.expose());
  const std::vector<std::function<std::string(const BegunLogin&)>> cookies{
      [](const BegunLogin&) { return ""; },
      [&](const BegunLogin&) { return other; },
      [](const BegunLogin& attackers) { return attackers.state; },
      [](const BegunLogin& attackers) {
        return std::string(attackers.browser_binding.expose().substr(1));
      },
      [](const BegunLogin& attackers) {
        return std::string(attackers.browser_binding.expose()) + "A";
      },
      [](const BegunLogin& attackers) {
        return sha256_base64url(attackers.browser_binding.expose());
      }};
  const Revision before = w.world.log_in();  // who the victim is, and stays
  const std::size_t keys = w.keys();
  for (const auto& cookie : cookies) {
    const BegunLogin attackers = begin(w, returning_to("/evil"), LoginWorld::server_start());
    const auto end =
        w.login->callback(LoginWorld::callback(attackers.state), SecretString(cookie(attackers)));
    CHECK(outcome(end.session) == kOtherBrowser);
    CHECK(keeps_secrets(w, end.session.error()));
    CHECK(end.app_state.empty());  // the attacker's
    CHECK(outcome(finish(w, attackers).session) == kUnknown);
  }
  CHECK(w.requests_to("/token").empty());
  CHECK(w.world.stored().revision == before);
  CHECK(w.world.store->list({}, 10).value().sessions.size() == 1);
  CHECK(w.keys() == keys);
  CHECK(finish(w, victims).session);  // whose own login goes on
}

TEST_CASE("C5.3: another browser can't end a login by an error either", "[web]") {
  LoginWorld w;
  const BegunLogin begun = begin(w);
  const auto end = w.login->callback(
      "error=access_denied&iss=https%3A%2F%2Fas.test&state=" + begun.state, SecretString());
  CHECK(outcome(end.session) == kOtherBrowser);
  CHECK(end.app_state.empty());
}

TEST_CASE("C5.1: who does not know the state spends nobody's login", "[web]") {
  LoginWorld w;
  const BegunLogin begun = begin(w);
  for (const std::string& query :
       {std::string(), LoginWorld::callback("guess"), LoginWorld::callback(begun.state + "A"),
        "state=" + begun.state + "&state=" + begun.state, std::string("response=eyJ.e30.&iss=x"),
        LoginWorld::callback(sha256_base64url(begun.state))}) {
    const auto end = w.login->callback(query, begun.browser_binding);
    CHECK(outcome(end.session) == kUnknown);
    CHECK(end.app_state.empty());
  }
  CHECK(finish(w, begun).session);
}

TEST_CASE("C5.1: a callback that comes again is unknown, and changes nothing", "[web]") {
  LoginWorld w;
  const BegunLogin begun = begin(w);
  REQUIRE(finish(w, begun).session);
  const Revision before = w.world.stored().revision;
  const auto again = finish(w, begun);
  CHECK(outcome(again.session) == kUnknown);
  CHECK(again.app_state.empty());
  CHECK(w.world.stored().revision == before);
  CHECK(w.requests_to("/token").size() == 1);
}

TEST_CASE("C5.1: a login is good for ten minutes, in whatever process", "[web]") {
  LoginWorld w;
  const BegunLogin in_time = begin(w), late = begin(w);
  w.world.clock->advance(10min - 1ms);
  w.restart();
  CHECK(finish(w, in_time).session);
  w.world.clock->advance(1ms);
  CHECK(outcome(finish(w, late).session) == kUnknown);
}

TEST_CASE("C5.1: a bound login is not ended by a program that knows no browser", "[web]") {
  LoginWorld w;
  const BegunLogin begun = begin(w);
  CHECK(outcome(w.login->finish(LoginWorld::callback(begun.state))) == kOtherBrowser);
  CHECK(w.requests_to("/token").empty());
}

TEST_CASE("without_browser_binding: there is none, and any browser may end the login", "[web]") {
  LoginWorld w;
  AuthorizeOptions options = returning_to("/compose");
  options.without_browser_binding = true;
  const BegunLogin one = begin(w, options), two = begin(w, options);
  CHECK(one.browser_binding.empty());
  CHECK(finish(w, one).session);
  CHECK(w.login->callback(LoginWorld::callback(two.state), SecretString("whatever")).session);
}

TEST_CASE("C5.3: TS-52: whatever the refusal, app_state says where the person was", "[web]") {
  const std::string iss = "&iss=https%3A%2F%2Fas.test";
  const std::vector<std::pair<std::string, std::string>> cases{
      {"error=access_denied" + iss, "access_denied callback.access_denied"},
      {"error=login_required" + iss, "provider_error callback.error"},
      {"error=temporarily_unavailable" + iss, "provider_error callback.error"},
      {"code=c", "callback_invalid callback.iss_missing"},
      {"code=c&iss=https%3A%2F%2Fas.test%2F", "callback_invalid callback.iss_mismatch"},
      {"code=" + iss, "callback_invalid callback.code_missing"},
      {"response=eyJhbGciOiJub25lIn0.e30." + iss, "callback_invalid callback.jarm"},  // C5.13
  };
  LoginWorld w;
  const std::size_t keys = w.keys();
  for (const auto& [query, expected] : cases) {
    CAPTURE(query);
    const BegunLogin begun = begin(w);
    const auto end = w.login->callback("state=" + begun.state + "&" + query, begun.browser_binding);
    CHECK(outcome(end.session) == expected);
    CHECK(end.app_state == "/compose");
    CHECK(w.keys() == keys);
  }
  CHECK(w.requests_to("/token").empty());
}

TEST_CASE("C5.7: another account chosen on the same server is refused and revoked", "[web]") {
  LoginWorld w;
  w.on_token = [](const HttpRequest&) -> Result<HttpResponse> {
    return json_answer(200, token_json({{"sub", "\"did:plc:z72i7hdynmk6r22z27h6tvur\""}}));
  };
  const auto end = finish(w, begin(w));
  CHECK(outcome(end.session) == "token_invalid token.sub_mismatch");
  CHECK(end.app_state == "/compose");
  CHECK(w.world.server.revoked() == Tokens{std::string(kRefresh)});
  CHECK(w.world.store->list({}, 10).value().sessions.empty());
}

TEST_CASE("C5.8: a server that may not speak for the account is refused and revoked", "[web]") {
  LoginWorld w;
  w.documents["https://pds.test/.well-known/oauth-protected-resource"] =
      R"({"resource":"https://pds.test","authorization_servers":["https://other.test"]})";
  const auto end = finish(w, begin(w, returning_to("/compose"), LoginWorld::server_start()));
  CHECK(outcome(end.session) == "identity_mismatch issuer.not_authoritative");
  CHECK(w.world.server.revoked() == Tokens{std::string(kRefresh)});
  CHECK(w.world.store->list({}, 10).value().sessions.empty());
}

TEST_CASE("TS-58: the session that a web login replaces is revoked once the new one is stored",
          "[web]") {
  LoginWorld w;
  w.world.log_in();
  const BegunLogin begun = begin(w);
  w.restart();
  CHECK(w.world.server.revocations() == 0);
  REQUIRE(finish(w, begun).session);
  CHECK(w.world.server.revoked() == Tokens{"rt-1"});
  CHECK(w.world.stored().access_token.expose() == kAccess);
}

TEST_CASE("form_post: it is asked for, and the posted form is read as a query is", "[web]") {
  LoginWorld w;
  AuthorizeOptions options = returning_to("/compose");
  const BegunLogin plain = begin(w, options);
  options.response_mode = ResponseMode::form_post;
  const BegunLogin posted = begin(w, options);
  const auto pushed = w.requests_to("/par");
  CHECK(form_value(form_of(pushed[0]), "response_mode").value() == nullptr);
  CHECK(field(pushed[1], "response_mode") == "form_post");
  const auto end = w.login->callback(
      form_encode(
          {{"iss", std::string(kIssuer)}, {"code", std::string(kCode)}, {"state", posted.state}}),
      posted.browser_binding);
  REQUIRE(end.session);
  CHECK(field(w.requests_to("/token")[0], "code") == kCode);
  const auto jarm = w.login->callback(form_encode({{"response", "eyJ"}, {"state", plain.state}}),
                                      plain.browser_binding);
  CHECK(outcome(jarm.session) == "callback_invalid callback.jarm");  // C5.13
}

TEST_CASE("app_state: any bytes come back, and too many are refused before anything is sent",
          "[web]") {
  LoginWorld w;
  const std::size_t keys = w.keys();
  CHECK(outcome(w.login->authorize(LoginWorld::account(),
                                   returning_to(std::string(kMaxAppState + 1, 'x')))) ==
        "invalid_argument login.app_state");
  CHECK(w.server->count() == 0);
  CHECK(w.keys() == keys);
  std::string bytes(kMaxAppState, '\0');
  bytes[1] = '\xff';
  CHECK(finish(w, begin(w, returning_to(bytes))).app_state == bytes);
}

TEST_CASE("C4.2: a prompt is sent when one is asked for, and none by public clients is refused",
          "[web]") {
  LoginWorld w;
  for (const Prompt prompt :
       {Prompt::login, Prompt::consent, Prompt::select_account, Prompt::create}) {
    AuthorizeOptions options = returning_to({});
    options.prompt = prompt;
    static_cast<void>(begin(w, options));
    CHECK(field(w.requests_to("/par").back(), "prompt") == to_string(prompt));
  }
  static_cast<void>(begin(w));
  CHECK(form_value(form_of(w.requests_to("/par").back()), "prompt").value() == nullptr);
  const std::size_t sent = w.server->count(), keys = w.keys();
  AuthorizeOptions silent = returning_to({});
  silent.prompt = Prompt::none;
  CHECK(outcome(w.login->authorize(LoginWorld::account(), silent)) ==
        "invalid_argument login.prompt");  // SV-10
  CHECK(w.server->count() == sent);
  CHECK(w.keys() == keys);
}

TEST_CASE("C4.12: an unsaid redirect is the only one of the client, and never a guess", "[web]") {
  LoginWorld w;
  AuthorizeOptions unsaid;
  CHECK(outcome(w.login->authorize(LoginWorld::account(), unsaid)) ==
        "invalid_argument login.redirect");  // two, and any port
  AuthorizeOptions foreign{.redirect_uri = "https://evil.test/callback"};
  CHECK(outcome(w.login->authorize(LoginWorld::account(), foreign)) ==
        "invalid_argument login.redirect");
  CHECK(w.server->count() == 0);
  w.client.redirect_uris = {"https://app.test/oauth/callback"};
  w.restart();
  const BegunLogin begun = begin(w, unsaid);
  CHECK(field(w.requests_to("/par")[0], "redirect_uri") == "https://app.test/oauth/callback");
  REQUIRE(finish(w, begun).session);
  CHECK(field(w.requests_to("/token")[0], "redirect_uri") == "https://app.test/oauth/callback");
}

namespace {

// Two programs over one database, each with a connection and a client of its own.
struct TwoPrograms {
  TemporaryFolder folder;
  LoginWorld w;
  AtprotoClient one = open(), two = open();

  AtprotoClient open() {
    auto store =
        SqliteOAuthTokenStore::open(folder.path() / "sessions.db", w.world.vault->sealer()).value();
    return AtprotoClient::create({.client = loopback_client("atproto transition:generic"),
                                  .store = std::move(store),
                                  .vault = w.world.vault,
                                  .transport = w.server,
                                  .strangers = w.strangers,
                                  .clock = w.world.clock,
                                  .random = w.world.random})
        .value();
  }
};

}  // namespace

TEST_CASE("C5.1: of two programs over one database one takes the callback, the other is told",
          "[web][concurrency]") {
  TwoPrograms programs;
  for (unsigned round = 0; round < 10; ++round) {
    const auto begun = programs.one.authorize("alice.test", returning_to("/compose")).value();
    const std::string query = LoginWorld::callback(begun.state);
    const auto end = [&](AtprotoClient& client) {
      return outcome(client.callback(query, begun.browser_binding).session);
    };
    auto other = std::async(std::launch::async, [&] { return end(programs.two); });
    const std::string first = end(programs.one), second = other.get();
    CHECK(((first == "ok" && second == kUnknown) || (first == kUnknown && second == "ok")));
    CHECK(programs.w.requests_to("/token").size() == round + 1);
  }
}

TEST_CASE("C4.10: authorize: the hint is what was typed, and the other program has the session",
          "[web]") {
  TwoPrograms programs;
  for (const std::string who : {"alice.test", "did:plc:ewvi7nxzyoun6zhxrhs64oiz"}) {
    const auto begun = programs.one.authorize(who, returning_to("/compose")).value();
    CHECK(field(programs.w.requests_to("/par").back(), "login_hint") == who);
    const auto end =
        programs.two.callback(LoginWorld::callback(begun.state), begun.browser_binding);
    CHECK(end.session.value().handle == "alice.test");
    CHECK(end.app_state == "/compose");
    CHECK(programs.one.fresh(kSubject).value()->access_token.expose() == kAccess);
  }
  CHECK(outcome(programs.one.authorize("nobody.test", returning_to({}))) != "ok");
}
