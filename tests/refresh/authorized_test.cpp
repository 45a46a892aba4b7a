// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

import latchkey.core;
import latchkey.http;
import latchkey.http.policy;
import latchkey.refresh.authorized;
import latchkey.refresh.context;
import latchkey.refresh.keeper;
import latchkey.session;
import latchkey.store;
import latchkey.test.outcome;
import latchkey.test.refresh_world;
import latchkey.test.resource_world;
import latchkey.test.scripted_transport;

// A request to a resource server, and what is done about refused tokens and broken connections.

using namespace latchkey;
using namespace latchkey::test;
using namespace std::chrono_literals;

namespace {

Result<HttpRequest> get_record(const SessionSummary& session) {
  auto url = Url::parse(session.resource_server + "/xrpc/com.example.get?x=1");
  if (!url) return std::move(url).error();
  return HttpRequest{.method = "GET", .url = *std::move(url)};
}

Result<HttpRequest> post_record(const SessionSummary& session) {
  auto request = get_record(session);
  if (request) request->method = "POST";
  return request;
}

Result<HttpResponse> send(const ResourceWorld& w, const RequestMaker& make = get_record,
                          Repeat repeat = Repeat::safe,
                          const SendOptions& options = resource_limits()) {
  return send_authorized(*w.keeper, kSubject, make, repeat, options);
}

std::string status_of(const Result<HttpResponse>& answer) {
  return answer ? std::to_string(answer->status) : outcome(answer);
}

Error transport_error(ErrorCode code) {
  Error error = make_error(code, "test.transport", "no luck");
  error.delivery = Delivery::maybe_sent;
  return error;
}

}  // namespace

TEST_CASE("C6.9: send_authorized: the request carries the token and a proof that names it",
          "[authorized]") {
  ResourceWorld w;
  w.pds->push(json_answer(200, "{}"));
  CHECK(status_of(send(w)) == "200");
  const auto requests = w.requests();
  REQUIRE(requests.size() == 1);
  CHECK(requests[0].authorization->scheme == Authorization::Scheme::dpop);
  CHECK(token_of(requests[0]) == "at-1");
  CHECK(claim_of(requests[0], "htm") == "GET");
  CHECK(claim_of(requests[0], "htu") == "https://pds.test/xrpc/com.example.get");
  CHECK(claim_of(requests[0], "ath") == sha256_base64url("at-1"));
  CHECK(w.world.server.refreshes() == 0);
}

TEST_CASE("send_authorized: a Bearer session sends its token without a proof", "[authorized]") {
  ResourceWorld w;
  OAuthSession session = w.world.stored();
  const Revision before = std::exchange(session.revision, Revision{50});
  session.dpop_jkt.clear();
  session.token_type = "Bearer";
  REQUIRE(w.world.store->save(session, before));
  w.pds->push(json_answer(200, "{}"));
  CHECK(status_of(send(w)) == "200");
  CHECK(w.requests()[0].authorization->scheme == Authorization::Scheme::bearer);
  CHECK(w.requests()[0].headers.find("DPoP") == nullptr);
}

TEST_CASE("send_authorized: any status is an answer, and none of these leads to a refresh",
          "[authorized]") {
  for (const int status : {204, 301, 307, 400, 401, 403, 404, 429, 500, 503}) {
    CAPTURE(status);
    ResourceWorld w;
    w.pds->push(
        json_answer(status, R"({"error":"invalid_token"})", {{"Location", "https://evil.test/"}}));
    CHECK(status_of(send(w)) == std::to_string(status));
    CHECK(w.pds->count() == 1);
    CHECK(w.world.server.refreshes() == 0);
  }
}

TEST_CASE("C7.10: a refused token leads to one refresh and one more request with the new one",
          "[authorized]") {
  ResourceWorld w;
  w.pds->push(token_refused()).push(json_answer(200, R"({"ok":true})"));
  CHECK(status_of(send(w, post_record, Repeat::never)) == "200");
  const auto requests = w.requests();
  REQUIRE(requests.size() == 2);
  CHECK(token_of(requests[0]) == "at-1");
  CHECK(token_of(requests[1]) == "at-2");
  CHECK(claim_of(requests[1], "ath") == sha256_base64url("at-2"));
  CHECK(claim_of(requests[0], "jti") != claim_of(requests[1], "jti"));
  CHECK(w.world.server.refreshes() == 1);
  CHECK(w.world.stored().access_token.expose() == "at-2");
}

