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

import latchkey.atproto.identifier;
import latchkey.atproto.pds;
import latchkey.core;
import latchkey.http;
import latchkey.refresh.keeper;
import latchkey.session;
import latchkey.store;
import latchkey.test.outcome;
import latchkey.test.refresh_world;
import latchkey.test.resource_world;
import latchkey.test.scripted_transport;

// Calls of any kind: what may be added to them, what is not sent because it is not allowed, and
// where they go when the account has moved.

using namespace latchkey;
using namespace latchkey::test;
using namespace std::chrono_literals;

namespace {

const std::string kPost = "app.bsky.feed.post";
const std::string kAppview = "did:web:api.bsky.app#bsky_appview";
const std::string kRef = R"({"uri":"at://x/app.bsky.feed.post/r1","cid":"bafy1"})";

struct CallWorld : ResourceWorld {
  /// What the DID document says when it is asked, and how often it was.
  Result<std::string> home = std::string("https://pds.test");
  unsigned looks = 0;

  CallWorld() {
    world.context.profile.confirm = [this](const SessionSummary&,
                                           std::stop_token) -> Result<std::string> {
      ++looks;
      return home;
    };
    keeper = world.keeper();
  }
  void grant(std::string_view scope) {
    OAuthSession session = world.stored();
    const Revision before = std::exchange(session.revision, Revision{900});
    session.scope = scope;
    REQUIRE(world.store->save(session, before));
  }
  [[nodiscard]] PdsClient client(PdsOptions options = {}) const {
    return PdsClient(keeper, std::make_shared<TidSource>(*world.clock, *world.random),
                     std::string(kSubject), options);
  }
  CallWorld& says(int status, std::string_view body, HeaderList headers = {}) {
    pds->push(json_answer(status, body, headers));
    return *this;
  }
};

Error gone(ErrorCode code, Delivery delivery = Delivery::not_sent) {
  Error error = make_error(code, "test.gone", "nobody is there");
  error.delivery = delivery;
  return error;
}

const std::string kDeactivated =
    R"({"error":"AccountDeactivated","message":"Account is deactivated"})";

}  // namespace

TEST_CASE("query: a proxied call names its service, and further headers go with it", "[pds]") {
  CallWorld w;
  w.says(200, R"({"feed":[]})", {{"RateLimit-Limit", "3000"}});
  const auto answer =
      w.client().query({.nsid = "app.bsky.feed.getTimeline",
                        .parameters = {{"limit", "5"}, {"tag", "a"}, {"tag", "b"}},
                        .proxy = kAppview,
                        .headers = {{"atproto-accept-labelers", "did:web:l.test"}}});
  REQUIRE(answer);
  CHECK(answer->text == R"({"feed":[]})");
  CHECK(answer->content_type == "application/json");
  CHECK(answer->rate_limit.limit == 3000);
  const auto request = std::move(w.requests().at(0));
  CHECK(request.url.target() == "/xrpc/app.bsky.feed.getTimeline?limit=5&tag=a&tag=b");
  CHECK(*request.headers.find("atproto-proxy") == kAppview);
  CHECK(*request.headers.find("atproto-accept-labelers") == "did:web:l.test");
}

TEST_CASE("query: headers that the library sets itself, and malformed ones, are refused", "[pds]") {
  CallWorld w;
  for (const std::string name :
       {"Authorization", "DPoP", "dpop", "HOST", "Content-Type", "accept", "atproto-proxy",
        "Content-Length", "Transfer-Encoding", "Cookie"}) {
    CAPTURE(name);
    CHECK(outcome(w.client().query({.nsid = "a.b.c", .headers = {{name, "x"}}})) ==
          "invalid_argument xrpc.header");
  }
  CHECK(outcome(w.client().query({.nsid = "a.b.c", .headers = {{"x", "a\r\nDPoP: y"}}})) ==
        "invalid_argument xrpc.header");
  CHECK(outcome(w.client().query({.nsid = "a.b.c", .headers = {{"x y", "a"}}})) ==
        "invalid_argument xrpc.header");
  CHECK(outcome(w.client().query({.nsid = "a.b.c", .proxy = "did:web:api.bsky.app"})) ==
        "invalid_argument service.malformed");
  CHECK(outcome(w.client().query({.nsid = "a.b.c", .proxy = "evil#x\r\n"})) ==
        "invalid_argument service.malformed");
  CHECK(w.pds->count() == 0);
}

