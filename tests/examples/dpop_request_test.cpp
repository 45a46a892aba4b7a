// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
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

// A key and a token in files, as somebody would have them.
struct Files {
  TemporaryFolder folder;
  std::shared_ptr<P256DpopProver> key =
      P256DpopProver::generate(std::make_shared<SystemRandom>()).value();
  Files() {
    write_text(folder.path() / "key.pem", key->to_pkcs8_pem().value().expose());
    write_text(folder.path() / "sec1.pem", key->to_sec1_pem().value().expose());
    write_text(folder.path() / "token", "the-access-token\n");
  }
  [[nodiscard]] std::string at(const char* name) const { return (folder.path() / name).native(); }
};

ProgramRun run_request(const std::vector<std::string>& arguments) {
  std::vector<std::string> words{LATCHKEY_DPOP_REQUEST};
  words.insert(words.end(), arguments.begin(), arguments.end());
  return run_program(std::move(words));
}

constexpr std::string_view kNonceWanted =
    "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: DPoP error=\"use_dpop_nonce\"\r\nDPoP-Nonce: "
    "nonce-1\r\n"
    "Content-Length: 0\r\n\r\n";
constexpr std::string_view kTokenRefused =
    "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: DPoP "
    "error=\"invalid_token\"\r\nContent-Length: 0\r\n\r\n";

// An API that wants a nonce in every proof.
void api(Peer& peer) {
  for (;;) {
    const std::string request = peer.read_request();
    if (request.empty()) return;
    const bool with_nonce =
        has(decode_jws(header_of(request, "DPoP")).payload, R"("nonce":"nonce-1")");
    peer.write(with_nonce ? ok_answer("the answer") : std::string(kNonceWanted));
  }
}

}  // namespace

TEST_CASE("dpop_request: proves possession, and once more with the nonce that the server wants",
          "[dpop_request]") {
  const RawServer server(api);
  const Files files;
  for (const char* key : {"key.pem", "sec1.pem"}) {
    const ProgramRun run =
        run_request({files.at(key), files.at("token"), "GET", server.origin() + "/thing?of=mine"});
    CHECK(run.exit_code == 0);
    CHECK(run.line == "the answer");
  }
  REQUIRE(server.requests().size() == 4);
  for (const std::string& request : server.requests()) {
    CHECK(request.starts_with("GET /thing?of=mine "));
    CHECK(header_of(request, "Authorization") == "DPoP the-access-token");
    CHECK(evp_verifies(header_of(request, "DPoP"), files.key->public_jwk()));
    CHECK(has(decode_jws(header_of(request, "DPoP")).payload,
              R"("htu":")" + server.origin() + R"(/thing")"));
  }
}

TEST_CASE("dpop_request: a token that the server refuses is a failure", "[dpop_request]") {
  const RawServer server([](Peer& peer) {
    while (!peer.read_request().empty()) peer.write(kTokenRefused);
  });
  const Files files;
  CHECK(run_request({files.at("key.pem"), files.at("token"), "GET", server.origin()}).exit_code ==
        1);
  CHECK(server.requests().size() == 1);
}

TEST_CASE("dpop_request: a missing file, a file that is no key, and http elsewhere send nothing",
          "[dpop_request]") {
  const RawServer server(api);
  const Files files;
  CHECK(run_request({files.at("absent"), files.at("token"), "GET", server.origin()}).exit_code ==
        1);
  CHECK(run_request({files.at("token"), files.at("token"), "GET", server.origin()}).exit_code == 1);
  CHECK(
      run_request({files.at("key.pem"), files.at("token"), "GET", "http://192.0.2.1/"}).exit_code ==
      1);
  CHECK(run_request({files.at("key.pem"), files.at("token"), "GET", "no url"}).exit_code == 1);
  CHECK(server.requests().empty());
}

TEST_CASE("dpop_request: missing words are a usage error", "[dpop_request]") {
  CHECK(run_request({}).exit_code == 2);
  CHECK(run_request({"key", "token", "GET"}).exit_code == 2);
}