TEST_CASE(
    "send_authorized: a token refused twice is an error after one refresh, without the token in it",
    "[authorized]") {
  ResourceWorld w;
  w.pds->push(token_refused()).push(token_refused());
  const auto answer = send(w);
  CHECK(outcome(answer) == "token_invalid resource.token_refused");
  CHECK(answer.error().http_status == 401);
  CHECK(answer.error().message.find("at-") == std::string::npos);
  CHECK(w.pds->count() == 2);
  CHECK(w.world.server.refreshes() == 1);
}

TEST_CASE("send_authorized: a server that renews a token into itself is asked once",
          "[authorized]") {
  ResourceWorld w;
  int refreshes = 0;
  w.world.context.transport = std::make_shared<ScriptedTransport>(
      [&](const HttpRequest& request, const SendOptions& options) -> Result<HttpResponse> {
        if (request.url.host() != "as.test") return w.pds->send(request, options);
        ++refreshes;
        return json_answer(
            200,
            R"({"access_token":"at-1","refresh_token":"rt-2","token_type":"DPoP","expires_in":60,)"
            R"("scope":"atproto","sub":"did:plc:ewvi7nxzyoun6zhxrhs64oiz"})");
      });
  w.keeper = w.world.keeper();
  w.pds->push(token_refused()).push(token_refused());
  CHECK(outcome(send(w)) == "token_invalid resource.token_refused");
  CHECK(refreshes == 1);
  CHECK(w.pds->count() == 2);
}

TEST_CASE("send_authorized: a token that another process has renewed is taken without a refresh",
          "[authorized]") {
  ResourceWorld w;
  w.pds->push([&](const HttpRequest&, const SendOptions&) -> Result<HttpResponse> {
    OAuthSession theirs = sample_session(w.world.jkt);
    theirs.access_token = SecretString("at-theirs");
    theirs.revision = Revision{51};
    REQUIRE(w.world.store->save(theirs, w.world.stored().revision));
    return token_refused();
  });
  w.pds->push(json_answer(200, "{}"));
  CHECK(status_of(send(w)) == "200");
  CHECK(token_of(w.requests()[1]) == "at-theirs");
  CHECK(w.world.server.refreshes() == 0);
}

TEST_CASE("send_authorized: a refresh that fails is the answer, and nothing is sent again",
          "[authorized]") {
  ResourceWorld w;
  w.pds->push(token_refused());
  w.world.server.kill_session();
  CHECK(outcome(send(w)) == "session_dead session.dead");
  CHECK(w.pds->count() == 1);
}

TEST_CASE("send_authorized: without a session nothing is sent", "[authorized]") {
  ResourceWorld w;
  CHECK(outcome(send_authorized(*w.keeper, "did:web:nobody.test", get_record, Repeat::safe, {})) ==
        "login_required session.absent");
  CHECK(w.pds->count() == 0);
}

TEST_CASE("send_authorized: a request that can't be made is not sent", "[authorized]") {
  ResourceWorld w;
  const auto refuse = [](const SessionSummary&) -> Result<HttpRequest> {
    return make_error(ErrorCode::invalid_argument, "test.made", "no");
  };
  CHECK(outcome(send(w, refuse)) == "invalid_argument test.made");
  CHECK(w.pds->count() == 0);
}

TEST_CASE("C7.13: after a refresh the request goes to where the account is now", "[authorized]") {
  ResourceWorld w;
  w.world.context.profile.confirm = [](const SessionSummary&,
                                       std::stop_token) -> Result<std::string> {
    return std::string("https://moved.test");
  };
  w.keeper = w.world.keeper();
  w.pds->push(token_refused()).push(json_answer(200, "{}"));
  CHECK(status_of(send(w)) == "200");
  CHECK(w.requests()[0].url.origin() == "https://pds.test");
  CHECK(w.requests()[1].url.origin() == "https://moved.test");
  CHECK(claim_of(w.requests()[1], "htu") == "https://moved.test/xrpc/com.example.get");
}

TEST_CASE("send_authorized: a nonce costs one more request each, and is remembered",
          "[authorized]") {
  ResourceWorld w;
  w.pds->push(nonce_wanted("n-1"))
      .push(token_refused())
      .push(nonce_wanted("n-2"))
      .push(json_answer(200, "{}"));
  CHECK(status_of(send(w, post_record, Repeat::never)) == "200");
  const auto requests = w.requests();
  REQUIRE(requests.size() == 4);
  CHECK(claim_of(requests[0], "nonce").empty());
  CHECK(claim_of(requests[1], "nonce") == "n-1");
  CHECK(claim_of(requests[2], "nonce") == "n-1");
  CHECK(claim_of(requests[3], "nonce") == "n-2");
  CHECK(token_of(requests[3]) == "at-2");
  CHECK(w.world.server.refreshes() == 1);
}

