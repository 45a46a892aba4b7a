// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

import latchkey.core;
import latchkey.sandbox;
import latchkey.sandbox.permissions;
import latchkey.test.proof_key;
import latchkey.test.wire_client;

using namespace latchkey;
using namespace latchkey::test;
using namespace std::chrono_literals;

namespace {

const std::string kCreate = "/xrpc/com.atproto.repo.createRecord";
const std::string kPut = "/xrpc/com.atproto.repo.putRecord";
const std::string kDelete = "/xrpc/com.atproto.repo.deleteRecord";
const std::string kSession = "/xrpc/com.atproto.server.getSession";
const std::string kPosts = "app.bsky.feed.post";

struct Wire {
  explicit Wire(const std::string& scope = "atproto transition:generic")
      : client(*servers, scope), token(client.log_in().text("access_token")) {}

  std::unique_ptr<sandbox::Sandbox> servers = sandbox::Sandbox::start().value();
  sandbox::Account alice = servers->add_account("alice.test", "secret", true).value();
  sandbox::Account bob = servers->add_account("bob.test", "secret").value();
  WireClient client;
  std::string token;

  [[nodiscard]] std::string last_detail() const { return servers->requests().back().detail; }
  /// The body of a write to alice's repository.
  [[nodiscard]] Members write(const std::string& rkey = "one") const {
    return {{"repo", quoted(alice.did)},
            {"collection", quoted(kPosts)},
            {"rkey", quoted(rkey)},
            {"record", R"({"$type":"app.bsky.feed.post","text":"hi"})"}};
  }
  WireAnswer send(const std::string& path, const Members& body) {
    return client.call("POST", path, token, to_json(body));
  }
  /// GET getSession with these headers.
  [[nodiscard]] WireAnswer ask(const WireHeaders& headers) const {
    return exchange(servers->pds(), "GET", kSession, headers);
  }
  [[nodiscard]] Members claims() const {
    auto out = client.claims("GET", servers->pds() + kSession);
    out["ath"] = quoted(hash_text(token));
    return out;
  }
  [[nodiscard]] std::string proof() const { return client.key.sign(client.key.header(), claims()); }
};

}  // namespace

TEST_CASE("PDS: each wrong authorization is refused for its own reason", "[sandbox]") {
  Wire wire;
  REQUIRE(wire.client.call("GET", kSession, wire.token).status == 200);
  const auto refused = [&](const std::string& outcome, const std::string& detail,
                           const WireHeaders& headers) {
    INFO(detail);
    CHECK(wire.ask(headers).outcome() == outcome);
    CHECK(wire.last_detail() == detail);
  };
  const std::string dpop = "DPoP " + wire.token;
  refused("401 AuthMissing", "access.missing", {});
  refused("400 InvalidToken", "access.scheme", {{"Authorization", "Bearer " + wire.token}});
  refused("400 InvalidToken", "access.malformed", {{"Authorization", wire.token}});
  refused("400 InvalidToken", "access.malformed",
          {{"Authorization", dpop}, {"Authorization", dpop}});
  refused("401 invalid_dpop_proof", "proof.missing", {{"Authorization", dpop}});
  refused("401 invalid_dpop_proof", "proof.several",
          {{"Authorization", dpop}, {"DPoP", wire.proof()}, {"DPoP", wire.proof()}});

  const auto with = [&](const Members& claims) {
    return WireHeaders{{"Authorization", dpop},
                       {"DPoP", wire.client.key.sign(wire.client.key.header(), claims)}};
  };
  auto claims = wire.claims();
  claims.erase("ath");
  refused("401 invalid_dpop_proof", "proof.ath_missing", with(claims));
  claims = wire.claims();
  claims["ath"] = quoted(hash_text("another"));
  refused("401 invalid_dpop_proof", "proof.ath", with(claims));
  claims = wire.claims();
  claims["htm"] = quoted("POST");
  refused("401 invalid_dpop_proof", "proof.htm", with(claims));
  claims = wire.claims();
  claims["htu"] = quoted(wire.servers->issuer() + kSession);
  refused("401 invalid_dpop_proof", "proof.htu", with(claims));
  claims = wire.claims();
  claims.erase("nonce");
  refused("401 use_dpop_nonce", "proof.nonce_missing", with(claims));
  claims["nonce"] = quoted(wire.client.nonces.at(wire.servers->issuer()));
  refused("401 use_dpop_nonce", "proof.nonce_stale", with(claims));

  const ProofKey other;
  refused("401 invalid_token", "access.wrong_key",
          {{"Authorization", dpop}, {"DPoP", other.sign(other.header(), wire.claims())}});
  claims = wire.claims();
  claims["ath"] = quoted(hash_text("made-up"));
  auto made_up = with(claims);
  made_up[0].second = "DPoP made-up";
  refused("401 invalid_token", "access.unknown", made_up);
  const std::string once = wire.proof();
  CHECK(wire.ask({{"Authorization", dpop}, {"DPoP", once}}).status == 200);
  refused("401 invalid_dpop_proof", "proof.replayed", {{"Authorization", dpop}, {"DPoP", once}});
}

