// SPDX-License-Identifier: MIT
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>
#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

import latchkey.core;
import latchkey.http;
import latchkey.session;
import latchkey.store;
import latchkey.store.memory;
import latchkey.store.record;
import latchkey.store.vault;
import latchkey.test.folder;
import latchkey.test.scripted_transport;
import latchkey.test.forwarding_store;
import latchkey.test.torture_notes;
import latchkey.test.torture_scoreboard;
import latchkey.test.torture_watch;

using namespace latchkey;
using namespace latchkey::test;

namespace {

const std::string kOther = "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa";
const std::string kName = "did:plc:ewvi7nxzyoun6zhxrhs64oiz";

class FullStore final : public ForwardingStore {
 public:
  using ForwardingStore::ForwardingStore;
  Result<void> save_record(const SealedRecord& record, Revision expected) override {
    if (is_full) return make_error(ErrorCode::io, "io.no_space", "the disk is full");
    if (out_of_reach) return *out_of_reach;
    return inner().save_record(record, expected);
  }
  Result<std::unique_ptr<Lease>> lease(std::string_view subject, const LockWait& wait) override {
    class Lost final : public Lease {
      bool still_held() override { return false; }
    };
    if (lease_is_lost) return std::unique_ptr<Lease>(std::make_unique<Lost>());
    return inner().lease(subject, wait);
  }
  bool is_full = false;
  bool lease_is_lost = false;
  std::optional<Error> out_of_reach;
};

OAuthSession session_with(std::uint64_t revision, SessionState state = SessionState::active) {
  OAuthSession session;
  session.subject = kName;
  session.revision = {revision};
  session.state = state;
  session.access_token = SecretString("at");
  return session;
}

constexpr TimePoint kClaimedAt{Duration{7'000}};

// The steps of a refresh, as the keeper takes them.
struct Refresh {
  TemporaryFolder folder;
  std::shared_ptr<Scoreboard> board = std::make_shared<Scoreboard>(folder.path() / "board");
  std::shared_ptr<FullStore> disk =
      std::make_shared<FullStore>(MemoryOAuthTokenStore::create(store_sessions_unsealed()));
  std::shared_ptr<OAuthTokenStore> store = watched_store(disk, board, {kOther, kName});
  bool kill_while_posting = false;
  std::vector<RefreshNote> while_posting;

  // As if this process had been killed now.
  [[nodiscard]] std::optional<RefreshNote> cut() const {
    const auto all = board->clear();
    CHECK(all.size() <= 1);
    return all.empty() ? std::nullopt : std::optional(all[0]);
  }
  void claim() const {
    CHECK(store->save_claim(
        {.subject = kName, .revision = {1}, .id = 5, .at = kClaimedAt, .host = {}}));
  }
  void post() {
    const auto inner = std::make_shared<ScriptedTransport>(
        [this](const HttpRequest&, const SendOptions&) -> Result<HttpResponse> {
          if (kill_while_posting) while_posting = board->clear();
          return HttpResponse{.status = 200};
        });
    const auto url = Url::parse("https://as.example/token").value();
    auto request = form_post(url, SecretString("grant_type=refresh_token&refresh_token=rt-1"));
    CHECK(request.headers.add("DPoP", "proof-1"));
    CHECK(watched_transport(inner)->send(request, {}));
  }
};

// What a process of its own meets that does all that: true if it stops itself, and ends well when
// it is woken.
bool stops_once(Refresh& refresh) {
  const pid_t child = fork();
  if (child == 0) {
    const auto lease = refresh.store->lease(kName, {.deadline = std::chrono::steady_clock::now()});
    refresh.claim();
    const bool held = lease && (*lease)->still_held();
    refresh.post();
    _exit(held ? 0 : 1);
  }
  int status = 0;
  if (waitpid(child, &status, WUNTRACED) != child || !WIFSTOPPED(status)) return false;
  return kill(child, SIGCONT) == 0 && waitpid(child, &status, WUNTRACED) == child &&
         WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

}  // namespace

TEST_CASE("watch: a process stops itself at the stage where a halt is ordered", "[torture]") {
  Refresh refresh;
  refresh.board->order_halt(Stage::claimed);
  CHECK(stops_once(refresh));
  const auto before_check = refresh.cut();
  REQUIRE(before_check);
  CHECK(before_check->stage == Stage::answered);  // it went on when it was woken
  refresh.board->order_halt(Stage::answered);
  CHECK(stops_once(refresh));
}

TEST_CASE("watch: without an order no process stops itself", "[torture]") {
  Refresh refresh;
  CHECK_FALSE(stops_once(refresh));
}

TEST_CASE("watch: a claim is on the board, with the number of its session", "[torture]") {
  Refresh refresh;
  refresh.claim();
  const auto cut = refresh.cut();
  REQUIRE(cut);
  CHECK(cut->stage == Stage::claimed);
  CHECK(cut->subject == 1);
  CHECK(cut->request == 0);
}

TEST_CASE("watch: while the request is under way the board has its proof", "[torture]") {
  Refresh refresh;
  refresh.kill_while_posting = true;
  refresh.claim();
  refresh.post();
  REQUIRE(refresh.while_posting.size() == 1);
  CHECK(refresh.while_posting[0].stage == Stage::posting);
  CHECK(refresh.while_posting[0].request == mark_of("proof-1"));
}

TEST_CASE("watch: from the answer to the save the board says saving", "[torture]") {
  Refresh refresh;
  refresh.claim();
  refresh.post();
  const auto cut = refresh.cut();
  REQUIRE(cut);
  CHECK(cut->stage == Stage::answered);
  CHECK(cut->request == mark_of("proof-1"));
}

TEST_CASE("watch: after the save nothing excuses a loss", "[torture]") {
  Refresh refresh;
  refresh.claim();
  refresh.post();
  REQUIRE(refresh.store->save(session_with(2), Revision{}));
  CHECK_FALSE(refresh.cut());
}

TEST_CASE("watch: after a save that failed the board says unsaved, until it works", "[torture]") {
  Refresh refresh;
  refresh.disk->is_full = true;
  refresh.claim();
  refresh.post();
  CHECK_FALSE(refresh.store->save(session_with(2), Revision{}));
  CHECK(refresh.board->counters().unsaved == 1);
  SECTION("killed") {
    const auto cut = refresh.cut();
    REQUIRE(cut);
    CHECK(cut->stage == Stage::unsaved);
  }
  SECTION("saved after all") {
    refresh.disk->is_full = false;
    REQUIRE(refresh.store->save(session_with(2), Revision{}));
    CHECK_FALSE(refresh.cut());
  }
}

TEST_CASE("watch: a save that does not reach the store is held up, which is not unsaved",
          "[torture]") {
  Refresh refresh;
  refresh.claim();
  refresh.post();
  for (const auto& [code, detail] : {std::pair(ErrorCode::locked, "sqlite.busy"),
                                     std::pair(ErrorCode::io, "postgres.connection_lost"),
                                     std::pair(ErrorCode::io, "postgres.unreachable")}) {
    refresh.disk->out_of_reach = make_error(code, detail, "later");
    CHECK_FALSE(refresh.store->save(session_with(2), Revision{}));
    REQUIRE(refresh.board->read().size() == 1);
    CHECK(refresh.board->read()[0].stage == Stage::held_up);
  }
  SECTION("killed") {
    CHECK(refresh.cut()->stage == Stage::held_up);
  }
  SECTION("no room, after all") {
    refresh.disk->out_of_reach = make_error(ErrorCode::io, "postgres.no_space", "full");
    CHECK_FALSE(refresh.store->save(session_with(2), Revision{}));
    CHECK(refresh.cut()->stage == Stage::unsaved);
  }
}

TEST_CASE("watch: a refresh that went well has all its times, and is collected", "[torture]") {
  Refresh refresh;
  const TimePoint before = SystemClock().now();
  const auto lease =
      refresh.store->lease(kName, {.deadline = std::chrono::steady_clock::now()}).value();
  refresh.claim();
  REQUIRE(lease->still_held());
  refresh.post();
  REQUIRE(refresh.store->save(session_with(2), Revision{}));
  const auto ended = refresh.board->collect();
  REQUIRE(ended.size() == 1);
  CHECK(ended[0].stage == Stage::saved);
  CHECK(ended[0].claimed == kClaimedAt);
  CHECK(ended[0].checked >= before);
  CHECK(ended[0].saved >= ended[0].checked);
}

TEST_CASE("watch: a check that says no is none", "[torture]") {
  Refresh refresh;
  refresh.disk->lease_is_lost = true;
  const auto lease =
      refresh.store->lease(kName, {.deadline = std::chrono::steady_clock::now()}).value();
  refresh.claim();
  CHECK_FALSE(lease->still_held());
  REQUIRE(refresh.board->read().size() == 1);
  CHECK_FALSE(refresh.board->read()[0].checked);
}

TEST_CASE("watch: a refresh that ended without a save is over, and has no time of one",
          "[torture]") {
  Refresh refresh;
  refresh.claim();
  SECTION("its claim was cleared") {
    REQUIRE(refresh.store->clear_claim(kName, 5));
  }
  SECTION("its session is dead") {
    refresh.post();
    REQUIRE(refresh.store->save(session_with(2, SessionState::dead), Revision{}));
  }
  SECTION("somebody else had saved") {
    refresh.post();
    REQUIRE(refresh.disk->save(session_with(3), Revision{}));
    CHECK_FALSE(refresh.store->save(session_with(2), Revision{}));
  }
  const auto ended = refresh.board->collect();
  REQUIRE(ended.size() == 1);
  CHECK(ended[0].stage == Stage::over);
  CHECK_FALSE(ended[0].saved);
}

TEST_CASE("watch: a tombstone that can't be written is no unsaved session", "[torture]") {
  Refresh refresh;
  refresh.disk->is_full = true;
  refresh.claim();
  refresh.post();
  CHECK_FALSE(refresh.store->save(session_with(2, SessionState::dead), Revision{}));
  CHECK_FALSE(refresh.cut());
  CHECK(refresh.board->counters().unsaved == 0);
}

TEST_CASE("watch: a claim that is cleared is off the board", "[torture]") {
  Refresh refresh;
  refresh.claim();
  REQUIRE(refresh.store->clear_claim(kName, 5));
  CHECK_FALSE(refresh.cut());
}

TEST_CASE("watch: a thread that gives up leaves nothing, unless it ends with an unsaved session",
          "[torture]") {
  Refresh refresh;
  SECTION("given up") {
    std::thread([&] { refresh.claim(); }).join();
    CHECK_FALSE(refresh.cut());
  }
  SECTION("unsaved") {
    refresh.disk->is_full = true;
    std::thread([&] {
      refresh.claim();
      static_cast<void>(refresh.store->save(session_with(2), Revision{}).has_value());
    }).join();
    const auto cut = refresh.cut();
    REQUIRE(cut);
    CHECK(cut->stage == Stage::unsaved);
  }
}

TEST_CASE("watch: a lease that was had at once is no adoption", "[torture]") {
  Refresh refresh;
  REQUIRE(refresh.store->lease(kName, {.deadline = std::chrono::steady_clock::now()}));
  CHECK(refresh.board->counters().adoptions == 0);
}
