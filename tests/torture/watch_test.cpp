// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
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
import latchkey.test.torture_books;
import latchkey.test.forwarding_store;
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
    return inner().save_record(record, expected);
  }
  bool is_full = false;
};

OAuthSession session_with(std::uint64_t revision, SessionState state = SessionState::active) {
  OAuthSession session;
  session.subject = kName;
  session.revision = {revision};
  session.state = state;
  session.access_token = SecretString("at");
  return session;
}

// The steps of a refresh, as the keeper takes them.
struct Refresh {
  TemporaryFolder folder;
  std::shared_ptr<Scoreboard> board = std::make_shared<Scoreboard>(folder.path() / "board");
  std::shared_ptr<FullStore> disk =
      std::make_shared<FullStore>(MemoryOAuthTokenStore::create(store_sessions_unsealed()));
  std::shared_ptr<OAuthTokenStore> store = watched_store(disk, board, {kOther, kName});
  bool kill_while_posting = false;
  std::vector<CutRefresh> while_posting;

  // As if this process had been killed now.
  [[nodiscard]] std::optional<CutRefresh> cut() const {
    const auto all = board->clear();
    CHECK(all.size() <= 1);
    return all.empty() ? std::nullopt : std::optional(all[0]);
  }
  void claim() const {
    CHECK(store->save_claim({.subject = kName, .revision = {1}, .id = 5, .at = {}, .host = {}}));
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

}  // namespace

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