TEST_CASE("PDS: a refusal carries a challenge and, for a proof, a nonce", "[sandbox]") {
  Wire wire;
  const auto bare = wire.ask({});
  CHECK(bare.header("WWW-Authenticate") == "DPoP algs=\"ES256\"");
  CHECK(bare.header("DPoP-Nonce") == "");
  wire.client.nonces.clear();
  const auto asked = wire.ask({{"Authorization", "DPoP " + wire.token}, {"DPoP", wire.proof()}});
  CHECK(asked.status == 401);
  CHECK(asked.header("WWW-Authenticate") == "DPoP algs=\"ES256\", error=\"use_dpop_nonce\"");
  CHECK(asked.header("DPoP-Nonce") != "");
  CHECK(asked.text("message") != "");
}

TEST_CASE("sandbox: requests that were taken are not given again", "[sandbox]") {
  Wire wire;
  const auto all = wire.servers->requests();
  REQUIRE_FALSE(all.empty());
  CHECK(wire.servers->take_requests().size() == all.size());
  CHECK(wire.servers->take_requests().empty());
  CHECK(wire.servers->requests().empty());
}

TEST_CASE("PDS: an access token is over when its time is", "[sandbox]") {
  Wire wire;
  wire.servers->expire_access_tokens();
  CHECK(wire.client.call("GET", kSession, wire.token).outcome() == "401 invalid_token");
  CHECK(wire.last_detail() == "access.expired");
  CHECK(wire.servers->live_sessions("alice.test") == 1);
  CHECK(wire.servers->end_sessions("alice.test") == 1);
  CHECK(wire.client.call("GET", kSession, wire.token).outcome() == "401 invalid_token");
  CHECK(wire.last_detail() == "access.ended");
}

TEST_CASE("PDS: records are created, read, listed, replaced and deleted", "[sandbox]") {
  Wire wire;
  const auto created = wire.send(kCreate, wire.write());
  REQUIRE(created.status == 200);
  CHECK(created.text("uri") == "at://" + wire.alice.did + '/' + kPosts + "/one");
  CHECK(wire.send(kCreate, wire.write()).outcome() == "400 InvalidRequest");
  CHECK(wire.last_detail() == "repo.exists");
  auto body = wire.write();
  body["record"] = R"({"text":"new"})";
  const auto replaced = wire.send(kPut, body);
  CHECK(replaced.status == 200);
  CHECK(replaced.text("cid") != created.text("cid"));

  // Reading needs nobody's permission.
  const std::string where = "?repo=alice.test&collection=" + kPosts;
  const auto read = exchange(wire.servers->pds(), "GET",
                             "/xrpc/com.atproto.repo.getRecord" + where + "&rkey=one");
  CHECK(read.text("cid") == replaced.text("cid"));
  CHECK(read.body.find("\"value\":{\"text\":\"new\"}") != std::string::npos);
  const auto list = [&](const std::string& more) {
    return exchange(wire.servers->pds(), "GET",
                    "/xrpc/com.atproto.repo.listRecords" + where + more);
  };
  REQUIRE(wire.send(kPut, wire.write("two")).status == 200);
  const auto page = list("&limit=1");
  CHECK(page.text("cursor") == "two");
  CHECK(list("&limit=1&cursor=two").body.find("/one\"") != std::string::npos);
  CHECK(list("&limit=1&reverse=true").text("cursor") == "one");
  CHECK(list("&limit=0").outcome() == "400 InvalidRequest");
  CHECK(list("&limit=101").outcome() == "400 InvalidRequest");

  CHECK(wire.send(kDelete, wire.write()).status == 200);
  CHECK(wire.send(kDelete, wire.write()).status == 200);
  CHECK(
      exchange(wire.servers->pds(), "GET", "/xrpc/com.atproto.repo.getRecord" + where + "&rkey=one")
          .outcome() == "400 RecordNotFound");
  CHECK(exchange(wire.servers->pds(), "GET",
                 "/xrpc/com.atproto.repo.getRecord?repo=nobody.test&collection=a.b.c&rkey=one")
            .outcome() == "400 RepoNotFound");
}