TEST_CASE("C9.5: a write that was not granted is not sent, and the error says what to ask for",
          "[pds]") {
  CallWorld w;
  w.grant("atproto repo:app.bsky.feed.like");
  const auto refused = w.client().create_record(kPost, "{}");
  CHECK(outcome(refused) == "insufficient_scope scope.missing");
  CHECK(refused.error().message.find("repo:app.bsky.feed.post?action=create") != std::string::npos);
  CHECK(refused.error().http_status == 0);
  CHECK(outcome(w.client().put_record(kPost, "r1", "{}")) == "insufficient_scope scope.missing");
  CHECK(outcome(w.client().delete_record(kPost, "r1")) == "insufficient_scope scope.missing");
  CHECK(outcome(w.client().upload_blob("x", {.mime_type = "image/png"})) ==
        "insufficient_scope scope.missing");
  CHECK(w.pds->count() == 0);
}

TEST_CASE("C9.5: each write needs its own action, and a put needs both", "[pds]") {
  CallWorld w;
  w.grant("atproto repo:app.bsky.feed.post?action=create");
  w.says(200, kRef);
  CHECK(w.client().create_record(kPost, "{}"));
  const auto put = w.client().put_record(kPost, "r1", "{}");
  CHECK(outcome(put) == "insufficient_scope scope.missing");
  CHECK(put.error().message.find("action=update") != std::string::npos);
  CHECK(put.error().message.find("action=create") == std::string::npos);
  CHECK(outcome(w.client().delete_record(kPost, "r1")) == "insufficient_scope scope.missing");
  CHECK(w.pds->count() == 1);
}

TEST_CASE("C9.5: of writes that happen together all must be granted", "[pds]") {
  CallWorld w;
  w.grant("atproto repo:app.bsky.feed.post?action=create");
  const std::vector<RecordWrite> writes{
      {.collection = kPost, .record = "{}"},
      {.action = RecordAction::remove, .collection = kPost, .rkey = "r1"}};
  const auto refused = w.client().apply_writes(writes);
  CHECK(outcome(refused) == "insufficient_scope scope.missing");
  CHECK(refused.error().message.find("repo:app.bsky.feed.post?action=delete") != std::string::npos);
  CHECK(w.pds->count() == 0);
}

TEST_CASE("C9.5: a proxied call that was not granted is not sent, one of the PDS itself is",
          "[pds]") {
  CallWorld w;
  w.grant("atproto rpc:app.bsky.feed.getTimeline?aud=*");
  w.says(200, "{}").says(200, "{}");
  CHECK(w.client().query({.nsid = "app.bsky.feed.getTimeline", .proxy = kAppview}));
  CHECK(w.client().query({.nsid = "app.bsky.feed.getLikes"}));
  const auto refused = w.client().query({.nsid = "app.bsky.feed.getLikes", .proxy = kAppview});
  CHECK(outcome(refused) == "insufficient_scope scope.missing");
  CHECK(refused.error().message.find(
            "rpc:app.bsky.feed.getLikes?aud=did:web:api.bsky.app%23bsky_appview") !=
        std::string::npos);
  CHECK(w.pds->count() == 2);
}

TEST_CASE("C9.5: what is not known here is left to the server", "[pds]") {
  for (const std::string_view scope : {"atproto include:a.b.authAll", "atproto space:x", ""}) {
    CAPTURE(scope);
    CallWorld w;
    w.grant(scope);
    w.says(403, R"({"error":"ScopeMissingError","message":"Missing required scope"})");
    CHECK(outcome(w.client().create_record(kPost, "{}")) ==
          "insufficient_scope xrpc.ScopeMissingError");
    CHECK(w.pds->count() == 1);
  }
}

TEST_CASE("C9.5: without the preflight the server decides", "[pds]") {
  CallWorld w;
  w.grant("atproto");
  w.says(200, kRef);
  CHECK(w.client({.without_preflight = true}).create_record(kPost, "{}"));
}

TEST_CASE("C7.13: an account that has moved is followed, and the session knows from then on",
          "[pds]") {
  CallWorld w;
  w.home = std::string("https://new.test");
  w.says(400, kDeactivated).says(200, kRef).says(200, kRef);
  REQUIRE(w.client().create_record(kPost, R"({"n":1})"));
  const auto requests = w.requests();
  REQUIRE(requests.size() == 2);
  CHECK(requests[0].url.origin() == "https://pds.test");
  CHECK(requests[1].url.origin() == "https://new.test");
  CHECK(requests[0].body == requests[1].body);
  CHECK(w.world.stored().resource_server == "https://new.test");
  CHECK(w.world.stored().refresh_token->expose() == "rt-1");
  REQUIRE(w.client().create_record(kPost, "{}"));
  CHECK(w.requests()[2].url.origin() == "https://new.test");
  CHECK(w.looks == 1);
}

