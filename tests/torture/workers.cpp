// SPDX-License-Identifier: MIT
module;
#include <signal.h>
#include <sys/wait.h>
#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>
module latchkey.test.torture_workers;
import latchkey.core.time;
import latchkey.test.child;
import latchkey.test.torture_notes;
import latchkey.test.torture_observer;
import latchkey.test.torture_place;
import latchkey.test.torture_schedule;
import latchkey.test.torture_scoreboard;
import latchkey.test.torture_worker;

namespace latchkey::test {
namespace {

using namespace std::chrono_literals;
using Steady = std::chrono::steady_clock;

// More than a request may take (SendOptions::timeout).
constexpr auto kPatience = 45s;
// How long a pause waits for the stage that it aims at, and how often it looks.
constexpr auto kAimPatience = 500ms;
constexpr auto kAimTick = 100us;

void add(Totals& totals, Counters& counters) {
  totals.calls += counters.calls;
  totals.succeeded += counters.succeeded;
  totals.adoptions += counters.adoptions;
  totals.unsaved += counters.unsaved;
  totals.not_opened += counters.not_opened;
}

bool has_ended(const ChildProcess& process) {
  siginfo_t info{};
  return waitid(P_PID, static_cast<id_t>(process.id()), &info, WEXITED | WNOHANG | WNOWAIT) != 0 ||
         info.si_pid != 0;
}

bool has_stage(const std::vector<RefreshNote>& notes, Stage stage) {
  return std::any_of(notes.begin(), notes.end(),
                     [&](const RefreshNote& note) { return note.stage == stage; });
}

bool wait_for_stop(const ChildProcess& process, int options) {
  siginfo_t info{};
  return waitid(P_PID, static_cast<id_t>(process.id()), &info,
                WSTOPPED | WEXITED | WNOWAIT | options) == 0 &&
         info.si_pid != 0 && info.si_code == CLD_STOPPED;
}

// False if it has ended instead.
bool stand_still(const ChildProcess& process) {
  return ::kill(process.id(), SIGSTOP) == 0 && wait_for_stop(process, 0);
}

class Processes final : public Workers {
 public:
  Processes(std::string program, WorkerOptions options, unsigned count,
            std::filesystem::path boards, Observer& observer)
      : program_(std::move(program)),
        options_(std::move(options)),
        boards_folder_(std::move(boards)),
        observer_(observer),
        dice_(options_.seed),
        crew_(count) {
    for (unsigned i = 0; i < count; ++i)
      crew_[i].board = std::make_unique<Scoreboard>(board_file(i));
  }

  void start() override {
    for (std::size_t i = 0; i < crew_.size(); ++i) spawn(i);
  }

  // Who stands still is left alone, so that it lives to wake up.
  void kill(std::uint64_t number) override {
    const std::size_t i = first_awake(number);
    if (!crew_[i].process || crew_[i].pause) return;
    crew_[i].process->kill();
    ++kills_;
    bury(i);
    spawn(i);
  }

  void pause(std::uint64_t number, Stage aim, std::chrono::milliseconds lasts) override {
    // Requests take their time, and are to be hit while they are under way.
    const std::size_t i = aim == Stage::posting ? first_at(aim, number) : first_awake(number);
    Member& member = crew_[i];
    if (!member.process || member.pause) return;
    const bool by_itself = aim == Stage::claimed || aim == Stage::answered;
    const auto from = by_itself ? halted(member, aim) : stopped(member);
    if (!from) return;
    member.pause = {.stop = {.worker = i, .from = *from, .under_way = notes_of(i)},
                    .wake = Steady::now() + lasts};
    observer_.enter_stop(member.pause->stop);
    count_pause(member.pause->stop);
  }

  void look() override {
    for (std::size_t i = 0; i < crew_.size(); ++i) {
      if (crew_[i].pause && Steady::now() >= crew_[i].pause->wake) wake(i);
      hand_on(i);
      if (!crew_[i].process || !has_ended(*crew_[i].process)) continue;
      crashes_.push_back("a worker ended by itself, status " +
                         std::to_string(crew_[i].process->wait()));
      bury(i);
      spawn(i);
    }
  }

