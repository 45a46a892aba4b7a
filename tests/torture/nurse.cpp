// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <cstddef>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>
module latchkey.test.torture_nurse;
import latchkey.atproto.client;
import latchkey.core;
import latchkey.loopback.browser;
import latchkey.session;
import latchkey.store;
import latchkey.test.torture_notes;
import latchkey.test.torture_observer;
import latchkey.test.torture_place;

namespace latchkey::test {
namespace {

constexpr std::chrono::milliseconds kRound{100};
constexpr std::chrono::seconds kLoginTime{10};

bool is_damage(const Error& error) {
  return error.code == ErrorCode::corrupt || error.code == ErrorCode::wrong_key ||
         error.code == ErrorCode::schema_too_new || error.code == ErrorCode::insecure_location;
}

}  // namespace

Nurse::Nurse(Observer& observer, const Scene& scene, std::vector<std::string> handles,
             std::shared_ptr<BrowserOpener> browser, Open open)
    : observer_(observer),
      scene_(scene),
      handles_(std::move(handles)),
      browser_(std::move(browser)),
      open_(std::move(open)),
      returns_(scene.subjects.size()) {}

Nurse::~Nurse() = default;

Result<void> Nurse::log_in(const AtprotoClient& client, std::size_t i) {
  AtprotoClient handle = client;  // the same client: login() is not const
  auto session = handle.login(handles_[i], {.timeout = kLoginTime});
  if (!session) return std::move(session).error();
  const std::scoped_lock lock(mutex_);
  ++losses_.logins;
  return {};
}

Result<void> Nurse::log_all_in() {
  auto place = open_();
  if (!place) return std::move(place).error();
  auto client = open_client(*place, scene_, browser_);
  if (!client) return std::move(client).error();
  for (std::size_t i = 0; i < handles_.size(); ++i) {
    if (!log_in(*client, i)) {
      if (auto again = log_in(*client, i); !again) return again;
    }
  }
  return {};
}

void Nurse::start() {
  thread_ = std::jthread([this](const std::stop_token& stop) {
    std::optional<Place> place;
    std::optional<AtprotoClient> client;
    while (!stop.stop_requested()) {
      if (!place) {
        if (auto opened = open_()) place = *std::move(opened);
      }
      if (place && !client) {
        if (auto opened = open_client(*place, scene_, browser_)) client = *std::move(opened);
      }
      if (client) round(*place, *client);
      std::this_thread::sleep_for(kRound);
    }
  });
}

void Nurse::stop() {
  thread_ = {};
}

void Nurse::look_for_return(std::size_t i, const SessionSummary& stored) {
  const bool is_active = stored.state == SessionState::active;
  if (const auto over = returns_.see(i, stored.dpop_jkt, is_active))
    enter_loss(stored.handle + ": an older session came back over " + *over);
}

// A death is entered when it is seen for the second time: by then the books have what a process was
// doing that was killed a moment ago.
void Nurse::round(const Place& place, const AtprotoClient& client) {
  observer_.look();
  for (std::size_t i = 0; i < scene_.subjects.size(); ++i) {
    const auto stored = place.store->load(scene_.subjects[i]);
    if (!stored) {
      if (!is_damage(stored.error())) continue;
      const std::scoped_lock lock(mutex_);
      losses_.unreadable.push_back(stored.error().message);
      continue;
    }
    if (stored->has_value()) look_for_return(i, **stored);
    const bool dead = stored->has_value() && (*stored)->state != SessionState::active;
    const int seen = dead ? ++sightings_[(*stored)->dpop_jkt] : 0;
    if (seen == 2) {
      enter_death(**stored);
      returns_.enter_death((*stored)->dpop_jkt);
    }
    if ((seen >= patience_ || !stored->has_value()) && may_log_in_)
      static_cast<void>(log_in(client, i).has_value());  // the next round tries again
  }
}

bool Nurse::enter_death(const SessionSummary& dead) {
  const Death death = observer_.judge(dead.dpop_jkt);
  const std::scoped_lock lock(mutex_);
  if (std::exchange(judged_[dead.dpop_jkt], true)) return false;
  ++losses_.by_cause[static_cast<std::size_t>(death.cause)];
  const std::string whose = dead.handle + ": " + death.story;
  if (death.cause == Cause::lost) {
    losses_.lost.push_back(whose + " [" + dead.state_cause + ']');
  } else if (death.cause != Cause::check_gap && dead.state_cause != "refresh.interrupted") {
    // Who sent a spent token after the other had saved found no claim of it.
    losses_.misreported.push_back(whose + ", and its tombstone says " + dead.state_cause);
  }
  return true;
}

void Nurse::enter_loss(std::string story) {
  const std::scoped_lock lock(mutex_);
  ++losses_.by_cause[static_cast<std::size_t>(Cause::lost)];
  losses_.lost.push_back(std::move(story));
}

Losses Nurse::losses() const {
  const std::scoped_lock lock(mutex_);
  return losses_;
}

}  // namespace latchkey::test
