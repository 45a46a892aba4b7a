// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

import latchkey;
import latchkey.test.child;
import latchkey.test.folder;
import latchkey.test.program;

using namespace latchkey;
using namespace latchkey::test;

namespace {

constexpr std::string_view kToken = "the-access-token";

// The example with one token, bound to a key of ours.
struct Server {
  explicit Server(const std::string& nonce_seconds) {
    write_text(folder.path() / "tokens", sha256_base64url(kToken) + " " + key->jkt() + " alice\n");
    write_text(folder.path() / "key.pem", key->to_pkcs8_pem().value().expose());
    write_text(folder.path() / "token", kToken);
    program.emplace(
        std::vector<std::string>{LATCHKEY_RESOURCE_SERVER, "0", at("tokens"), nonce_seconds});
    origin = program->read_line();
  }
  [[nodiscard]] std::string at(const char* name) const { return (folder.path() / name).native(); }

  TemporaryFolder folder;
  std::shared_ptr<P256DpopProver> key =
      P256DpopProver::generate(std::make_shared<SystemRandom>()).value();
  std::optional<ChildProcess> program;
  std::string origin;
};

std::shared_ptr<HttpTransport> network() {
  return CpprestTransport::open({.http_rule = HttpRule::allow_http_for_loopback}).value();
}

DpopTransport client(std::shared_ptr<DpopProver> key) {
  return DpopTransport({.inner = network(),
                        .prover = std::move(key),
                        .nonces = std::make_shared<NonceCache>(),
                        .clock = std::make_shared<SystemClock>(),
                        .skew = std::make_shared<ClockSkew>()});
}

HttpRequest request_with(const std::string& url, Authorization::Scheme scheme,
                         std::string_view token) {
  HttpRequest request{.method = "GET", .url = Url::parse(url).value()};
  request.authorization = Authorization{scheme, SecretString(token)};
  return request;
}

// Status and challenge.
std::string said(const Result<HttpResponse>& answer) {
  const std::string* challenge = answer.value().headers.find("WWW-Authenticate");
  return std::to_string(answer->status) + (challenge ? " " + *challenge : std::string());
}

}  // namespace

TEST_CASE("resource_server: our client is let in, with nonces and without", "[resource_server]") {
  for (const char* nonce_seconds : {"0", "60"}) {
    const Server server(nonce_seconds);
    auto ours = client(server.key);
    const auto request =
        request_with(server.origin + "/things?of=mine", Authorization::Scheme::dpop, kToken);
    for (int i = 0; i < 3; ++i) {
      const auto answer = ours.send(request, resource_limits());
      CHECK(said(answer) == "200");
      CHECK(answer->body.expose() == "hello, alice\n");
    }
  }
}

TEST_CASE("resource_server: the dpop_request example is let in by its files", "[resource_server]") {
  const Server server("60");
  const ProgramRun run = run_program({LATCHKEY_DPOP_REQUEST, server.at("key.pem"),
                                      server.at("token"), "GET", server.origin + "/"});
  CHECK(run.exit_code == 0);
  CHECK(run.line == "hello, alice");
}

TEST_CASE("resource_server: who has only the token, only a key or neither is refused",
          "[resource_server]") {
  const Server server("0");
  const auto dpop = Authorization::Scheme::dpop;
  const std::string url = server.origin + "/";
  const std::string algorithms = R"(401 DPoP algs="ES256")";
  const auto stranger = P256DpopProver::generate(std::make_shared<SystemRandom>()).value();

  CHECK(said(network()->send({.method = "GET", .url = Url::parse(url).value()},
                             resource_limits())) == algorithms);
  CHECK(said(network()->send(request_with(url, Authorization::Scheme::bearer, kToken),
                             resource_limits())) == algorithms + R"(, error="invalid_token")");
  CHECK(said(network()->send(request_with(url, dpop, kToken), resource_limits())) ==
        algorithms + R"(, error="invalid_dpop_proof")");
  CHECK(said(client(stranger).send(request_with(url, dpop, kToken), resource_limits())) ==
        algorithms + R"(, error="invalid_dpop_proof")");
  CHECK(said(client(server.key).send(request_with(url, dpop, "another"), resource_limits())) ==
        algorithms + R"(, error="invalid_token")");
}

TEST_CASE("resource_server: a proof that was seen is refused when it comes again",
          "[resource_server]") {
  const Server server("0");
  auto request = request_with(server.origin + "/", Authorization::Scheme::dpop, kToken);
  const auto proof = server.key->proof({.htm = "GET",
                                        .htu = request.url.htu(),
                                        .iat = SystemClock().now(),
                                        .access_token = &request.authorization->credentials,
                                        .nonce = std::nullopt});
  REQUIRE(request.headers.set("DPoP", proof.value()));
  CHECK(said(network()->send(request, resource_limits())) == "200");
  CHECK(said(network()->send(request, resource_limits())) ==
        R"(401 DPoP algs="ES256", error="invalid_dpop_proof")");
}

TEST_CASE("resource_server: missing words are a usage error", "[resource_server]") {
  CHECK(run_program({LATCHKEY_RESOURCE_SERVER}).exit_code == 2);
  CHECK(run_program({LATCHKEY_RESOURCE_SERVER, "0"}).exit_code == 2);
}
