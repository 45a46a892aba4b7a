// SPDX-License-Identifier: MIT
#include <sys/stat.h>
#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

import latchkey.cli.live_check;
import latchkey.cli.options;
import latchkey.cli.profile;
import latchkey.cli.standing;
import latchkey.cli.workspace;
import latchkey.core;
import latchkey.sandbox;
import latchkey.session;
import latchkey.store;
import latchkey.test.folder;
import latchkey.test.provider;
import latchkey.test.tool;
import latchkey.test.tool_places;

// How everything stands.

using namespace latchkey;
using namespace latchkey::test;
using namespace std::chrono_literals;
using cli::standing_of;
using cli::StandingState;
using Json = nlohmann::json;
using Words = std::vector<std::string>;

namespace {

bool has(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

const TimePoint kNow = parse_rfc3339("2026-06-01T12:00:00Z").value();

OAuthSession example() {
  OAuthSession session;
  session.subject = "work";
  session.token_endpoint = "https://id.example.com/token";
  session.token_type = "Bearer";
  session.expires_at = kNow + 1h;
  session.access_token = SecretString("acc-Marked");
  session.refresh_token = SecretString("ref-Marked");
  return session;
}

}  // namespace

TEST_CASE("standing_of: a session that can be renewed is ready, also when its token is old",
          "[cli]") {
  OAuthSession session = example();
  CHECK(standing_of(session, kNow).state == StandingState::ready);
  CHECK(standing_of(session, kNow).text == "token good, expires in 60 min, renewed by itself");
  session.expires_at = kNow - 1h;
  CHECK(standing_of(session, kNow).state == StandingState::ready);
  session.refresh_expires_at = kNow + 14 * 24h;
  CHECK(standing_of(session, kNow).login_needed_at == session.refresh_expires_at);
  CHECK(has(standing_of(session, kNow).text, "login needed in 14 d"));
}

TEST_CASE("C7.8: standing_of: an account's end is told, with the command two days ahead of it",
          "[cli]") {
  OAuthSession session = example();
  session.subject = "did:plc:ewvi7nxzyoun6zhxrhs64oiz";
  session.handle = "alice.test";
  session.dpop_jkt = "thumbprint";
  session.session_started_at = kNow;
  session.expires_at = kNow + 1000h;
  CHECK(standing_of(session, kNow).login_needed_at == kNow + 14 * 24h);
  CHECK(has(standing_of(session, kNow).text, "login needed in 14 d"));
  CHECK_FALSE(has(standing_of(session, kNow).text, "run latchkey"));
  CHECK(has(standing_of(session, kNow + 12 * 24h).text,
            "login needed in 2 d: run latchkey login alice.test"));
  // The server may be more generous than it has to be.
  const auto late = standing_of(session, kNow + 15 * 24h);
  CHECK(late.state == StandingState::ready);
  CHECK(has(late.text, "a login may be needed any time"));
}

TEST_CASE("standing_of: the command for a client of one's own names its document and its keys",
          "[cli]") {
  OAuthSession session = example();
  session.subject = "did:plc:ewvi7nxzyoun6zhxrhs64oiz";
  session.handle = "alice.test";
  session.state = SessionState::dead;
  session.client_id = "https://app.example.com/client.json";
  CHECK(standing_of(session, kNow)
            .text.ends_with("run latchkey login alice.test --client-metadata "
                            "https://app.example.com/client.json"));
  session.client_auth_method = ClientAuthMethod::private_key_jwt;
  CHECK(standing_of(session, kNow).text.ends_with("client.json --client-keys FILE"));
  session.client_auth_method = ClientAuthMethod::none;
  session.client_id = "http://localhost?scope=atproto";
  CHECK(standing_of(session, kNow).text.ends_with("run latchkey login alice.test"));
}

TEST_CASE("standing_of: a login is needed when nothing is left to renew it with", "[cli]") {
  OAuthSession session = example();
  session.refresh_expires_at = kNow;
  CHECK(standing_of(session, kNow).state == StandingState::login_needed);
  CHECK(has(standing_of(session, kNow).text, "run latchkey login --profile work"));
  session = example();
  session.refresh_token.reset();
  CHECK(standing_of(session, kNow).state == StandingState::ready);
  CHECK(standing_of(session, kNow).login_needed_at == session.expires_at);
  session.expires_at = kNow;
  CHECK(standing_of(session, kNow).state == StandingState::login_needed);
  session.expires_at = kMalformedTime;
  CHECK(standing_of(session, kNow).state == StandingState::login_needed);
  session.expires_at.reset();
  CHECK(standing_of(session, kNow).state == StandingState::ready);
  session.state = SessionState::dead;
  CHECK(standing_of(session, kNow).state == StandingState::login_needed);
  session.state = SessionState::revoking;
  CHECK(standing_of(session, kNow).state == StandingState::revoking);
}

TEST_CASE("standing_of: a logout that is kept beside a profile is the profile's", "[cli]") {
  OAuthSession session = example();
  session.state = SessionState::revoking;
  session.subject = "revoking|0102030405060708|work";
  CHECK(standing_of(session, kNow).kind == cli::StandingKind::profile);
  session.subject = "revoking|0102030405060708|" + std::string(kAlice);
  CHECK(standing_of(session, kNow).kind == cli::StandingKind::atproto);
}

TEST_CASE("LiveCheck: asks nobody when its time is over", "[cli]") {
  const cli::Workspace nothing{};
  const cli::Options options{};
  cli::LiveCheck check(nothing, options, 0ms);
  const auto asked = check(example());
  REQUIRE_FALSE(asked);
  CHECK(asked.error().code == ErrorCode::timeout);
  CHECK(asked.error().detail == "check.timeout");
}

TEST_CASE("status: all accounts, profiles and keys in one list, and no secret", "[cli]") {
  Provider p;
  REQUIRE(p.log_in_to_work().status == 0);
  p.home.plant();
  const std::string key = p.secret_file("key", "key-Marked");
  REQUIRE(run(p.start({"login", "--profile", "api", "--api-key-file", key})).status == 0);
  CHECK(run(p.start({"login", "--profile", "later", "--issuer", p.servers->issuer(), "--client-id",
                     "public app", "--no-browser", "--timeout", "1"}))
            .status == 1);
  REQUIRE(run(p.start({"use", "work"})).status == 0);
  const ToolRun text = run(p.start({"status"}));
  CHECK(text.status == 0);
  CHECK(has(text.out, "ready\tapi\tAPI key; whoever has the token can use it\n"));
  CHECK(has(text.out, "ready\talice.test (did:plc:ewvi7nxzyoun6zhxrhs64oiz)\ttoken good"));
  CHECK(has(text.out, "; bound to its key\n"));
  CHECK(has(text.out, "ready\twork [default]\ttoken good"));
  CHECK(has(text.out, "not_logged_in\tlater\tnot logged in: run latchkey login --profile later\n"));
  CHECK(has(text.err, "the vault's master key is key-file"));
  const ToolRun json = run(p.start({"status", "--json"}));
  CHECK(json.err.empty());
  const Json all = Json::parse(json.out);
  REQUIRE(all["sessions"].size() == 4);
  CHECK(all["vault"]["kind"] == "key-file");
  unsigned defaults = 0;
  for (const Json& one : all["sessions"]) defaults += one["default"] == true ? 1 : 0;
  CHECK(defaults == 1);
  p.check_no_secret(text.out + text.err + json.out);
}

TEST_CASE("status: says when somebody has to log in, by its exit code too", "[cli]") {
  const Home home;
  CHECK(run(home.start({"status"})).status == 0);
  home.plant(kAlice, "https://pds.test", [](OAuthSession& session) {
    session.expires_at = session.issued_at - std::chrono::hours{1};
    session.refresh_token.reset();
  });
  home.plant(kBob);
  const ToolRun status = run(home.start({"status"}));
  CHECK(status.status == 3);
  CHECK(has(status.out, "login_needed\talice.test"));
  CHECK(has(status.out, "run latchkey login alice.test"));
  CHECK(has(status.out, "ready\tbob.test"));
}

TEST_CASE("status: a profile's file that can't be read hides nothing else", "[cli]") {
  Provider p;
  REQUIRE(p.log_in_to_work().status == 0);
  const auto broken = p.home.data_dir() / "config" / "profiles" / "broken.json";
  write_text(broken, "{");
  chmod(broken.c_str(), 0600);
  const ToolRun status = run(p.start({"status"}));
  CHECK(status.status == 1);
  CHECK(has(status.out, "unreadable\tbroken\t"));
  CHECK(has(status.out, "ready\twork\t"));
}

TEST_CASE("status --check: asks the servers, and believes them", "[cli]") {
  Provider p;
  REQUIRE(p.log_in_to_work().status == 0);
  const ToolRun good = run(p.start({"status", "--check", "--json"}));
  INFO(good.out + good.err);
  CHECK(good.status == 0);
  CHECK(Json::parse(good.out)["sessions"][0]["check"]["ok"] == true);
  CHECK(Json::parse(run(p.start({"status", "--json"})).out)["sessions"][0].count("check") == 0);
  p.servers->end_sessions("alice.test");
  const ToolRun ended = run(p.start({"status", "--check", "--json"}));
  CHECK(ended.status == 3);
  CHECK(Json::parse(ended.out)["sessions"][0]["check"]["ok"] == false);
  p.check_no_secret(good.out + ended.out + ended.err);
}

TEST_CASE("status --check: a PDS that refuses is told of", "[cli]") {
  const Services services;
  const Home home;
  home.plant(kAlice, services.origin());
  const ToolRun refused = run(home.start({"status", "--check", "--json"}, services));
  CHECK(refused.status == 1);
  CHECK(Json::parse(refused.out)["sessions"][0]["check"]["detail"] == "check.refused");
}