  std::vector<RefreshNote> under_way() override {
    std::vector<RefreshNote> all;
    for (std::size_t i = 0; i < crew_.size(); ++i) {
      const auto notes = notes_of(i);
      all.insert(all.end(), notes.begin(), notes.end());
    }
    return all;
  }

  void stop() override {
    for (std::size_t i = 0; i < crew_.size(); ++i) {
      Member& member = crew_[i];
      if (!member.process) continue;
      wake(i);
      try {
        member.process->write_line("stop");
      } catch (const std::exception&) {
        // It is gone already; its status tells.
      }
    }
    const auto deadline = Steady::now() + kPatience;
    for (std::size_t i = 0; i < crew_.size(); ++i) stop_one(i, deadline);
  }

  Totals totals() override {
    Totals sum;
    for (Member& member : crew_) add(sum, member.board->counters());
    return sum;
  }
  [[nodiscard]] unsigned kills() const override { return kills_; }
  [[nodiscard]] std::map<std::string, unsigned> pauses() const override { return pauses_; }
  [[nodiscard]] std::vector<std::string> crashes() const override { return crashes_; }

 private:
  struct Pause {
    Stop stop;
    Steady::time_point wake;
  };
  struct Member {
    std::optional<ChildProcess> process;
    std::unique_ptr<Scoreboard> board;
    std::optional<Pause> pause;
  };

  // The one of this number, or after it.
  [[nodiscard]] std::size_t first_awake(std::uint64_t number) const {
    for (std::size_t k = 0; k < crew_.size(); ++k) {
      const std::size_t i = (number + k) % crew_.size();
      if (!crew_[i].pause) return i;
    }
    return number % crew_.size();
  }
  // The first to have a refresh at this stage.
  [[nodiscard]] std::size_t first_at(Stage stage, std::uint64_t number) const {
    for (const auto give_up = Steady::now() + kAimPatience; Steady::now() < give_up;
         std::this_thread::sleep_for(kAimTick)) {
      for (std::size_t i = 0; i < crew_.size(); ++i) {
        if (!crew_[i].pause && has_stage(crew_[i].board->read(), stage)) return i;
      }
    }
    return first_awake(number);
  }

  // Both give the time before the stop; empty: it has ended instead.
  static std::optional<TimePoint> stopped(const Member& member) {
    const TimePoint from = SystemClock().now();
    return stand_still(*member.process) ? std::optional(from) : std::nullopt;
  }
  static std::optional<TimePoint> halted(Member& member, Stage stage) {
    member.board->order_halt(stage);
    for (const auto give_up = Steady::now() + kAimPatience; Steady::now() < give_up;) {
      const TimePoint from = SystemClock().now();
      std::this_thread::sleep_for(kAimTick);
      if (wait_for_stop(*member.process, WNOHANG)) return from;
    }
    // Who has obeyed must not be stopped twice: one SIGCONT would not be enough.
    const TimePoint from = SystemClock().now();
    if (member.board->withdraw_halt()) return stopped(member);
    return wait_for_stop(*member.process, 0) ? std::optional(from) : std::nullopt;
  }

  [[nodiscard]] std::filesystem::path board_file(std::size_t i) const {
    return boards_folder_ / ("board-" + std::to_string(i));
  }

  void spawn(std::size_t i) {
    WorkerOptions options = options_;
    options.board = board_file(i);
    options.seed = dice_.roll();
    std::vector<std::string> words{program_, "worker"};
    for (std::string& word : to_words(options)) words.push_back(std::move(word));
    crew_[i].process.emplace(std::move(words));
  }