TEST_CASE("PDS: a swap that does not match writes nothing", "[sandbox]") {
  Wire wire;
  auto body = wire.write();
  body["swapRecord"] = "null";
  const auto first = wire.send(kPut, body);
  REQUIRE(first.status == 200);
  CHECK(wire.send(kPut, body).outcome() == "400 InvalidSwap");
  CHECK(wire.send(kDelete, body).outcome() == "400 InvalidSwap");
  body["swapRecord"] = quoted(first.text("cid"));
  body["record"] = R"({"text":"second"})";
  const auto second = wire.send(kPut, body);
  REQUIRE(second.status == 200);
  CHECK(wire.send(kPut, body).outcome() == "400 InvalidSwap");
  CHECK(wire.last_detail() == "repo.swap_record");
  body["swapRecord"] = quoted(second.text("cid"));
  body["swapCommit"] = quoted(first.text("cid"));
  CHECK(wire.send(kPut, body).outcome() == "400 InvalidSwap");
  CHECK(wire.last_detail() == "repo.swap_commit");
  body.erase("swapCommit");
  CHECK(wire.send(kDelete, body).status == 200);
}

TEST_CASE("PDS: each wrong write is refused for its own reason", "[sandbox]") {
  struct Case {
    const char* detail;
    std::function<void(const Wire&, Members&)> spoil;
  };
  const std::vector<Case> cases{
      {"xrpc.repo", [](const Wire& w, Members& b) { b["repo"] = quoted(w.bob.did); }},
      {"xrpc.repo", [](const Wire&, Members& b) { b["repo"] = quoted("nobody.test"); }},
      {"xrpc.repo", [](const Wire&, Members& b) { b.erase("repo"); }},
      {"xrpc.input", [](const Wire&, Members& b) { b["repo"] = "1"; }},
      {"xrpc.collection", [](const Wire&, Members& b) { b["collection"] = quoted("posts"); }},
      {"xrpc.collection", [](const Wire&, Members& b) { b.erase("collection"); }},
      {"xrpc.rkey", [](const Wire&, Members& b) { b["rkey"] = quoted("a/b"); }},
      {"xrpc.rkey", [](const Wire&, Members& b) { b.erase("rkey"); }},
      {"xrpc.input", [](const Wire&, Members& b) { b.erase("record"); }},
      {"xrpc.input", [](const Wire&, Members& b) { b["record"] = "[]"; }},
      {"record.type_mismatch",
       [](const Wire&, Members& b) { b["record"] = R"({"$type":"a.b.c"})"; }},
      {"record.type_mismatch", [](const Wire&, Members& b) { b["record"] = R"({"$type":1})"; }},
      {"record.data_model", [](const Wire&, Members& b) { b["record"] = R"({"x":0.5})"; }},
      {"record.data_model",
       [](const Wire&, Members& b) { b["record"] = R"({"x":{"$link":"nonsense"}})"; }},
      {"input.duplicate_member", [](const Wire&, Members& b) { b["record"] = R"({"x":1,"x":2})"; }},
  };
  Wire wire;
  for (const auto& one : cases) {
    auto body = wire.write();
    one.spoil(wire, body);
    INFO(one.detail << ' ' << to_json(body));
    CHECK(wire.send(kPut, body).outcome() == "400 InvalidRequest");
    CHECK(wire.last_detail() == one.detail);
  }
  CHECK(exchange(wire.servers->pds(), "POST", kCreate, {{"Content-Type", "application/json"}},
                 to_json(wire.write()))
            .outcome() == "401 AuthMissing");
  CHECK(wire.client.call("POST", "/xrpc/com.atproto.repo.eatRecord", wire.token, "{}").status ==
        501);
  CHECK(wire.client.call("GET", "/xrpc/com.atproto.repo.eatRecord", wire.token).status == 501);
  CHECK(wire.client.call("PUT", kSession, wire.token).status == 405);
}

