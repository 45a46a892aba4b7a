// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <string>
#include <utility>

import latchkey.test.torture_books;

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

CutRefresh cut(Mark token, Stage stage) {
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
    books.enter(cut(kFirst, stage));
    CHECK(books.judge("k").cause == cause);
  }
}

TEST_CASE("books: the order in which kill and request are entered does not matter", "[torture]") {
  Books books;
  books.enter(cut(kFirst, Stage::posting));
  books.enter(consumed(kFirst));
  CHECK(books.judge("k").cause == Cause::killed_posting);
}

TEST_CASE("books: who was killed with an unsaved session is LOST: there was room reserved",
          "[torture]") {
  Books books;
  books.enter(consumed(kFirst));
  books.enter(cut(kFirst, Stage::unsaved));
  CHECK(books.judge("k").cause == Cause::lost);
}

TEST_CASE("books: who was killed over the spent token's second sending excuses nothing",
          "[torture]") {
  Books books;
  books.enter(consumed(kFirst));
  const ServedRefresh second = refused(kFirst, "refresh.replayed");
  books.enter(second);
  books.enter(CutRefresh{.subject = 0, .request = second.request, .stage = Stage::posting});
  CHECK(books.judge("k").cause == Cause::lost);
  CHECK(books.replays_outside().size() == 1);
}

TEST_CASE("books: a kill with another token in hand excuses nothing", "[torture]") {
  Books books;
  books.enter(consumed(kFirst));
  books.enter(consumed(kSecond));
  books.enter(cut(kFirst, Stage::posting));
  CHECK(books.judge("k").cause == Cause::lost);
}

TEST_CASE("books: a kill before anything was sent excuses nothing", "[torture]") {
  Books books;
  books.enter(consumed(kFirst));
  books.enter(cut(0, Stage::claimed));
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
  books.enter(cut(kFirst, Stage::answered));
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
  books.enter(cut(0, Stage::claimed));
  CHECK(books.explains_claim(0, "k"));
  CHECK_FALSE(books.explains_claim(1, "other"));
}

TEST_CASE("books: different tokens have different marks, and none is 0", "[torture]") {
  CHECK(mark_of("a") != mark_of("b"));
  CHECK(mark_of("a") == mark_of("a"));
  CHECK(mark_of("") != 0);
}