TEST_CASE("send_authorized: a kept connection that broke is replaced once, with a new proof",
          "[authorized]") {
  ResourceWorld w;
  w.pds->push(connection_lost()).push(json_answer(200, "{}"));
  CHECK(status_of(send(w)) == "200");
  const auto requests = w.requests();
  REQUIRE(requests.size() == 2);
  CHECK(claim_of(requests[0], "jti") != claim_of(requests[1], "jti"));
  CHECK(w.pds->options()[0].connection == Connection::pooled);
  CHECK(w.pds->options()[1].connection == Connection::fresh);
}

TEST_CASE("send_authorized: the second break is the answer", "[authorized]") {
  ResourceWorld w;
  w.pds->push(connection_lost()).push(connection_lost()).push(json_answer(200, "{}"));
  CHECK(outcome(send(w)) == "connection_lost test.lost");
  CHECK(w.pds->count() == 2);
}

TEST_CASE("send_authorized: a repetition that was not sent does not unsend the first request",
          "[authorized]") {
  ResourceWorld w;
  w.pds->push(connection_lost()).push(make_error(ErrorCode::unreachable, "test.gone", "gone"));
  const auto answer = send(w);
  CHECK(outcome(answer) == "unreachable test.gone");
  CHECK(answer.error().delivery == Delivery::maybe_sent);
}

TEST_CASE("send_authorized: what must not happen twice is not sent twice", "[authorized]") {
  ResourceWorld w;
  w.pds->push(connection_lost());
  const auto answer = send(w, post_record, Repeat::never);
  CHECK(outcome(answer) == "connection_lost test.lost");
  CHECK(answer.error().delivery == Delivery::maybe_sent);
  CHECK(w.pds->count() == 1);
}

TEST_CASE("send_authorized: a connection of its own that broke is no sign of a stale one",
          "[authorized]") {
  ResourceWorld w;
  w.pds->push(connection_lost());
  SendOptions options = resource_limits();
  options.connection = Connection::fresh;
  CHECK(outcome(send(w, get_record, Repeat::safe, options)) == "connection_lost test.lost");
  CHECK(w.pds->count() == 1);
}

TEST_CASE("send_authorized: no other failure is repeated", "[authorized]") {
  for (const ErrorCode code :
       {ErrorCode::timeout, ErrorCode::unreachable, ErrorCode::tls_failed, ErrorCode::cancelled,
        ErrorCode::insecure_address, ErrorCode::response_too_large}) {
    ResourceWorld w;
    w.pds->push(transport_error(code));
    CHECK(send(w).error().code == code);
    CHECK(w.pds->count() == 1);
  }
}

TEST_CASE("send_authorized: the caller's stop reaches the wire and the wait for a session",
          "[authorized]") {
  ResourceWorld w;
  std::stop_source stop;
  w.pds->push(json_answer(200, "{}"));
  CHECK(status_of(send(w, get_record, Repeat::safe, resource_limits(stop.get_token()))) == "200");
  stop.request_stop();
  CHECK(w.pds->options()[0].stop.stop_requested());
  w.pds->push(token_refused());
  CHECK(send(w, get_record, Repeat::safe, resource_limits(stop.get_token())).error().code ==
        ErrorCode::cancelled);
  CHECK(w.keeper->settle(10s));
}

TEST_CASE(
    "refuses_token: 401 with error=invalid_token in a DPoP or Bearer challenge, and nothing else",
    "[authorized]") {
  const auto refuses = [](int status, std::string_view challenge) {
    return refuses_token(answer(status, {{"WWW-Authenticate", challenge}}));
  };
  CHECK(refuses(401, R"(DPoP error="invalid_token")"));
  CHECK(refuses(401, R"(dpop algs="ES256", error=invalid_token, error_description="x")"));
  CHECK(refuses(401, R"(BEARER realm="x", error="invalid_token")"));
  CHECK(refuses(401, R"(Basic realm="x", DPoP error="invalid_token")"));
  CHECK_FALSE(refuses(400, R"(DPoP error="invalid_token")"));
  CHECK_FALSE(refuses(403, R"(DPoP error="invalid_token")"));
  CHECK_FALSE(refuses(401, R"(DPoP error="use_dpop_nonce")"));
  CHECK_FALSE(refuses(401, R"(DPoP error="INVALID_TOKEN")"));
  CHECK_FALSE(refuses(401, R"(Basic error="invalid_token")"));
  CHECK_FALSE(refuses(401, R"(DPoPx error="invalid_token")"));
  CHECK_FALSE(refuses(401, R"(DPoP realm="error=invalid_token")"));
  CHECK_FALSE(refuses(401, "DPoP"));
  CHECK_FALSE(refuses_token(json_answer(401, R"({"error":"invalid_token"})")));
}
