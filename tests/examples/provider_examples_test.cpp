// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

import latchkey.sandbox;
import latchkey.test.certificate;
import latchkey.test.child;
import latchkey.test.folder;
import latchkey.test.openssl;
import latchkey.test.program;
import latchkey.test.example_provider;
import latchkey.test.raw_server;

using namespace latchkey;
using namespace latchkey::test;

namespace {

const std::vector<std::string> kPrograms{
    LATCHKEY_EXPLICIT_ENDPOINTS, LATCHKEY_DISCOVERY, LATCHKEY_HTTPS_CALLBACK,
    LATCHKEY_JWKS_CHECK,         LATCHKEY_REFRESH,   LATCHKEY_DEVICE_LOGIN};

std::vector<std::string> explicit_login(const Provider& provider,
                                        const std::string& client = kPublicClient) {
  return {LATCHKEY_EXPLICIT_ENDPOINTS, client, provider.endpoint("/oauth/authorize"),
          provider.endpoint("/oauth/token"), "profile"};
}

// The next answer of the token endpoint is this.
void answer_with(const Provider& provider, std::string_view tokens) {
  provider.servers().inject(
      {.kind = sandbox::FaultKind::garbage, .path = "/oauth/token", .text = std::string(tokens)});
}

// A folder with a certificate for localhost, as mkcert leaves one there.
struct CertificateFolder {
  CertificateFolder() {
    const Identity pair =
        authority.issue({"localhost", "127.0.0.1", "::1"}, {}, std::chrono::hours{24 * 365});
    write_text(folder.path() / "localhost-cert.pem", pair.certificate_pem);
    write_text(folder.path() / "localhost-key.pem", pair.key_pem);
    std::filesystem::permissions(folder.path() / "localhost-key.pem", std::filesystem::perms{0600});
    write_text(folder.path() / "ca.pem", authority.certificate_pem());
  }
  Authority authority;
  TemporaryFolder folder;
};

}  // namespace

TEST_CASE("explicit_endpoints: logs in where endpoints are all that is known", "[examples]") {
  const Provider provider;
  const ProgramRun run = provider.run(explicit_login(provider));
  CHECK(run.exit_code == 0);
  CHECK(has(run.line, "granted: profile"));
}

TEST_CASE("explicit_endpoints: a client that nobody knows, and tokens that break off, are failures",
          "[examples]") {
  const Provider provider;
  provider.servers().inject({.kind = sandbox::FaultKind::drop_after, .path = "/oauth/token"});
  CHECK(provider.run(explicit_login(provider)).exit_code == 1);
  CHECK(provider.token_requests() == 1);
  answer_with(provider, R"({"token_type":"Bearer"})");
  CHECK(provider.run(explicit_login(provider)).exit_code == 1);
}

TEST_CASE("discovery: the backend gets the id token as it came", "[examples]") {
  const Provider provider;
  const RawServer backend([](Peer& peer) {
    while (!peer.read_request().empty()) peer.write(ok_answer("who"));
  });
  const ProgramRun run = provider.run(
      {LATCHKEY_DISCOVERY, provider.issuer(), kPublicClient, backend.origin() + "/session"});
  CHECK(run.exit_code == 0);
  CHECK(run.line == "the backend says 200");
  REQUIRE(backend.requests().size() == 1);
  const std::string credentials = header_of(backend.requests().front(), "Authorization");
  CHECK(credentials.starts_with("Bearer eyJ"));
  CHECK(has(decode_jws(credentials.substr(7)).payload, R"("aud":"public client")"));
}

TEST_CASE("discovery: without an issuer that answers, nobody is asked to log in", "[examples]") {
  const Provider provider;
  const auto run = [&](const std::string& issuer) {
    return provider.run({LATCHKEY_DISCOVERY, issuer, kPublicClient, provider.issuer()}).exit_code;
  };
  CHECK(run(provider.issuer() + "/elsewhere") == 1);
  CHECK(run("http://127.0.0.1:" + std::to_string(closed_port())) == 1);
  CHECK(run("http://192.0.2.1") == 1);
  CHECK(provider.token_requests() == 0);
}

TEST_CASE("https_callback: the browser ends at https, on the port that is registered",
          "[examples]") {
  const CertificateFolder certificate;
  const std::string port = std::to_string(closed_port());
  const Provider provider("https://localhost:" + port + "/callback");
  const ProgramRun run =
      provider.run({LATCHKEY_HTTPS_CALLBACK, kPublicClient, provider.endpoint("/oauth/authorize"),
                    provider.endpoint("/oauth/token"), port, certificate.folder.path().native()},
                   {"LATCHKEY_VISITOR_CA=" + (certificate.folder.path() / "ca.pem").native()});
  CHECK(run.exit_code == 0);
  CHECK(run.line == "logged in with a Bearer token");
}

