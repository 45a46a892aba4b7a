// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
module latchkey.test.torture_schedule;
import latchkey.core.crypto;
import latchkey.core.encoding;
import latchkey.sandbox;
import latchkey.test.torture_notes;

namespace latchkey::test {
namespace {

using sandbox::Fault;
using sandbox::FaultKind;
using sandbox::Server;
using std::chrono::milliseconds;
using std::chrono::seconds;

// So that a new kind of event does not change when the others happen.
enum class Stream : std::uint64_t { faults = 1, kills, expiries, phases, pauses, database };

Dice dice_for(std::uint64_t seed, Stream stream) {
  Dice mixed(seed);
  return Dice(mixed.roll() ^ (static_cast<std::uint64_t>(stream) * 0x9E3779B97F4A7C15u));
}

template <std::size_t N>
FaultKind pick(Dice& dice, const std::array<FaultKind, N>& kinds) {
  return kinds[dice.below(N)];
}

constexpr std::array kLosing{FaultKind::drop_after,   FaultKind::truncate,  FaultKind::status_after,
                             FaultKind::content_type, FaultKind::huge_body, FaultKind::garbage};
constexpr std::array kHarmless{FaultKind::drop_before, FaultKind::status, FaultKind::nonce_storm,
                               FaultKind::delay,       FaultKind::delay,  FaultKind::redirect};
// A redirect would have the client ask elsewhere than where the script looks.
constexpr std::array kElsewhere{FaultKind::drop_before,  FaultKind::drop_after, FaultKind::truncate,
                                FaultKind::status,       FaultKind::delay,      FaultKind::garbage,
                                FaultKind::content_type, FaultKind::huge_body};

void draw_details(Fault& fault, Dice& dice) {
  // Some go well in any case: a session needs them between two faults.
  fault.skip = 1 + static_cast<unsigned>(dice.below(6));
  switch (fault.kind) {
    case FaultKind::delay:
      fault.delay = dice.between(milliseconds{50}, milliseconds{900});
      break;
    case FaultKind::status:
      fault.status = dice.below(2) == 0 ? 429 : 503;
      if (fault.status == 429) fault.retry_after = seconds{1};
      break;
    case FaultKind::content_type:
      fault.text = "text/html";
      break;
    case FaultKind::garbage:
      fault.text = "{";
      break;
    case FaultKind::huge_body:
      fault.size = 2 * 1024 * 1024;
      break;
    case FaultKind::redirect:
      fault.text = "http://localhost/elsewhere";
      break;
    case FaultKind::nonce_storm:
      fault.times = 1 + static_cast<unsigned>(dice.below(4));
      break;
    default:
      break;
  }
}

// Half of the faults hit refreshes, and a quarter of those cost a session its only good token.
Fault draw_fault(Dice& dice) {
  Fault fault;
  const auto target = dice.below(10);
  if (target < 5) {
    fault =
        sandbox::refresh_fault(dice.below(4) == 0 ? pick(dice, kLosing) : pick(dice, kHarmless));
  } else if (target < 9) {
    fault = Fault{.kind = dice.below(4) == 0 ? FaultKind::nonce_storm : pick(dice, kElsewhere),
                  .server = Server::pds};
  } else {
    fault = Fault{.kind = pick(dice, kElsewhere), .server = Server::plc};
  }
  draw_details(fault, dice);
  return fault;
}

// Most pauses cost a lease of a second or two, and are over before anybody has done anything about
// the claim. The others are longer than the lease, the claim's five seconds after whoever takes it
// over has it, and a refresh.
Event draw_pause(Dice& dice, const Rates& rates) {
  constexpr std::array kAims{Stage::idle, Stage::claimed, Stage::posting, Stage::answered};
  Event event{.kind = Event::Kind::pause, .number = dice.below(1'000'000)};
  event.aim = kAims[dice.below(kAims.size())];
  if (rates.pause_at != Stage::idle) event.aim = rates.pause_at;
  const bool is_long = dice.below(3) == 0 || rates.only_long_pauses;
  event.lasts = is_long ? dice.between(milliseconds{9'000}, milliseconds{11'000})
                        : dice.between(milliseconds{300}, milliseconds{4'000});
  return event;
}

template <class Draw>
void draw_stream(Schedule& schedule, milliseconds length, milliseconds every, Dice dice,
                 const Draw& draw) {
  if (every == milliseconds::zero()) return;
  for (auto at = dice.between(every / 2, every);;) {
    Event event = draw(dice);
    if (at >= length) return;
    event.at = at;
    schedule.push_back(std::move(event));
    at += dice.between(every / 2, every + every / 2);
  }
}

// One after the other, with some rest: programs need it to find their way back.
void draw_database(Schedule& schedule, milliseconds length, milliseconds every, Dice dice) {
  using enum Event::Kind;
  if (every == milliseconds::zero()) return;
  constexpr std::array kKinds{kill_database, pause_database, restart_database};
  auto at = dice.between(every / 2, every);
  for (std::size_t i = dice.below(kKinds.size());; ++i) {
    Event event{.at = at, .kind = kKinds[i % kKinds.size()]};
    if (event.kind == kill_database) {
      event.lasts = dice.between(milliseconds{200}, milliseconds{3'000});
    } else if (event.kind == pause_database) {
      event.lasts = dice.between(milliseconds{500}, milliseconds{4'000});
    }
    if (at + event.lasts >= length) return;
    at += event.lasts + dice.between(every / 2, every + every / 2);
    schedule.push_back(std::move(event));
  }
}

void draw_phases(Schedule& schedule, milliseconds length, const Rates& rates, Dice dice) {
  bool full = true;
  for (auto at = dice.between(rates.calm / 4, rates.calm / 2);; full = !full) {
    const auto usual = full ? rates.full : rates.read_only;
    const auto lasts = dice.between(usual / 2, usual + usual / 2);
    const auto pages = dice.below(rates.most_pages + 1);
    if (at + lasts >= length || rates.full + rates.read_only == milliseconds::zero()) return;
    if (usual > milliseconds::zero()) {
      schedule.push_back({.at = at,
                          .kind = full ? Event::Kind::fill_disk : Event::Kind::forbid_writes,
                          .number = full ? pages : 0});
      schedule.push_back(
          {.at = at + lasts, .kind = full ? Event::Kind::free_disk : Event::Kind::allow_writes});
    }
    at += lasts + dice.between(rates.calm / 2, rates.calm + rates.calm / 2);
  }
}

}  // namespace

std::string_view name_of(Event::Kind kind) noexcept {
  switch (kind) {
    case Event::Kind::fault:
      return "fault";
    case Event::Kind::kill:
      return "kill";
    case Event::Kind::expire:
      return "expire";
    case Event::Kind::pause:
      return "pause";
    case Event::Kind::kill_database:
      return "kill_database";
    case Event::Kind::restart_database:
      return "restart_database";
    case Event::Kind::pause_database:
      return "pause_database";
    case Event::Kind::fill_disk:
      return "fill_disk";
    case Event::Kind::free_disk:
      return "free_disk";
    case Event::Kind::forbid_writes:
      return "forbid_writes";
    case Event::Kind::allow_writes:
      break;
  }
  return "allow_writes";
}

std::uint64_t Dice::roll() noexcept {
  state_ += 0x9E3779B97F4A7C15u;
  std::uint64_t mixed = state_;
  mixed = (mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9u;
  mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EBu;
  return mixed ^ (mixed >> 31);
}

milliseconds Dice::between(milliseconds least, milliseconds most) noexcept {
  const auto range = static_cast<std::uint64_t>((most - least).count() + 1);
  return least + milliseconds{static_cast<milliseconds::rep>(below(range))};
}

std::string to_string(const Event& event) {
  std::string line = std::to_string(event.at.count()) + " ms " + std::string(name_of(event.kind));
  if (event.kind == Event::Kind::kill || event.kind == Event::Kind::fill_disk ||
      event.kind == Event::Kind::pause)
    line += ' ' + std::to_string(event.number);
  if (event.aim != Stage::idle) line += " when " + std::string(to_string(event.aim));
  if (event.lasts > milliseconds::zero())
    line += " for " + std::to_string(event.lasts.count()) + " ms";
  if (event.kind != Event::Kind::fault) return line;
  const Fault& fault = event.fault;
  line += ' ' + std::string(sandbox::to_string(fault.kind)) + " at " +
          std::string(fault.server ? sandbox::to_string(*fault.server) : "all");
  if (!fault.grant_type.empty()) line += ' ' + fault.grant_type;
  line += " skip " + std::to_string(fault.skip) + " times " + std::to_string(fault.times);
  if (fault.kind == FaultKind::delay)
    line += " delay " + std::to_string(fault.delay.count()) + " ms";
  if (fault.kind == FaultKind::status) line += " status " + std::to_string(fault.status);
  return line;
}

Schedule make_schedule(std::uint64_t seed, milliseconds length, const Rates& rates) {
  Schedule schedule;
  draw_stream(schedule, length, rates.fault, dice_for(seed, Stream::faults), [](Dice& dice) {
    return Event{.kind = Event::Kind::fault, .fault = draw_fault(dice)};
  });
  draw_stream(schedule, length, rates.kill, dice_for(seed, Stream::kills), [](Dice& dice) {
    return Event{.kind = Event::Kind::kill, .number = dice.below(1'000'000)};
  });
  draw_stream(schedule, length, rates.expiry, dice_for(seed, Stream::expiries),
              [](Dice&) { return Event{.kind = Event::Kind::expire}; });
  draw_stream(schedule, length, rates.pause, dice_for(seed, Stream::pauses),
              [&rates](Dice& dice) { return draw_pause(dice, rates); });
  draw_database(schedule, length, rates.database, dice_for(seed, Stream::database));
  draw_phases(schedule, length, rates, dice_for(seed, Stream::phases));
  // Within a stream no two events have one moment.
  std::sort(schedule.begin(), schedule.end(), [](const Event& a, const Event& b) {
    return std::pair(a.at, a.kind) < std::pair(b.at, b.kind);
  });
  return schedule;
}

std::string hash_of(const Schedule& schedule) {
  std::string text;
  for (const Event& event : schedule) text += to_string(event) + '\n';
  const auto digest = sha256(text);
  return hex_encode(std::span(digest).first(8));
}

bool loses_answer(FaultKind kind) noexcept {
  return std::find(kLosing.begin(), kLosing.end(), kind) != kLosing.end();
}

}  // namespace latchkey::test
