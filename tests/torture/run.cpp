// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <cstddef>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>
module latchkey.test.torture_run;
import latchkey.core;
import latchkey.sandbox;
import latchkey.refresh.run;
import latchkey.test.folder;
import latchkey.test.postgres_place;
import latchkey.test.sandbox_world;
import latchkey.test.torture_books;
import latchkey.test.torture_inspection;
import latchkey.test.torture_notes;
import latchkey.test.torture_nurse;
import latchkey.test.torture_observer;
import latchkey.test.torture_outages;
import latchkey.test.torture_place;
import latchkey.test.torture_sabotage;
import latchkey.test.torture_schedule;
import latchkey.test.torture_tables;
import latchkey.test.torture_takeover;
import latchkey.test.torture_volume;
import latchkey.test.torture_worker;
import latchkey.test.torture_workers;

namespace latchkey::test {
namespace {

using namespace std::chrono_literals;
using Steady = std::chrono::steady_clock;

constexpr auto kTick = 20ms;
// Short, so that sessions are due all the time: the soft limit is a tenth of it.
constexpr std::chrono::seconds kAccessLifetime{3};
constexpr auto kNonceRotation = 2s;

// Where a comparison is missed, whoever comes late must find what it may not overwrite.
constexpr int kLongPatience = 50;

// Only who is stopped can lose the lease of a database; those of the operating system stay.
Books books_for(const RunOptions& options) {
  if (options.store != "postgres") return {};
  return Books(ExpiringLease{.time = options.lease_time, .claim_age = kClaimAge});
}

class Run {
 public:
  Run(const RunOptions& options, std::unique_ptr<sandbox::Sandbox> servers)
      : options_(options),
        servers_(std::move(servers)),
        observer_(*servers_, books_for(options)),
        volume_(options.own_mounts && has_files()) {
    scene_ = {.pds = servers_->pds(), .plc = servers_->plc(), .subjects = {}};
  }

  Result<RunReport> go() {
    report_.options = options_;
    const Schedule schedule = make_schedule(options_.seed, options_.length, options_.rates);
    report_.schedule = hash_of(schedule);
    if (auto ready = prepare(); !ready) return std::move(ready).error();
    const auto begin = Steady::now();
    workers_->start();
    nurse_->start();
    play(schedule, begin);
    finish();
    report_.lasted = std::chrono::duration_cast<std::chrono::milliseconds>(Steady::now() - begin);
    return std::move(report_);
  }

 private:
  void say(std::string_view what) const {
    if (options_.progress) options_.progress(what);
  }
  [[nodiscard]] bool in_memory() const { return options_.store == "memory"; }
  [[nodiscard]] bool in_database() const { return options_.store == "postgres"; }
  [[nodiscard]] bool has_files() const { return !in_memory() && !in_database(); }

  Result<void> prepare() {
    std::vector<std::string> handles;
    for (unsigned i = 0; i < options_.accounts; ++i) {
      auto account = servers_->add_account("user" + std::to_string(i) + ".test", {}, true);
      if (!account) return std::move(account).error();
      scene_.subjects.push_back(account->did);
      handles.push_back(account->handle);
    }
    if (in_database()) server_.emplace();
    site_ = {.store = options_.store,
             .folder = volume_.path(),
             .address = server_ ? server_->address() : "",
             .lease_time = options_.lease_time};
    if (in_memory()) {
      auto place = open_place(site_);
      if (!place) return std::move(place).error();
      memory_ = *std::move(place);
    }
    nurse_ =
        std::make_unique<Nurse>(observer_, scene_, std::move(handles),
                                std::make_shared<FollowingBrowser>(), [this] { return open(); });
    if (options_.sabotage == Sabotage::compare) nurse_->set_patience(kLongPatience);
    if (auto all = nurse_->log_all_in(); !all) return all;
    hire();
    return {};
  }

  void hire() {
    WorkerOptions worker{.site = site_,
                         .board = boards_.path() / "board",
                         .scene = scene_,
                         .threads = options_.threads,
                         .seed = options_.seed,
                         .sabotage = options_.sabotage};
    workers_ = in_memory() ? worker_threads(*memory_, std::move(worker))
                           : worker_processes(options_.program, std::move(worker),
                                              options_.processes, boards_.path(), observer_);
    if (server_) outages_.emplace(*server_, observer_, [this] { return workers_->under_way(); });
  }

  [[nodiscard]] Result<Place> open() const {
    if (memory_) return *memory_;
    return open_place(site_);
  }

  void play(const Schedule& schedule, Steady::time_point begin) {
    auto next = schedule.begin();
    auto said = begin;
    while (Steady::now() - begin < options_.length) {
      for (; next != schedule.end() && Steady::now() - begin >= next->at; ++next) happen(*next);
      workers_->look();
      if (options_.end_at_first_loss && nurse_->losses().count(Cause::lost) > 0) break;
      if (Steady::now() - said >= 5s) {
        said = Steady::now();
        say_progress(begin);
      }
      std::this_thread::sleep_for(kTick);
    }
    end_phases();
  }

