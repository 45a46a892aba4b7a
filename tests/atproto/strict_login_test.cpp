// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

import latchkey.atproto.login;
import latchkey.core;
import latchkey.http;
import latchkey.refresh.keeper;
import latchkey.session;
import latchkey.store;
import latchkey.test.login_world;
import latchkey.test.outcome;
import latchkey.test.refresh_world;
import latchkey.test.scripted_transport;

// Logins that insist on a DPoP-Nonce with their tokens, which no server is made to send and no
// other client asks for.

using namespace latchkey;
using namespace latchkey::test;

namespace {

using Tokens = std::vector<std::string>;

struct StrictWorld : LoginWorld {
  StrictWorld() {
    world.context.profile.require_dpop_nonce = true;
    restart();
  }
  [[nodiscard]] std::string finish_with(Answer token_answer) {
    on_token = std::move(token_answer);
    return outcome(login->finish(callback(begun())));
  }
};

}  // namespace

TEST_CASE("C6.8: strict: tokens that come without a usable DPoP-Nonce are refused and revoked",
          "[login]") {
  const std::vector<std::vector<std::string_view>> nonces{
      {}, {""}, {"two words"}, {"with\"quote"}, {"one", "two"}, {"one", "one"}};
  for (const auto& fields : nonces) {
    CAPTURE(fields);
    StrictWorld w;
    const std::size_t keys = w.keys();
    CHECK(w.finish_with([&](const HttpRequest&) -> Result<HttpResponse> {
      HttpResponse tokens = json_answer(200, token_json());
      for (const auto field : fields) REQUIRE(tokens.headers.add("DPoP-Nonce", field));
      return tokens;
    }) == "token_invalid token.dpop_nonce_missing");
    CHECK(w.world.server.revoked() == Tokens{std::string(kRefresh)});
    CHECK(w.world.store->list({}, 10).value().sessions.empty());
    CHECK(w.keys() == keys);
    CHECK(w.requests_to("/token").size() == 1);
  }
}

TEST_CASE("C6.8: strict: with a DPoP-Nonce the login is as any other", "[login]") {
  StrictWorld w;
  CHECK(w.finish_with([](const HttpRequest&) -> Result<HttpResponse> {
    return json_answer(200, token_json(), {{"DPoP-Nonce", "nonce-1"}});
  }) == "ok");
  CHECK(w.world.server.revocations() == 0);
}

TEST_CASE("C6.8: strict: what an intermediary answers is the error that it is", "[login]") {
  const std::vector<std::pair<int, std::string>> cases{
      {413, "invalid_response token.status"},     {429, "rate_limited token.rate_limited"},
      {502, "provider_error token.server_error"}, {503, "provider_error token.server_error"},
      {504, "provider_error token.server_error"},
  };
  for (const auto& [status, expected] : cases) {
    CAPTURE(status);
    StrictWorld w;
    CHECK(w.finish_with([code = status](const HttpRequest&) -> Result<HttpResponse> {
      return answer(code, {{"Content-Type", "text/html"}, {"Retry-After", "7"}}, "<html>");
    }) == expected);
    CHECK(w.world.server.revocations() == 0);
  }
}

TEST_CASE("C6.8: strict: an error of the server keeps its own name without a nonce", "[login]") {
  StrictWorld w;
  CHECK(w.finish_with([](const HttpRequest&) -> Result<HttpResponse> {
    return json_answer(400, R"({"error":"invalid_grant"})");
  }) == "invalid_grant token.invalid_grant");
  CHECK(w.world.server.revocations() == 0);
}

TEST_CASE("C6.8: strict: a refresh is not judged by it, and no session ends", "[login]") {
  StrictWorld w;
  OAuthSession session = sample_session(w.world.jkt);
  session.client_id = w.client.client_id;
  session.revision = Revision{1};
  REQUIRE(w.world.store->save(session, Revision{}));
  w.on_token = [&](const HttpRequest& request) { return w.world.server.answer(request); };
  w.world.clock->advance(std::chrono::hours{1});
  CHECK(outcome(w.world.keeper()->fresh(kSubject)) == "ok");
  CHECK(w.world.stored().state == SessionState::active);
  CHECK(w.world.server.revocations() == 0);
}

TEST_CASE("C6.8: not strict, which is the default: a token answer needs no DPoP-Nonce", "[login]") {
  LoginWorld w;
  CHECK(outcome(w.login->finish(LoginWorld::callback(w.begun()))) == "ok");
}
