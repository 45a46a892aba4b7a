// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <fstream>
#include <functional>
#include <iostream>
#include <iterator>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

import latchkey.atproto.client;
import latchkey.core;
import latchkey.refresh.keeper;
import latchkey.sandbox;
import latchkey.session;
import latchkey.store;
import latchkey.test.failure_rig;
import latchkey.test.faults;
import latchkey.test.outcome;
import latchkey.test.refresh_world;
import latchkey.test.sandbox_world;

// A fault in each window of a refresh: what the server saw, what the caller got, what the next call
// got. The same table is docs/failures.md: "[.print]" prints it.

using namespace latchkey;
using namespace latchkey::test;
using namespace std::chrono_literals;
using sandbox::FaultKind;
using sandbox::refresh_fault;
using Rig = FailureRig;

namespace {

struct Row {
  std::string step{}, fault{};
  std::string server{}, caller{};            // the call that meets the fault
  std::string next_server{}, next_caller{};  // the next one, when the fault is over
};

struct Case {
  Row expected;
  std::function<void(Rig&)> arrange;
  std::function<std::string(Rig&)> call = &Rig::call;  // what the caller does
  std::function<void(Rig&)> between = [](Rig&) {};     // after the first call, before heal()
};

Error unreadable() {
  return make_error(ErrorCode::corrupt, "store.corrupt", "the record does not decode");
}

std::function<void(Rig&)> meets(FaultKind kind, int status = 503, unsigned times = 1) {
  return [=](Rig& rig) {
    auto fault = refresh_fault(kind);
    fault.status = status;
    fault.times = times;
    fault.text = "text/html";
    if (status == 429) fault.retry_after = 30s;
    rig.world.servers->inject(fault);
  };
}

// A 200 that says something else than it should.
std::function<void(Rig&)> answers(const std::string& type, const std::string& sub) {
  return [=](Rig& rig) {
    auto fault = refresh_fault(FaultKind::garbage);
    fault.text = R"({"access_token":"a","refresh_token":"r","scope":"atproto","token_type":")" +
                 type + R"(","expires_in":60,"sub":")" + (sub.empty() ? rig.did : sub) + R"("})";
    rig.world.servers->inject(fault);
  };
}

void lose_endpoint(Rig& rig) {
  rig.change_stored([](OAuthSession& s) { s.token_endpoint = "http://127.0.0.1:1/oauth/token"; });
}

void find_endpoint(Rig& rig) {
  rig.change_stored(
      [&](OAuthSession& s) { s.token_endpoint = rig.world.servers->issuer() + "/oauth/token"; });
}

void leave_claim(Rig& rig) {
  const auto session = rig.world.store->load(rig.did).value().value();
  rig.world.store
      ->save_claim({.subject = rig.did,
                    .revision = session.revision,
                    .id = 5,
                    .at = rig.world.clock->now() - 1h,
                    .pid = 1,
                    .host = "elsewhere"})
      .value();
}

std::string log_out(Rig& rig) {
  const auto done = rig.client->logout(rig.did);
  if (!done) return outcome(done);
  return *done == LogoutOutcome::pending ? "pending: not confirmed yet" : "confirmed";
}

std::string call_briefly(Rig& rig) {
  return outcome(rig.client->fresh(rig.did, {.timeout = 1ms}));
}

constexpr const char* kNew = "new token";
constexpr const char* kRefresh = "refresh: 200";
constexpr const char* kNothing = "nothing";
constexpr const char* kReplay = "refresh: 400 refresh.replayed";
constexpr const char* kInterrupted = "refresh_interrupted refresh.interrupted";