  void say_progress(Steady::time_point begin) {
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(Steady::now() - begin);
    const auto counts = servers_->counts();
    const Losses losses = nurse_->losses();
    say(std::to_string(seconds.count()) + " s: " + std::to_string(counts.refreshes) +
        " refreshes, " + std::to_string(workers_->kills()) + " kills, " +
        std::to_string(losses.logins) + " logins, LOST " +
        std::to_string(losses.count(Cause::lost)));
  }

  void happen(const Event& event) {
    switch (event.kind) {
      case Event::Kind::fault:
        // One at a time: a heap of them would leave no refresh alone, and the run would run dry.
        servers_->clear_faults();
        return servers_->inject(event.fault);
      case Event::Kind::kill:
        return workers_->kill(event.number);
      case Event::Kind::expire:
        return servers_->expire_access_tokens();
      case Event::Kind::pause:
        return workers_->pause(event.number, event.aim, event.lasts);
      case Event::Kind::kill_database:
      case Event::Kind::restart_database:
      case Event::Kind::pause_database:
        if (outages_) outages_->begin(event);
        return;
      case Event::Kind::fill_disk:
        return fill(event.number);
      case Event::Kind::free_disk:
        return end_full();
      case Event::Kind::forbid_writes:
        return begin_read_only();
      case Event::Kind::allow_writes:
        return end_read_only();
    }
  }

  void fill(std::size_t pages) {
    if (!volume_.is_small_disk()) return;
    nurse_->allow_logins(false);
    full_ = volume_.fill(pages);
    if (full_) ++report_.phases["disk full"];
  }
  void end_full() {
    if (std::exchange(full_, false)) volume_.free();
    nurse_->allow_logins(true);
  }

  // Nobody may have a file open for writing while the disk changes.
  void begin_read_only() {
    if (volume_.is_small_disk()) remount(true);
  }
  void end_read_only() {
    if (read_only_) remount(false);
  }
  void remount(bool read_only) {
    workers_->stop();
    nurse_->stop();
    if (volume_.set_read_only(read_only)) {
      read_only_ = read_only;
      if (read_only) ++report_.phases["read-only"];
    } else {
      report_.not_run.emplace_back("a read-only phase: the disk was busy");
    }
    workers_->start();
    nurse_->start();
  }
  void end_phases() {
    end_full();
    end_read_only();
  }

  void finish() {
    servers_->clear_faults();
    if (outages_) outages_->finish();
    workers_->stop();
    nurse_->stop();
    // Whoever was killed last may have held one.
    if (in_database()) std::this_thread::sleep_for(options_.lease_time);
    report_.findings = inspect([this] { return open(); }, scene_, *nurse_, observer_);
    if (has_files()) inspect_files(volume_.path(), options_.store, scene_, report_.findings);
    if (in_database()) inspect_tables(site_, report_.findings);
    fill_report();
    name_missing_phases();
  }

  void fill_report() {
    const Books books = observer_.books();
    report_.replays = books.replays();
    report_.replays_outside = books.replays_outside();
    report_.strange_refusals = books.strange_refusals();
    report_.faults = observer_.faults();
    report_.tokens = servers_->counts();
    report_.totals = workers_->totals();
    report_.kills = workers_->kills();
    report_.pauses = workers_->pauses();
    report_.crashes = workers_->crashes();
    report_.losses = nurse_->losses();
    if (!outages_) return;
    report_.outages = outages_->counts();
    const auto& problems = outages_->problems();
    report_.crashes.insert(report_.crashes.end(), problems.begin(), problems.end());
  }

  void name_missing_phases() {
    if (in_memory()) {
      report_.not_run.emplace_back(
          "kills, pauses and phases of the disk: a memory store lives and dies with its process");
    } else if (in_database()) {
      report_.not_run.emplace_back("phases of the disk: it is the database's own");
    } else if (!volume_.is_small_disk()) {
      report_.not_run.emplace_back(
          "full and read-only disk: this machine lets nobody mount one (root, or user namespaces)");
    }
  }

  const RunOptions& options_;
  std::unique_ptr<sandbox::Sandbox> servers_;
  Observer observer_;
  Volume volume_;
  TemporaryFolder boards_;
  Scene scene_;
  std::optional<PrivateServer> server_;
  Site site_;
  std::optional<Place> memory_;
  std::unique_ptr<Nurse> nurse_;
  std::unique_ptr<Workers> workers_;
  std::optional<Outages> outages_;
  RunReport report_;
  bool full_ = false;
  bool read_only_ = false;
};

}  // namespace

Result<RunReport> run_torture(const RunOptions& options) {
  auto servers = sandbox::Sandbox::start({.lifetimes = {.access = kAccessLifetime},
                                          .nonce_rotation = kNonceRotation,
                                          .record_contents = true});
  if (!servers) return std::move(servers).error();
  return Run(options, *std::move(servers)).go();
}

}  // namespace latchkey::test
