// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <optional>
#include <string>
#include <utility>

import latchkey.core.time;
import latchkey.test.torture_books;
import latchkey.test.torture_notes;
import latchkey.test.torture_takeover;

using namespace latchkey;
using namespace latchkey::test;

namespace {

constexpr Mark kFirst = 11, kSecond = 13;

// The request that sent a token first.
constexpr Mark request_of(Mark token) {
  return token + 100;
}

ServedRefresh consumed(Mark token, std::string key = "k") {
  return {.key = std::move(key),
          .token = token,
          .request = request_of(token),
          .consumed = true,
          .fault = {},
          .refusal = {}};
}

ServedRefresh lost(Mark token, std::string fault) {
  return {.key = "k",
          .token = token,
          .request = request_of(token),
          .consumed = true,
          .answer = Answer::lost,
          .fault = std::move(fault),
          .refusal = {}};
}

ServedRefresh refused(Mark token, std::string refusal, std::string fault = {}) {
  return {.key = "k",
          .token = token,
          .request = token + 200,
          .fault = std::move(fault),
          .refusal = std::move(refusal)};
}

RefreshNote cut(Mark token, Stage stage) {
  return {.subject = 0, .request = token == 0 ? 0 : request_of(token), .stage = stage};
}

}  // namespace

TEST_CASE("books: a session that died without a refresh is LOST", "[torture]") {
  CHECK(Books().judge("k").cause == Cause::lost);
}

TEST_CASE("books: a session whose tokens were only refused is LOST", "[torture]") {
  Books books;
  books.enter(refused(kFirst, "refresh.ended"));
  CHECK(books.judge("k").cause == Cause::lost);
}

TEST_CASE("books: an answer that was delivered to somebody alive is LOST", "[torture]") {
  Books books;
  books.enter(consumed(kFirst));
  books.enter(refused(kFirst, "refresh.replayed"));
  const Death death = books.judge("k");
  CHECK(death.cause == Cause::lost);
  CHECK(death.story.find("consumed, refresh.replayed") != std::string::npos);
}

TEST_CASE("books: an answer that a fault took is in the window", "[torture]") {
  Books books;
  books.enter(lost(kFirst, "drop_after"));
  books.enter(refused(kFirst, "refresh.replayed"));
  const Death death = books.judge("k");
  CHECK(death.cause == Cause::answer_lost);
  CHECK(death.story.find("drop_after") != std::string::npos);
}

TEST_CASE("books: a fault that came before a delivered answer excuses nothing", "[torture]") {
  Books books;
  books.enter(refused(kFirst, "", "drop_before"));
  books.enter(consumed(kFirst));
  CHECK(books.judge("k").cause == Cause::lost);
}

TEST_CASE("books: a fault on the replay excuses nothing", "[torture]") {
  Books books;
  books.enter(consumed(kFirst));
  books.enter(refused(kFirst, "refresh.replayed", "drop_after"));
  CHECK(books.judge("k").cause == Cause::lost);
  CHECK(books.replays_outside().size() == 1);
}

TEST_CASE("books: who was killed between sending and saving is in the window", "[torture]") {
  for (const auto& [stage, cause] : {std::pair(Stage::posting, Cause::killed_posting),
                                     std::pair(Stage::answered, Cause::killed_saving)}) {
    Books books;
    books.enter(consumed(kFirst));
    books.enter_cut(cut(kFirst, stage));
    CHECK(books.judge("k").cause == cause);
  }
}

TEST_CASE("books: the order in which kill and request are entered does not matter", "[torture]") {
  Books books;
  books.enter_cut(cut(kFirst, Stage::posting));
  books.enter(consumed(kFirst));
  CHECK(books.judge("k").cause == Cause::killed_posting);
}

TEST_CASE("books: who was killed with an unsaved session is LOST: there was room reserved",
          "[torture]") {
  Books books;
  books.enter(consumed(kFirst));
  books.enter_cut(cut(kFirst, Stage::unsaved));
  CHECK(books.judge("k").cause == Cause::lost);
}

TEST_CASE("books: who was killed while nobody could reach the store is in the window",
          "[torture]") {
  Books books;
  books.enter(consumed(kFirst));
  books.enter_cut(cut(kFirst, Stage::held_up));
  CHECK(books.judge("k").cause == Cause::killed_held_up);
}

TEST_CASE("books: what ended before the kill excuses nothing", "[torture]") {
  Books books;
  books.enter(consumed(kFirst));
  books.enter_note(cut(kFirst, Stage::saved));
  CHECK(books.judge("k").cause == Cause::lost);
}

TEST_CASE("books: who was killed over the spent token's second sending excuses nothing",
          "[torture]") {
  Books books;
  books.enter(consumed(kFirst));
  const ServedRefresh second = refused(kFirst, "refresh.replayed");
  books.enter(second);
  books.enter_cut(RefreshNote{.subject = 0, .request = second.request, .stage = Stage::posting});
  CHECK(books.judge("k").cause == Cause::lost);
  CHECK(books.replays_outside().size() == 1);
}

TEST_CASE("books: a kill with another token in hand excuses nothing", "[torture]") {
  Books books;
  books.enter(consumed(kFirst));
  books.enter(consumed(kSecond));
  books.enter_cut(cut(kFirst, Stage::posting));
  CHECK(books.judge("k").cause == Cause::lost);
}

TEST_CASE("books: a kill before anything was sent excuses nothing", "[torture]") {
  Books books;
  books.enter(consumed(kFirst));
  books.enter_cut(cut(0, Stage::claimed));
  CHECK(books.judge("k").cause == Cause::lost);
}

TEST_CASE("books: only the last consumed token counts", "[torture]") {
  Books books;
  books.enter(lost(kFirst, "truncate"));
  books.enter(consumed(kSecond));
  CHECK(books.judge("k").cause == Cause::lost);
}

