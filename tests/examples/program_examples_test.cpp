// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <filesystem>
#include <string>
#include <vector>

import latchkey.test.folder;
import latchkey.test.program;
import latchkey.test.raw_server;

using namespace latchkey::test;

namespace {

std::string json_answer(int status, const std::string& body, const std::string& header = {}) {
  return "HTTP/1.1 " + std::to_string(status) +
         " X\r\nContent-Type: application/json\r\nContent-Length: " + std::to_string(body.size()) +
         "\r\n" + header + "\r\n" + body;
}

void write_secret(const std::filesystem::path& file, const std::string& text) {
  write_text(file, text);
  std::filesystem::permissions(file, std::filesystem::perms{0600});
}

// A token endpoint for one program.
struct Job {
  explicit Job(const std::string& answer)
      : server([answer](Peer& peer) {
          while (!peer.read_request().empty()) peer.write(answer);
        }) {
    write_secret(folder.path() / "secret", "the secret/with+signs\n");
  }
  [[nodiscard]] ProgramRun run(const std::string& secret_file = "secret") const {
    return run_program({LATCHKEY_CUSTOM_STORE, (folder.path() / "state").native(), "a job",
                        (folder.path() / secret_file).native(), server.origin() + "/token"});
  }
  TemporaryFolder folder;
  RawServer server;
};

const std::string kTokens =
    json_answer(200, R"({"access_token":"the-token","token_type":"Bearer","expires_in":3600})");
const std::string kRefused =
    json_answer(401, "{}", "WWW-Authenticate: Bearer error=\"invalid_token\"\r\n");

ProgramRun call_api(const std::filesystem::path& token_file, const RawServer& api) {
  return run_program({LATCHKEY_CUSTOM_STRATEGY, token_file.native(), api.origin() + "/thing"});
}

}  // namespace

TEST_CASE("custom_store: the token is asked for once, and found again by the next run",
          "[examples]") {
  const Job job(kTokens);
  const ProgramRun first = job.run();
  CHECK(first.exit_code == 0);
  CHECK(job.run().line == first.line);
  REQUIRE(job.server.requests().size() == 1);
  const std::string request = job.server.requests().front();
  CHECK(has(request, "grant_type=client_credentials"));
  CHECK(header_of(request, "Authorization").starts_with("Basic "));
  CHECK(std::filesystem::status(job.folder.path() / "state").permissions() ==
        std::filesystem::perms{0600});
}

TEST_CASE("custom_store: what is kept and unreadable is not written over", "[examples]") {
  const Job job(kTokens);
  write_secret(job.folder.path() / "state", "no session\n");
  CHECK(job.run().exit_code == 1);
  CHECK(job.server.requests().empty());
  CHECK(std::filesystem::file_size(job.folder.path() / "state") == 11);
}

TEST_CASE("custom_store: a refusal, no secret, and one that others can read are failures",
          "[examples]") {
  const Job job(json_answer(401, R"({"error":"invalid_client"})"));
  CHECK(job.run().exit_code == 1);
  CHECK(job.run("absent").exit_code == 1);
  std::filesystem::permissions(job.folder.path() / "secret", std::filesystem::perms{0644});
  CHECK(job.run().exit_code == 1);
  CHECK(job.server.requests().size() == 1);
  CHECK_FALSE(std::filesystem::exists(job.folder.path() / "state"));
}

TEST_CASE("custom_strategy: a request carries the token of the file", "[examples]") {
  const TemporaryFolder folder;
  write_text(folder.path() / "token", "the-token\n");
  const RawServer api([](Peer& peer) {
    while (!peer.read_request().empty()) peer.write(ok_answer("the answer"));
  });
  const ProgramRun run = call_api(folder.path() / "token", api);
  CHECK(run.exit_code == 0);
  CHECK(run.line == "the answer");
  REQUIRE(api.requests().size() == 1);
  CHECK(header_of(api.requests().front(), "Authorization") == "Bearer the-token");
}

TEST_CASE("custom_strategy: a token that was replaced meanwhile is tried, once", "[examples]") {
  const TemporaryFolder folder;
  const auto file = folder.path() / "token";
  write_text(file, "the-old-one\n");
  const RawServer api([&file](Peer& peer) {
    for (std::string request; !(request = peer.read_request()).empty();) {
      const bool is_new = header_of(request, "Authorization") == "Bearer the-new-one";
      if (!is_new) write_text(file, "the-new-one\n");
      peer.write(is_new ? ok_answer("the answer") : kRefused);
    }
  });
  CHECK(call_api(file, api).line == "the answer");
  CHECK(api.requests().size() == 2);
}

TEST_CASE("custom_strategy: a refused token that nobody replaces is not sent again", "[examples]") {
  const TemporaryFolder folder;
  write_text(folder.path() / "token", "the-token\n");
  const RawServer api([](Peer& peer) {
    while (!peer.read_request().empty()) peer.write(kRefused);
  });
  CHECK(call_api(folder.path() / "token", api).exit_code == 1);
  CHECK(call_api(folder.path() / "absent", api).exit_code == 1);
  CHECK(api.requests().size() == 1);
}

TEST_CASE("program examples: missing words are a usage error", "[examples]") {
  CHECK(run_program({LATCHKEY_CUSTOM_STORE}).exit_code == 2);
  CHECK(run_program({LATCHKEY_CUSTOM_STRATEGY}).exit_code == 2);
}
