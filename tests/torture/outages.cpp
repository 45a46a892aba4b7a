// SPDX-License-Identifier: MIT
module;
#include <signal.h>
#include <sys/types.h>
#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>
module latchkey.test.torture_outages;
import latchkey.core.time;
import latchkey.test.postgres_place;
import latchkey.test.torture_notes;
import latchkey.test.torture_observer;
import latchkey.test.torture_schedule;

namespace latchkey::test {
namespace {

using namespace std::chrono_literals;

constexpr auto kGone = 5ms;

struct ProcessState {
  std::string state;  // "Z": ended, and nobody has asked how; empty: there is none
  pid_t parent = 0;
};

ProcessState state_of(pid_t process) {
  // "123 (postgres) S 1 ...": the name of a server's process has no space.
  std::ifstream file("/proc/" + std::to_string(process) + "/stat");
  std::string number, name;
  ProcessState result;
  file >> number >> name >> result.state >> result.parent;
  return result;
}

std::vector<pid_t> children_of(pid_t parent) {
  std::vector<pid_t> children;
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    const std::string name = entry.path().filename();
    if (name.find_first_not_of("0123456789") != std::string::npos) continue;
    const auto process = static_cast<pid_t>(std::stol(name));
    if (state_of(process).parent == parent) children.push_back(process);
  }
  return children;
}

bool is_alive(pid_t process) {
  const auto state = state_of(process).state;
  return !state.empty() && state != "Z";
}

// In the server's folder, or where a file in that says: see server.sh.
std::filesystem::path data_of(const PrivateServer& server) {
  std::string home;
  std::getline(std::ifstream(server.folder() / "home"), home);
  return (home.empty() ? server.folder() : std::filesystem::path(home)) / "data";
}

// SIGKILL for all its processes, the first one first: it would start others. Nothing is written any
// more, and every connection breaks in the midst of what it does.
void kill_hard(const PrivateServer& server) {
  std::ifstream file(data_of(server) / "postmaster.pid");
  pid_t first = 0;
  if (!(file >> first)) throw std::runtime_error("the database's process is not known");
  const auto children = children_of(first);
  ::kill(first, SIGKILL);
  for (const pid_t child : children) ::kill(child, SIGKILL);
  while (is_alive(first) || std::any_of(children.begin(), children.end(), is_alive))
    std::this_thread::sleep_for(kGone);
}

// Of what was noted before and after the blow, both: what began in between may be hit, too.
std::vector<RefreshNote> joined(std::vector<RefreshNote> before,
                                const std::vector<RefreshNote>& after) {
  before.insert(before.end(), after.begin(), after.end());
  return before;
}

}  // namespace

Outages::Outages(PrivateServer& server, Observer& observer, UnderWay under_way)
    : server_(server), observer_(observer), under_way_(std::move(under_way)) {}

Outages::~Outages() {
  finish();
}

void Outages::finish() {
  thread_ = {};
}

void Outages::begin(const Event& event) {
  if (going_on_.exchange(true)) return;
  ++counts_[std::string(name_of(event.kind))];
  thread_ = std::jthread([this, event] {
    try {
      pass(event);
    } catch (const std::exception& problem) {
      problems_.emplace_back(problem.what());
    }
    going_on_ = false;
  });
}

void Outages::pass(const Event& event) {
  Stop stop{.from = SystemClock().now(), .under_way = under_way_()};
  if (event.kind == Event::Kind::kill_database) {
    kill_hard(server_);
  } else if (event.kind == Event::Kind::pause_database) {
    server_.pause();
  } else {
    server_.stop();
  }
  stop.under_way = joined(std::move(stop.under_way), under_way_());
  observer_.enter_stop(stop);
  std::this_thread::sleep_for(event.lasts);
  if (event.kind == Event::Kind::pause_database) {
    server_.resume();
  } else {
    server_.start();
  }
  stop.until = SystemClock().now();
  observer_.enter_stop(std::move(stop));
}

bool has_postgres() {
  std::error_code ignored;
  const std::filesystem::directory_iterator versions("/usr/lib/postgresql", ignored);
  return std::any_of(begin(versions), end(versions), [&](const auto& version) {
    return std::filesystem::exists(version.path() / "bin" / "initdb", ignored);
  });
}

}  // namespace latchkey::test
