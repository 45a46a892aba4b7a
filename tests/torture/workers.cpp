// SPDX-License-Identifier: MIT
module;
#include <sys/wait.h>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <filesystem>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>
module latchkey.test.torture_workers;
import latchkey.test.child;
import latchkey.test.torture_books;
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

class Processes final : public Workers {
 public:
  Processes(std::string program, WorkerOptions options, unsigned count,
            std::filesystem::path boards, OnCut on_cut)
      : program_(std::move(program)),
        options_(std::move(options)),
        boards_folder_(std::move(boards)),
        on_cut_(std::move(on_cut)),
        dice_(options_.seed),
        crew_(count) {
    for (unsigned i = 0; i < count; ++i)
      crew_[i].board = std::make_unique<Scoreboard>(board_file(i));
  }

  void start() override {
    for (std::size_t i = 0; i < crew_.size(); ++i) spawn(i);
  }

  void kill(std::uint64_t number) override {
    const std::size_t i = number % crew_.size();
    if (!crew_[i].process) return;
    crew_[i].process->kill();
    ++kills_;
    bury(i);
    spawn(i);
  }

  void look() override {
    for (std::size_t i = 0; i < crew_.size(); ++i) {
      if (!crew_[i].process || !has_ended(*crew_[i].process)) continue;
      crashes_.push_back("a worker ended by itself, status " +
                         std::to_string(crew_[i].process->wait()));
      bury(i);
      spawn(i);
    }
  }

  void stop() override {
    for (Member& member : crew_) {
      if (!member.process) continue;
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
  [[nodiscard]] std::vector<std::string> crashes() const override { return crashes_; }

 private:
  struct Member {
    std::optional<ChildProcess> process;
    std::unique_ptr<Scoreboard> board;
  };

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

  void bury(std::size_t i) {
    crew_[i].process.reset();
    if (const auto cut = crew_[i].board->clear(); !cut.empty()) on_cut_(cut);
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
  OnCut on_cut_;
  Dice dice_;
  std::vector<Member> crew_;
  unsigned kills_ = 0;
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
  void look() override {}
  void stop() override { thread_ = {}; }
  Totals totals() override {
    Totals sum;
    add(sum, board_->counters());
    return sum;
  }
  [[nodiscard]] unsigned kills() const override { return 0; }
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
                                          OnCut on_cut) {
  return std::make_unique<Processes>(std::move(program), std::move(options), count,
                                     std::move(boards), std::move(on_cut));
}

std::unique_ptr<Workers> worker_threads(const Place& place, WorkerOptions options) {
  return std::make_unique<Threads>(place, std::move(options));
}

}  // namespace latchkey::test
