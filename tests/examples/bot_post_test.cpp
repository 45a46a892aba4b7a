// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

import latchkey;
import latchkey.test.child;
import latchkey.test.folder;
import latchkey.test.openssl;
import latchkey.test.program;
import latchkey.test.raw_server;

using namespace latchkey;
using namespace latchkey::test;

namespace {

constexpr std::string_view kDid = "did:plc:ewvi7nxzyoun6zhxrhs64oiz";
constexpr std::string_view kClientId =
    "http://localhost?redirect_uri=http%3A%2F%2F127.0.0.1%2Fcallback&scope=atproto";
constexpr std::string_view kUri =
    "at://did:plc:ewvi7nxzyoun6zhxrhs64oiz/app.bsky.feed.post/3kabcdefghijk";

// What a login with the tool leaves in its --data-dir.
class LoggedIn {
 public:
  explicit LoggedIn(const std::string& resource_server) {
    auto vault = FileKeyVault::open(folder_.path() / "data" / "vault",
                                    MasterKey::key_file(folder_.path() / "config" / "vault.key"))
                     .value();
    const auto random = std::make_shared<SystemRandom>();
    const auto key = P256DpopProver::generate(random).value();
    vault->put(key->jkt(), key->to_bytes()).value();
    OAuthSession session;
    session.subject = kDid;
    session.issuer = resource_server;
    session.resource_server = resource_server;
    session.token_endpoint = resource_server + "/token";
    session.client_id = kClientId;
    session.redirect_uri = "http://127.0.0.1/callback";
    session.scope = "atproto transition:generic";
    session.token_type = "DPoP";
    session.dpop_jkt = key->jkt();
    session.issued_at = session.session_started_at = SystemClock{}.now();
    session.expires_at = session.issued_at + std::chrono::hours{1};
    session.login_id = 7;
    session.revision = Revision{11};
    session.access_token = SecretString("the-access-token");
    session.refresh_token = SecretString("the-refresh-token");
    SqliteOAuthTokenStore::open(folder_.path() / "data" / "sessions.db", vault->sealer())
        .value()
        ->save(session, Revision{})
        .value();
    public_jwk_ = key->public_jwk();
  }
  [[nodiscard]] std::string folder() const { return folder_.path().native(); }
  [[nodiscard]] const std::string& public_jwk() const { return public_jwk_; }

 private:
  TemporaryFolder folder_;
  std::string public_jwk_;
};

ProgramRun run_bot(const std::vector<std::string>& arguments) {
  std::vector<std::string> words{"/usr/bin/env", "LATCHKEY_ALLOW_HTTP_FOR_LOOPBACK=1",
                                 LATCHKEY_BOT_POST};
  words.insert(words.end(), arguments.begin(), arguments.end());
  return run_program(std::move(words));
}

// Answers every request with `answer`.
RawServer::Script always(std::string answer) {
  return [answer = std::move(answer)](Peer& peer) {
    while (!peer.read_request().empty() && peer.write(answer)) {
    }
  };
}

std::string json_200(std::string_view body) {
  return "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: " +
         std::to_string(body.size()) + "\r\n\r\n" + std::string(body);
}

std::string posted() {
  return json_200(R"({"uri":")" + std::string(kUri) + R"(","cid":"bafyreib"})");
}

}  // namespace

TEST_CASE("bot_post: posts with a stored session and prints where the record is", "[bot_post]") {
  const RawServer pds(always(posted()));
  const LoggedIn bot(pds.origin());
  const ProgramRun run = run_bot({bot.folder(), std::string(kDid), "a \"quoted\" post"});
  CHECK(run.exit_code == 0);
  CHECK(run.line == kUri);
  REQUIRE(pds.requests().size() == 1);
  const std::string request = pds.requests().front();
  CHECK(request.starts_with("POST /xrpc/com.atproto.repo.createRecord "));
  CHECK(has(request, R"("text":"a \"quoted\" post")"));
  CHECK(header_of(request, "Authorization") == "DPoP the-access-token");
  const std::string proof = header_of(request, "DPoP");
  CHECK(evp_verifies(proof, bot.public_jwk()));
  CHECK(has(decode_jws(proof).payload,
            R"("htu":")" + pds.origin() + R"(/xrpc/com.atproto.repo.createRecord")"));
}

TEST_CASE("bot_post: without a session it asks for a login and sends nothing", "[bot_post]") {
  const RawServer pds(always(posted()));
  const LoggedIn bot(pds.origin());
  const ProgramRun run = run_bot({bot.folder(), "did:plc:z72i7hdynmk6r22z27h6tvur", "hello"});
  CHECK(run.exit_code == 3);
  CHECK(run.line.empty());
  CHECK(pds.requests().empty());
}

TEST_CASE("bot_post: what the server refuses is a failure", "[bot_post]") {
  const RawServer pds(
      always("HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nContent-Length: "
             "26\r\n\r\n{\"error\":\"InvalidRequest\"}"));
  const LoggedIn bot(pds.origin());
  const ProgramRun run = run_bot({bot.folder(), std::string(kDid), "hello"});
  CHECK(run.exit_code == 1);
  CHECK(run.line.empty());
  CHECK(pds.requests().size() == 1);
}

TEST_CASE("bot_post: text that is not UTF-8 is refused before anything is sent", "[bot_post]") {
  const RawServer pds(always(posted()));
  const LoggedIn bot(pds.origin());
  CHECK(run_bot({bot.folder(), std::string(kDid), "\xff"}).exit_code == 1);
  CHECK(pds.requests().empty());
}

TEST_CASE("bot_post: missing words are a usage error", "[bot_post]") {
  CHECK(run_bot({}).exit_code == 2);
  CHECK(run_bot({"folder", std::string(kDid)}).exit_code == 2);
}