TEST_CASE("C7.13: a server that is gone is a reason to look, one that broke off is none", "[pds]") {
  CallWorld w;
  w.home = std::string("https://new.test");
  w.pds->push(gone(ErrorCode::unreachable));
  w.says(200, "{}");
  CHECK(w.client().query("a.b.c"));
  CHECK(w.looks == 1);

  CallWorld off;  // a machine that is switched off
  off.home = std::string("https://new.test");
  off.pds->push(gone(ErrorCode::timeout));
  off.says(200, "{}");
  CHECK(off.client().query("a.b.c"));
  CHECK(off.requests()[1].url.origin() == "https://new.test");

  for (const auto& error :
       {gone(ErrorCode::unreachable, Delivery::maybe_sent),
        gone(ErrorCode::timeout, Delivery::maybe_sent), gone(ErrorCode::cancelled)}) {
    CallWorld other;
    other.home = std::string("https://new.test");
    other.pds->push(error);
    CHECK_FALSE(other.client().query("a.b.c"));
    CHECK(other.looks == 0);
    CHECK(other.world.stored().resource_server == "https://pds.test");
  }
}

TEST_CASE("C7.13: an account that has not moved keeps its error, and is looked up once a minute",
          "[pds]") {
  CallWorld w;
  const Revision before = w.world.stored().revision;
  w.says(400, kDeactivated).says(400, kDeactivated).says(400, kDeactivated);
  CHECK(outcome(w.client().create_record(kPost, "{}")) == "resource_error xrpc.AccountDeactivated");
  CHECK(outcome(w.client().create_record(kPost, "{}")) == "resource_error xrpc.AccountDeactivated");
  CHECK(w.looks == 1);
  w.world.clock->advance(61s);
  CHECK(outcome(w.client().create_record(kPost, "{}")) == "resource_error xrpc.AccountDeactivated");
  CHECK(w.looks == 2);
  CHECK(w.pds->count() == 3);
  CHECK(w.world.stored().revision == before);
}

TEST_CASE("C7.13: of callers who come together each follows the account, and one looks", "[pds]") {
  CallWorld w;
  w.home = std::string("https://new.test");
  std::string second;
  // The other's whole call happens while this one is on its way to the old server.
  w.pds->push([&](const HttpRequest&, const SendOptions&) -> Result<HttpResponse> {
    w.says(400, kDeactivated).says(200, "{}").says(200, "{}");
    second = outcome(w.client().query("a.b.c"));
    return json_answer(400, kDeactivated);
  });
  CHECK(outcome(w.client().query("a.b.c")) == "ok");
  CHECK(second == "ok");
  CHECK(w.looks == 1);
  CHECK(w.requests().back().url.origin() == "https://new.test");
}

TEST_CASE("C7.13: another issuer needs a login, and the session is kept", "[pds]") {
  CallWorld w;
  w.home = make_error(ErrorCode::identity_mismatch, "issuer.not_authoritative", "another issuer");
  w.says(400, kDeactivated);
  const auto refused = w.client().create_record(kPost, "{}");
  CHECK(outcome(refused) == "login_required session.issuer_changed");
  CHECK(w.world.stored().state == SessionState::active);
  CHECK(w.world.stored().refresh_token->expose() == "rt-1");
  CHECK(w.world.server.revocations() == 0);
}

TEST_CASE("C7.13: another issuer found at a refresh needs a login too", "[pds]") {
  CallWorld w;
  w.home = make_error(ErrorCode::identity_mismatch, "issuer.not_authoritative", "another issuer");
  w.world.clock->advance(2h);
  CHECK(outcome(w.client().query("a.b.c")) == "login_required session.issuer_changed");
  CHECK(w.world.server.refreshes() == 0);
  CHECK(w.world.stored().state == SessionState::active);
}

TEST_CASE("C7.13: a DID that does not resolve now changes nothing", "[pds]") {
  CallWorld w;
  w.home = make_error(ErrorCode::unreachable, "test.plc", "the directory is down");
  w.says(400, kDeactivated);
  CHECK(outcome(w.client().query("a.b.c")) == "resource_error xrpc.AccountDeactivated");
  CHECK(w.world.stored().resource_server == "https://pds.test");
}