TEST_CASE("books: another session's loss excuses nothing", "[torture]") {
  Books books;
  books.enter(lost(kFirst, "drop_after"));
  books.enter(consumed(kSecond, "other"));
  CHECK(books.judge("other").cause == Cause::lost);
}

TEST_CASE("books: a replay is outside the window exactly when nothing had been lost", "[torture]") {
  Books books;
  books.enter(lost(kFirst, "drop_after"));
  books.enter(refused(kFirst, "refresh.replayed"));
  CHECK(books.replays_outside().empty());
  books.enter(consumed(kSecond));
  books.enter(refused(kSecond, "refresh.replayed"));
  CHECK(books.replays_outside().size() == 1);
  CHECK(books.replays() == 2);
}

TEST_CASE("books: a replay of a killed process's token is inside the window", "[torture]") {
  Books books;
  books.enter(consumed(kFirst));
  books.enter_cut(cut(kFirst, Stage::answered));
  books.enter(refused(kFirst, "refresh.replayed"));
  CHECK(books.replays_outside().empty());
}

TEST_CASE("books: refusals that no schedule brings about are reported", "[torture]") {
  Books books;
  books.enter(refused(kFirst, "refresh.ended"));
  CHECK(books.strange_refusals().empty());
  books.enter(refused(kFirst, "refresh.wrong_key"));
  CHECK(books.strange_refusals().size() == 1);
}

TEST_CASE("books: a claim needs a refresh that was cut off or met a fault", "[torture]") {
  Books books;
  CHECK_FALSE(books.explains_claim(0, "k"));
  books.enter(consumed(kFirst));
  CHECK_FALSE(books.explains_claim(0, "k"));
  books.enter(refused(kSecond, "", "drop_before"));
  CHECK(books.explains_claim(0, "k"));
  books.enter(consumed(kSecond));
  CHECK_FALSE(books.explains_claim(0, "k"));
  books.enter_cut(cut(0, Stage::claimed));
  CHECK(books.explains_claim(0, "k"));
  CHECK_FALSE(books.explains_claim(1, "other"));
}

TEST_CASE("books: who was stopped explains a claim as who was killed does", "[torture]") {
  Books books;
  books.enter_stop({.worker = 1, .under_way = {cut(0, Stage::claimed)}});
  CHECK(books.explains_claim(0, "k"));
  CHECK_FALSE(books.explains_claim(1, "k"));
}

namespace {

// Worker 1 spends the token, stands still over it, and worker 2 sends it again after the claim's
// five seconds.
struct TakenOver {
  static constexpr Duration kLease{1'500}, kClaim{5'000};
  static TimePoint at(int milliseconds) { return TimePoint{Duration{1'000'000 + milliseconds}}; }

  RefreshNote consumer{.worker = 1,
                       .request = request_of(kFirst),
                       .stage = Stage::answered,
                       .claimed = at(0),
                       .checked = at(5)};
  RefreshNote replayer{.worker = 2,
                       .request = kFirst + 200,
                       .stage = Stage::over,
                       .claimed = at(5'000),
                       .checked = at(5'005)};
  Stop stop{.worker = 1, .from = at(10)};

  [[nodiscard]] Books books(bool leases_expire = true) {
    stop.under_way = {consumer};
    Books all = leases_expire ? Books(ExpiringLease{.time = kLease, .claim_age = kClaim}) : Books();
    all.enter(consumed(kFirst));
    all.enter(refused(kFirst, "refresh.replayed"));
    all.enter_note(consumer);
    all.enter_note(replayer);
    all.enter_stop(stop);
    return all;
  }
};

}  // namespace

TEST_CASE("books: who was stopped over a token and taken over is in the window", "[torture]") {
  const Books books = TakenOver().books();
  CHECK(books.judge("k").cause == Cause::paused_saving);
  CHECK(books.replays_outside().empty());
}

TEST_CASE("books: where leases do not expire nobody is excused by having been stopped",
          "[torture]") {
  const Books books = TakenOver().books(false);
  CHECK(books.judge("k").cause == Cause::lost);
  CHECK(books.replays_outside().size() == 1);
}

TEST_CASE("books: a stop that ended in time excuses nothing, whatever was known at first",
          "[torture]") {
  TakenOver takeover;
  Books books = takeover.books();
  takeover.stop.until = TakenOver::at(500);
  books.enter_stop(takeover.stop);
  CHECK(books.judge("k").cause == Cause::lost);
}

TEST_CASE("books: the latest note of a request counts", "[torture]") {
  TakenOver takeover;
  Books books = takeover.books();
  takeover.consumer.saved = TakenOver::at(4'000);
  books.enter_note(takeover.consumer);
  const Death death = books.judge("k");
  CHECK(death.cause == Cause::lost);  // the other's check came after that
  CHECK(death.story.find("1005 ms after its answer had been saved") != std::string::npos);
}

TEST_CASE("books: a token that was not sent again was lost by who had its answer, stopped or not",
          "[torture]") {
  Books books(ExpiringLease{.time = TakenOver::kLease, .claim_age = TakenOver::kClaim});
  const TakenOver takeover;
  books.enter(consumed(kFirst));
  books.enter_note(takeover.consumer);
  books.enter_stop({.worker = 1, .from = TakenOver::at(10), .under_way = {takeover.consumer}});
  CHECK(books.judge("k").cause == Cause::lost);
}

TEST_CASE("books: different tokens have different marks, and none is 0", "[torture]") {
  CHECK(mark_of("a") != mark_of("b"));
  CHECK(mark_of("a") == mark_of("a"));
  CHECK(mark_of("") != 0);
}
