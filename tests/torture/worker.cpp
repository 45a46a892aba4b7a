// SPDX-License-Identifier: MIT
module;
#include <unistd.h>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>
module latchkey.test.torture_worker;
import latchkey.atproto.client;
import latchkey.atproto.pds;
import latchkey.core;
import latchkey.refresh.keeper;
import latchkey.session;
import latchkey.test.torture_place;
import latchkey.test.torture_sabotage;
import latchkey.test.torture_schedule;
import latchkey.test.torture_scoreboard;

namespace latchkey::test {
namespace {

using std::chrono::milliseconds;

constexpr std::size_t kFixedWords = 10;
constexpr milliseconds kOpenPause{200};

void pause(milliseconds time, const std::stop_token& stop) {
  std::mutex mutex;
  std::unique_lock lock(mutex);
  std::condition_variable_any().wait_for(lock, stop, time, [] { return false; });
}

class User {
 public:
  User(const AtprotoClient& client, const Scene& scene, Scoreboard& board, std::uint64_t seed)
      : client_(client), scene_(scene), board_(board), dice_(seed) {}

  void run(const std::stop_token& stop) {
    while (!stop.stop_requested()) {
      ++board_.counters().calls;
      if (act(stop)) ++board_.counters().succeeded;
      pause(dice_.between(milliseconds{5}, milliseconds{60}), stop);
    }
  }

 private:
  // Half of the time the same session as many others, else any.
  const std::string& subject() {
    const auto all = scene_.subjects.size();
    return scene_.subjects[dice_.below(dice_.below(2) == 0 ? std::min<std::size_t>(2, all) : all)];
  }

  bool act(const std::stop_token& stop) {
    const std::string& did = subject();
    const auto choice = dice_.below(20);
    if (choice < 12)
      return client_.pds(did).query("com.atproto.server.getSession", {}, stop).has_value();
    if (choice < 14) {
      return client_.pds(did)
          .create_record("app.bsky.feed.post",
                         R"({"text":"torture","createdAt":"2026-01-01T00:00:00Z"})", {.stop = stop})
          .has_value();
    }
    auto session = client_.fresh(did, {.stop = stop});
    if (!session || choice < 19) return session.has_value();
    // As after a 401: whatever is stored, but not this.
    return client_
        .fresh(did, {.stop = stop, .rejected = token_fingerprint((*session)->access_token)})
        .has_value();
  }

  AtprotoClient client_;
  const Scene& scene_;
  Scoreboard& board_;
  Dice dice_;
};

// Opening may fail for as long as a phase of the disk lasts.
std::optional<Place> open_in_time(const WorkerOptions& options, Scoreboard& board,
                                  const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    auto place = open_place(options.site);
    if (place) return *std::move(place);
    ++board.counters().not_opened;
    pause(kOpenPause, stop);
  }
  return std::nullopt;
}

std::uint64_t number(const std::string& word) {
  std::size_t end = 0;
  const auto value = std::stoull(word, &end);
  if (end != word.size()) throw std::runtime_error("not a number: " + word);
  return value;
}

}  // namespace

void use_sessions(const Place& place, const Scene& scene, Scoreboard& board, unsigned threads,
                  std::uint64_t seed, const std::stop_token& stop) {
  const auto client = open_client(place, scene, nullptr).value();
  Dice dice(seed);
  std::vector<std::jthread> users;
  for (unsigned i = 0; i < threads; ++i) {
    users.emplace_back([&, own = dice.roll()] { User(client, scene, board, own).run(stop); });
  }
}

std::vector<std::string> to_words(const WorkerOptions& options) {
  std::vector<std::string> words{options.site.store,
                                 options.site.folder.string(),
                                 options.site.address,
                                 std::to_string(options.site.lease_time.count()),
                                 options.board.string(),
                                 options.scene.pds,
                                 options.scene.plc,
                                 std::to_string(options.threads),
                                 std::to_string(options.seed),
                                 std::string(to_string(options.sabotage))};
  words.insert(words.end(), options.scene.subjects.begin(), options.scene.subjects.end());
  return words;
}

WorkerOptions worker_options(const std::vector<std::string>& words) {
  if (words.size() <= kFixedWords) throw std::runtime_error("a worker needs more words");
  const auto sabotage = sabotage_from(words[9]);
  if (!sabotage) throw std::runtime_error("no such sabotage: " + words[9]);
  return {.site = {.store = words[0],
                   .folder = words[1],
                   .address = words[2],
                   .lease_time = milliseconds{number(words[3])}},
          .board = words[4],
          .scene = {.pds = words[5],
                    .plc = words[6],
                    .subjects = {words.begin() + kFixedWords, words.end()}},
          .threads = static_cast<unsigned>(number(words[7])),
          .seed = number(words[8]),
          .sabotage = *sabotage};
}

int run_worker(const WorkerOptions& options) {
  std::stop_source stopping;
  // Also when the driver is gone: then its end of the pipe is closed.
  std::jthread listener([&stopping] {
    char byte = 0;
    static_cast<void>(read(STDIN_FILENO, &byte, 1));
    stopping.request_stop();
  });
  const auto board = std::make_shared<Scoreboard>(options.board);
  const auto place = open_in_time(options, *board, stopping.get_token());
  if (!place) return 0;
  use_sessions(watched_place(*place, options.sabotage, board, options.scene), options.scene, *board,
               options.threads, options.seed, stopping.get_token());
  return 0;
}

}  // namespace latchkey::test