TEST_CASE("PDS: granular scopes are enforced for writes", "[sandbox]") {
  Wire wire("atproto repo:app.bsky.feed.post?action=create");
  CHECK(wire.send(kCreate, wire.write()).status == 200);
  const auto put = wire.send(kPut, wire.write());
  CHECK(put.outcome() == "403 ScopeMissingError");
  CHECK(put.text("message") == "Missing required scope \"repo:app.bsky.feed.post?action=update\"");
  CHECK(wire.send(kDelete, wire.write()).outcome() == "403 ScopeMissingError");
  auto other = wire.write();
  other["collection"] = quoted("app.bsky.feed.like");
  CHECK(wire.send(kCreate, other).outcome() == "403 ScopeMissingError");

  Wire reader("atproto");
  CHECK(reader.send(kCreate, reader.write()).outcome() == "403 ScopeMissingError");
}

TEST_CASE("permits: what each form of a repo scope means", "[sandbox]") {
  using sandbox::permits;
  using sandbox::RepoAction;
  const auto all = [](std::string_view scope) {
    std::string out;
    if (permits(scope, "a.b.c", RepoAction::create)) out += 'c';
    if (permits(scope, "a.b.c", RepoAction::update)) out += 'u';
    if (permits(scope, "a.b.c", RepoAction::remove)) out += 'd';
    return out;
  };
  CHECK(all("atproto transition:generic") == "cud");
  CHECK(all("atproto repo:*") == "cud");
  CHECK(all("atproto repo:a.b.c") == "cud");
  CHECK(all("repo:*?action=delete") == "d");
  CHECK(all("repo:a.b.c?action=create&action=update") == "cu");
  CHECK(all("repo?collection=x.y.z&collection=a.b.c&action=create") == "c");
  CHECK(all("repo:a.b.c?action=create repo:*?action=delete") == "cd");
  for (const std::string_view scope :
       {"", "atproto", "repo:", "repo:a.b", "repo:a.b.d", "repo:a.b.c?action=all",
        "repo:a.b.c?color=red", "repo?action=create", "repository:a.b.c", "transition:email"}) {
    INFO(scope);
    CHECK(all(scope) == "");
  }
}

TEST_CASE("unknown scopes are dropped from what is granted", "[sandbox]") {
  Wire wire("atproto repo:a.b.c?action=create made:up");
  CHECK(wire.client.log_in().text("scope") == "atproto repo:a.b.c?action=create");
}

TEST_CASE("the well-known documents name each other", "[sandbox]") {
  Wire wire;
  const auto get = [](const std::string& origin, const std::string& path,
                      std::string_view host = {}) {
    return exchange(origin, "GET", path, {}, {}, host);
  };
  const auto resource = get(wire.servers->pds(), "/.well-known/oauth-protected-resource");
  CHECK(resource.text("resource") == wire.servers->pds());
  CHECK(resource.body.find("\"authorization_servers\":[\"" + wire.servers->issuer() + "\"]") !=
        std::string::npos);
  const auto server = get(wire.servers->issuer(), "/.well-known/oauth-authorization-server");
  CHECK(server.text("issuer") == wire.servers->issuer());
  CHECK(server.text("token_endpoint") == wire.servers->issuer() + "/oauth/token");
  const auto document = get(wire.servers->plc(), '/' + wire.alice.did);
  CHECK(document.text("id") == wire.alice.did);
  CHECK(document.body.find("\"serviceEndpoint\":\"" + wire.servers->pds() + '"') !=
        std::string::npos);
  CHECK(get(wire.servers->plc(), "/did:plc:aaaaaaaaaaaaaaaaaaaaaaaa").status == 404);
  CHECK(get(wire.servers->plc(), "/alice.test").status == 404);
  CHECK(get(wire.servers->pds(), "/xrpc/com.atproto.identity.resolveHandle?handle=alice.test")
            .text("did") == wire.alice.did);
  CHECK(get(wire.servers->pds(), "/xrpc/com.atproto.identity.resolveHandle?handle=nobody.test")
            .outcome() == "400 InvalidRequest");
  CHECK(get(wire.servers->pds(), "/.well-known/atproto-did", "alice.test").body == wire.alice.did);
  CHECK(get(wire.servers->pds(), "/.well-known/atproto-did").status == 404);
  CHECK(get(wire.servers->pds(), "/xrpc/_health", "evil.example").status == 421);
}