  std::vector<RefreshNote> signed_by(std::size_t i, std::vector<RefreshNote> notes) const {
    for (RefreshNote& note : notes) note.worker = i;
    return notes;
  }
  std::vector<RefreshNote> notes_of(std::size_t i) const {
    return signed_by(i, crew_[i].board->read());
  }
  // What is under way too: a death may have to be explained by who stands still over it.
  void hand_on(std::size_t i) {
    observer_.enter_notes(notes_of(i));
    observer_.enter_notes(signed_by(i, crew_[i].board->collect()));
  }

  void wake(std::size_t i) {
    if (!crew_[i].pause) return;
    ::kill(crew_[i].process->id(), SIGCONT);
    end_pause(i);
  }
  void end_pause(std::size_t i) {
    if (!crew_[i].pause) return;
    Stop stop = std::exchange(crew_[i].pause, std::nullopt)->stop;
    stop.until = SystemClock().now();
    observer_.enter_stop(std::move(stop));
  }
  void count_pause(const Stop& stop) {
    Stage furthest = Stage::idle;
    for (const RefreshNote& note : stop.under_way) furthest = std::max(furthest, note.stage);
    ++pauses_[std::string(to_string(furthest))];
  }

  void bury(std::size_t i) {
    end_pause(i);
    crew_[i].process.reset();
    hand_on(i);
    observer_.enter_cut(signed_by(i, crew_[i].board->clear()));
  }

  void stop_one(std::size_t i, Steady::time_point deadline) {
    if (!crew_[i].process) return;
    while (!has_ended(*crew_[i].process) && Steady::now() < deadline)
      std::this_thread::sleep_for(10ms);
    if (!has_ended(*crew_[i].process)) {
      crashes_.emplace_back("a worker did not end when it was asked to");
      crew_[i].process->kill();
    } else if (const int status = crew_[i].process->wait(); status != 0) {
      crashes_.push_back("a worker ended with status " + std::to_string(status));
    }
    bury(i);
  }

  std::string program_;
  WorkerOptions options_;
  std::filesystem::path boards_folder_;
  Observer& observer_;
  Dice dice_;
  std::vector<Member> crew_;
  unsigned kills_ = 0;
  std::map<std::string, unsigned> pauses_;
  std::vector<std::string> crashes_;
};

class Threads final : public Workers {
 public:
  Threads(const Place& place, WorkerOptions options)
      : options_(std::move(options)),
        board_(std::make_shared<Scoreboard>(options_.board)),
        place_(watched_place(place, options_.sabotage, board_, options_.scene)) {}

  void start() override {
    thread_ = std::jthread([this](const std::stop_token& stop) {
      use_sessions(place_, options_.scene, *board_, options_.threads, options_.seed, stop);
    });
  }
  // A process that is killed takes its memory with it: nothing would be left to look at.
  void kill(std::uint64_t) override {}
  // There is nobody else.
  void pause(std::uint64_t, Stage, std::chrono::milliseconds) override {}
  // No lease of theirs expires, and none of them is killed: their notes explain nothing.
  void look() override { static_cast<void>(board_->collect()); }
  std::vector<RefreshNote> under_way() override { return board_->read(); }
  void stop() override { thread_ = {}; }
  Totals totals() override {
    Totals sum;
    add(sum, board_->counters());
    return sum;
  }
  [[nodiscard]] unsigned kills() const override { return 0; }
  [[nodiscard]] std::map<std::string, unsigned> pauses() const override { return {}; }
  [[nodiscard]] std::vector<std::string> crashes() const override { return {}; }

 private:
  WorkerOptions options_;
  std::shared_ptr<Scoreboard> board_;
  Place place_;
  std::jthread thread_;
};

}  // namespace

Workers::~Workers() = default;

std::unique_ptr<Workers> worker_processes(std::string program, WorkerOptions options,
                                          unsigned count, std::filesystem::path boards,
                                          Observer& observer) {
  return std::make_unique<Processes>(std::move(program), std::move(options), count,
                                     std::move(boards), observer);
}

std::unique_ptr<Workers> worker_threads(const Place& place, WorkerOptions options) {
  return std::make_unique<Threads>(place, std::move(options));
}

}  // namespace latchkey::test