TEST_CASE("https_callback: without mkcert and without a certificate it says what to do",
          "[examples]") {
  const Provider provider;
  const TemporaryFolder empty;
  const ProgramRun run = provider.run(
      {LATCHKEY_HTTPS_CALLBACK, kPublicClient, provider.endpoint("/oauth/authorize"),
       provider.endpoint("/oauth/token"), std::to_string(closed_port()), empty.path().native()},
      {"PATH=" + empty.path().native()});
  CHECK(run.exit_code == 1);
  CHECK(provider.servers().requests().empty());
}

TEST_CASE("jwks_check: says who it is, after the keys of the provider", "[examples]") {
  const Provider provider;
  const ProgramRun run = provider.run({LATCHKEY_JWKS_CHECK, provider.issuer(), kPublicClient});
  CHECK(run.exit_code == 0);
  CHECK(has(run.line, provider.servers().accounts().front().did));
}

TEST_CASE("jwks_check: an id token that nobody signed is not believed", "[examples]") {
  const Provider provider;
  // {"alg":"none"}.{"sub":"mallory"}
  answer_with(provider, R"({"access_token":"a","token_type":"Bearer","scope":"openid","id_token":)"
                        R"("eyJhbGciOiJub25lIn0.eyJzdWIiOiJtYWxsb3J5In0."})");
  const ProgramRun run = provider.run({LATCHKEY_JWKS_CHECK, provider.issuer(), kPublicClient});
  CHECK(run.exit_code == 4);
  CHECK(run.line.empty());
}

TEST_CASE("refresh: logs in once, then refreshes only a token that ends soon", "[examples]") {
  const Provider provider;
  const std::vector<std::string> words{LATCHKEY_REFRESH, provider.folder(), provider.issuer(),
                                       kPublicClient};
  CHECK(provider.run(words).line == "logged in");
  CHECK(provider.run(words).line == "still good");
  CHECK(provider.token_requests() == 1);
  provider.servers().set_access_lifetime(std::chrono::minutes{4});
  TemporaryFolder other;
  const std::vector<std::string> short_lived{LATCHKEY_REFRESH, other.path().native(),
                                             provider.issuer(), kPublicClient};
  CHECK(provider.run(short_lived).line == "logged in");
  const std::size_t before = provider.token_requests();
  CHECK(provider.run(short_lived).line == "refreshed");
  CHECK(provider.token_requests() == before + 1);
}

TEST_CASE("refresh: a session that the provider has ended wants a person", "[examples]") {
  const Provider provider;
  provider.servers().set_access_lifetime(std::chrono::minutes{4});
  const std::vector<std::string> words{LATCHKEY_REFRESH, provider.folder(), provider.issuer(),
                                       kPublicClient};
  REQUIRE(provider.run(words).line == "logged in");
  REQUIRE(provider.servers().end_sessions("alice.test") == 1);
  CHECK(provider.run(words).exit_code == 3);
}

TEST_CASE("device_login: shows a code, and is logged in when somebody allows it", "[examples]") {
  const Provider provider;
  ChildProcess child(
      provider.words({LATCHKEY_DEVICE_LOGIN, provider.folder(), provider.issuer(), kPublicClient}));
  const std::string line = child.read_line();
  REQUIRE(has(line, provider.endpoint("/device")));
  CHECK(provider.servers().approve_device(line.substr(line.rfind(' ') + 1), "alice.test"));
  CHECK(child.read_line() == "logged in");
  CHECK(child.wait() == 0);
}

TEST_CASE("device_login: one that was cut off is resumed with the same code, and can be refused",
          "[examples]") {
  const Provider provider;
  const auto words =
      provider.words({LATCHKEY_DEVICE_LOGIN, provider.folder(), provider.issuer(), kPublicClient});
  ChildProcess first(words);
  const std::string line = first.read_line();
  first.kill();
  ChildProcess second(words);
  CHECK(second.read_line() == line);
  REQUIRE(provider.servers().deny_device(line.substr(line.rfind(' ') + 1)));
  CHECK(second.wait() == 3);
}

TEST_CASE("provider examples: missing words are a usage error", "[examples]") {
  const Provider provider;
  for (const std::string& program : kPrograms) {
    CAPTURE(program);
    CHECK(provider.run({program}).exit_code == 2);
  }
  CHECK(provider.servers().requests().empty());
}