TEST_CASE("C7.13: a refresh with an unknown outcome is not disturbed", "[pds]") {
  CallWorld w;
  w.home = std::string("https://new.test");
  REQUIRE(w.world.store->save_claim({.subject = std::string(kSubject),
                                     .revision = w.world.stored().revision,
                                     .id = 5,
                                     .at = kNow,
                                     .pid = 1,
                                     .host = "here"}));
  w.says(400, kDeactivated);
  CHECK(outcome(w.client().query("a.b.c")) == "resource_error xrpc.AccountDeactivated");
  CHECK(w.world.stored().resource_server == "https://pds.test");
}

TEST_CASE("C7.13: a login that happens meanwhile is not overwritten", "[pds]") {
  CallWorld w;
  w.home = std::string("https://new.test");
  w.world.store->set_hook([&](std::string_view call) -> std::optional<Error> {
    if (call != "save") return std::nullopt;
    w.world.store->set_hook({});
    w.grant("atproto repo:*");
    return std::nullopt;
  });
  w.says(400, kDeactivated);
  CHECK_FALSE(w.client().query("a.b.c"));
  CHECK(w.world.stored().resource_server == "https://pds.test");
  CHECK(w.world.stored().scope == "atproto repo:*");
}

TEST_CASE("C10.5: rate-limit headers come with every answer, nonsense in them is none", "[pds]") {
  const auto limits = [](HeaderList headers) {
    return rate_limit_of(json_answer(200, "{}", headers));
  };
  const auto all = limits({{"RateLimit-Limit", "3000"},
                           {"RateLimit-Remaining", "2999"},
                           {"RateLimit-Reset", "1790000300"},
                           {"RateLimit-Policy", "3000;w=300"}});
  CHECK(all.limit == 3000);
  CHECK(all.remaining == 2999);
  CHECK(all.resets_at == TimePoint{1790000300s});
  CHECK(all.policy == "3000;w=300");
  CHECK_FALSE(limits({}).limit);
  for (const std::string_view text : {"", "-1", "1.5", "many", "99999999999999999999999", "1 "}) {
    CAPTURE(text);
    const auto none = limits({{"RateLimit-Limit", text}, {"RateLimit-Reset", text}});
    CHECK((text == "1 " || !none.limit.has_value()));
    CHECK((text == "1 " || !none.resets_at.has_value()));
  }
  CHECK_FALSE(limits({{"RateLimit-Reset", "253402300800"}}).resets_at);
  CHECK(limits({{"RateLimit-Policy", std::string(900, 'x')}}).policy.size() <= 204);
}

TEST_CASE("C7.14: a 429 of the PDS is told with its time, and nothing waits or repeats", "[pds]") {
  CallWorld w;
  w.says(429, R"({"error":"RateLimitExceeded"})", {{"Retry-After", "30"}});
  const auto refused = w.client().create_record(kPost, "{}");
  CHECK(outcome(refused) == "rate_limited xrpc.RateLimitExceeded");
  CHECK(refused.error().retry_after == 30s);
  CHECK(w.pds->count() == 1);
}

TEST_CASE("describe_repo: names, collections, and what a server leaves out", "[pds]") {
  CallWorld w;
  w.says(200, R"({"did":"did:plc:x","handle":"alice.test","handleIsCorrect":true,)"
              R"("collections":["a.b.c"],"didDoc":{"id":"did:plc:x"}})");
  const auto repo = w.client().describe_repo().value();
  CHECK(repo.did == "did:plc:x");
  CHECK(repo.handle == "alice.test");
  CHECK(repo.handle_is_correct);
  CHECK(repo.collections == std::vector<std::string>{"a.b.c"});
  CHECK(repo.did_document == R"({"id":"did:plc:x"})");
  CHECK(w.requests()[0].url.target() ==
        "/xrpc/com.atproto.repo.describeRepo?repo=did%3Aplc%3Aewvi7nxzyoun6zhxrhs64oiz");
  for (const std::string_view body :
       {"", "[]", "{}", R"({"did":"d","handle":"h"})", R"({"did":"d","collections":[]})",
        R"({"did":"d","handle":"h","collections":[7]})",
        R"({"did":"d","handle":"h","handleIsCorrect":"yes","collections":[]})"}) {
    CAPTURE(body);
    w.says(200, body);
    CHECK(w.client().describe_repo("bob.test").error().code == ErrorCode::invalid_response);
  }
}