// clang-format off
std::vector<Case> cases_before_the_request() {
  return {
    {{"lease", "held by another process", kNothing, "locked lease.timeout", kRefresh, kNew},
     [](Rig& r) { r.lease = r.world.store->lease(r.did, {}).value(); }},
    {{"read", "the record is unreadable", kNothing, "corrupt store.corrupt", kRefresh, kNew},
     [](Rig& r) { r.fail("load", unreadable()); }},
    {{"read again", "unreadable under the lease", kNothing, "corrupt store.corrupt", kRefresh, kNew},
     [](Rig& r) { r.fail("load", unreadable(), 2); }},
    {{"read again", "logged out meanwhile", kNothing, "login_required session.absent", kNothing, "login_required session.absent"},
     [](Rig& r) { r.before("lease", [&r] { static_cast<void>(r.world.client.logout(r.did).value()); r.world.servers->forget_requests(); }); }},
    {{"read again", "renewed by another process meanwhile", kNothing, kNew, kNothing, kNew},
     [](Rig& r) { r.before("lease", [&r] { static_cast<void>(r.world.client.fresh(r.did).value()); r.world.servers->forget_requests(); }); }},
    {{"confirm", "the PLC directory answers 503", kNothing, "invalid_response did_document.status", kRefresh, kNew},
     [](Rig& r) { r.world.servers->inject({.kind = FaultKind::status, .server = sandbox::Server::plc}); }},
    {{"prepare", "the key is missing in the vault", kNothing, "key_missing vault.key_missing", kNothing, "key_missing vault.key_missing"},
     [](Rig& r) { r.world.vault->remove(r.world.store->load(r.did).value()->dpop_jkt).value(); }},
    {{"reserve", "the disk is full", kNothing, "io io.no_space", kRefresh, kNew},
     [](Rig& r) { r.fail("reserve_room", no_space()); }},
    {{"claim", "can't be written", kNothing, "io io.read_only", kRefresh, kNew},
     [](Rig& r) { r.fail("save_claim", read_only()); }},
  };
}

std::vector<Case> cases_of_the_request() {
  return {
    {{"send", "connection refused", kNothing, "unreachable http.connect", kRefresh, kNew},
     lose_endpoint, &Rig::call, find_endpoint},
    {{"send", "connection lost before the server read it", "refresh: unread", "connection_lost http.connection_lost", kRefresh, kNew},
     meets(FaultKind::drop_before)},
    {{"send", "carried out, answer lost", "refresh: 200, answer lost", "connection_lost http.connection_lost", kReplay, kInterrupted},
     meets(FaultKind::drop_after)},
    {{"send", "carried out, answer cut short", "refresh: 200, answer cut", "connection_lost http.connection_lost", kReplay, kInterrupted},
     meets(FaultKind::truncate)},
    {{"send", "the caller's time is over first", kRefresh, "timeout refresh.timeout", kNothing, kNew},
     meets(FaultKind::hold), call_briefly},
    {{"answer", "200 of another content type", "refresh: 200, answer wrong", kNew, kNothing, kNew},
     meets(FaultKind::content_type)},
    {{"answer", "200 for another subject", "refresh: 200, answer wrong; revoke: 200", "token_invalid token.sub_mismatch", kReplay, kInterrupted},
     answers("DPoP", "did:plc:z72i7hdynmk6r22z27h6tvur")},
    {{"answer", "200 with token_type Bearer", "refresh: 200, answer wrong; revoke: 200", "token_invalid token.type", kReplay, kInterrupted},
     answers("Bearer", "")},
    {{"answer", "429, Retry-After: 30", "refresh: 429", "rate_limited refresh.rate_limited", kRefresh, kNew},
     meets(FaultKind::status, 429)},
    {{"answer", "503, not carried out", "refresh: 503", "provider_error refresh.server_error", kRefresh, kNew},
     meets(FaultKind::status)},
    {{"answer", "503, carried out", "refresh: 503, but carried out", "provider_error refresh.server_error", kReplay, kInterrupted},
     meets(FaultKind::status_after)},
    {{"answer", "a redirect", "refresh: 307", "invalid_response refresh.status", kRefresh, kNew},
     meets(FaultKind::redirect)},
    {{"answer", "use_dpop_nonce", "refresh: 400 proof.nonce_stale; refresh: 200", kNew, kNothing, kNew},
     [](Rig& r) { r.world.clock->advance(201h); }},
    {{"answer", "use_dpop_nonce, again and again", "refresh: 400; refresh: 400", "dpop_refused dpop.nonce_again", "refresh: 400 proof.nonce_stale; refresh: 200", kNew},
     meets(FaultKind::nonce_storm, 503, 2)},
    {{"answer", "the clocks have come to differ by an hour", "refresh: 400 proof.expired; refresh: 200", kNew, kNothing, kNew},
     [](Rig& r) { r.world.servers->set_clock_skew(1h); }},
  };
}

std::vector<Case> cases_after_the_request() {
  return {
    {{"invalid_grant", "the session has ended at the server", "refresh: 400 refresh.ended", "session_dead session.dead", kNothing, "session_dead session.dead"},
     [](Rig& r) { r.world.servers->end_sessions(r.did); }},
    {{"invalid_grant", "the same, and a newer session is stored meanwhile", "refresh: 400 refresh.ended", "their token", kNothing, "their token"},
     [](Rig& r) {
       r.world.servers->end_sessions(r.did);
       const auto theirs = std::make_shared<OAuthSession>(r.other_login());
       r.before("load", [&r, theirs] { r.store_instead(theirs->clone()); }, 3);
     }},
    {{"invalid_grant", "a claim of an earlier refresh is found", "refresh: 400 refresh.ended", kInterrupted, kNothing, kInterrupted},
     [](Rig& r) { r.world.servers->end_sessions(r.did); leave_claim(r); }},
    {{"save", "fails, and works later", kRefresh, "session_not_durable session.not_durable", kNothing, kNew},
     [](Rig& r) { r.fail("save", no_space()); }},
    {{"save", "fails until the program ends", kRefresh, "session_not_durable session.not_durable", kReplay, kInterrupted},
     [](Rig& r) { r.fail("save", no_space()); }, &Rig::call,
     [](Rig& r) { r.client.reset(); r.client = r.world.client_over(r.store); }},
    {{"save", "works, and is reported as failed", kRefresh, "session_not_durable session.not_durable", kNothing, kNew},
     [](Rig& r) { r.store->fail_after_next_save(no_space()); }},
    {{"save", "conflict: logged out meanwhile", "refresh: 200; revoke: 200", "login_required session.absent", kNothing, "login_required session.absent"},
     [](Rig& r) { r.before("save", [&r] { r.world.store->remove(r.did, r.world.store->load(r.did).value()->revision).value(); }); }},
    {{"save", "conflict: a new login meanwhile", "refresh: 200; revoke: 200", "their token", kNothing, "their token"},
     [](Rig& r) {
       const auto theirs = std::make_shared<OAuthSession>(r.other_login());
       r.before("save", [&r, theirs] { r.store_instead(theirs->clone()); });
     }},
    {{"logout", "the server can't be reached", "revoke: unread", "pending: not confirmed yet", kNothing, "login_required session.logged_out"},
     [](Rig& r) { r.world.servers->inject({.kind = FaultKind::drop_before, .path = "/oauth/revoke"}); }, log_out},
  };
}
// clang-format on

std::vector<Case> all_cases() {
  std::vector<Case> all = cases_before_the_request();
  for (auto more : {cases_of_the_request(), cases_after_the_request()})
    all.insert(all.end(), more.begin(), more.end());
  return all;
}

std::string line_of(const Row& row) {
  return "| " + row.step + " | " + row.fault + " | " + row.server + " | " + row.caller + " | " +
         row.next_server + " | " + row.next_caller + " |\n";
}

std::string table() {
  std::string text =
      "| step | fault | the server saw | the caller got | with the next call it saw | the next "
      "call "
      "got |\n|---|---|---|---|---|---|\n";
  for (const Case& one : all_cases()) text += line_of(one.expected);
  return text;
}

}  // namespace

TEST_CASE("a fault in each window of a refresh: what the server saw and the callers got",
          "[keeper]") {
  for (const Case& one : all_cases()) {
    INFO(one.expected.step << ": " << one.expected.fault);
    Rig rig;
    one.arrange(rig);
    Row found{.step = one.expected.step, .fault = one.expected.fault};
    found.caller = one.call(rig);
    one.between(rig);
    rig.heal();
    found.server = rig.seen();
    found.next_caller = rig.call();
    found.next_server = rig.seen();
    CHECK(line_of(found) == line_of(one.expected));
  }
}

TEST_CASE("docs/failures.md has this table", "[keeper]") {
  std::ifstream file(LATCHKEY_FAILURES);
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  CHECK(text.find("\n" + table()) != std::string::npos);
}

TEST_CASE("prints the table of docs/failures.md", "[.print]") {
  std::cout << table();
}
