// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>
module latchkey.test.torture_options;
import latchkey.test.torture_notes;
import latchkey.test.torture_run;
import latchkey.test.torture_sabotage;
import latchkey.test.torture_schedule;

namespace latchkey::test {

const char* const kUsage =
    R"(usage: torture [--seconds N] [--seed S] [--store sqlite|file|memory|postgres|all]
               [--processes N] [--threads M] [--accounts K] [--lease-time MS] [--schedule]
               [--sabotage lease|handout|reread|room|check|compare | --control NAME | --sabotages]

  --seconds N     for all stores together (60)
  --store S       all: each in turn, postgres if it is installed; it gets a server of its own
  --lease-time MS of leases in postgres (1500)
  --seed S        the same schedule of faults, kills and phases again
  --sabotage S    break one promise: the run must report losses, and fails
  --control S     the same, but keep the promise: the run must report no loss
  --sabotages     break each of them in turn: succeeds if every run has failed
  --schedule      print what would happen when, and run nothing
)";

namespace {

using namespace std::chrono_literals;

constexpr std::chrono::seconds kSabotageLength{60};
constexpr std::array<std::string_view, 4> kStores{"file", "sqlite", "memory", "postgres"};

std::uint64_t number(const std::string& option, const std::string& word, std::uint64_t most) {
  std::uint64_t value = 0;
  std::size_t end = 0;
  try {
    value = std::stoull(word, &end);
  } catch (const std::logic_error&) {
    end = 0;
  }
  if (word.empty() || word[0] < '0' || word[0] > '9' || end != word.size() || value > most)
    throw std::runtime_error(option + " needs a number up to " + std::to_string(most));
  return value;
}

unsigned count(const std::string& option, const std::string& word, unsigned most) {
  const auto value = static_cast<unsigned>(number(option, word, most));
  if (value == 0) throw std::runtime_error(option + " must not be 0");
  return value;
}

void take(CommandLine& line, const std::string& option, const std::string& word) {
  if (option == "--seconds") {
    line.length = std::chrono::seconds{count(option, word, 86'400)};
  } else if (option == "--seed") {
    line.seed = number(option, word, std::numeric_limits<std::uint64_t>::max());
  } else if (option == "--store") {
    line.store = word;
    if (word != "all" && std::find(kStores.begin(), kStores.end(), word) == kStores.end())
      throw std::runtime_error("there is no store " + word);
  } else if (option == "--processes") {
    line.processes = count(option, word, 64);
  } else if (option == "--threads") {
    line.threads = count(option, word, 256);
  } else if (option == "--accounts") {
    line.accounts = count(option, word, 100);
  } else if (option == "--lease-time") {
    line.lease_time = std::chrono::milliseconds{count(option, word, 60'000)};
  } else if (option == "--sabotage" || option == "--control") {
    const auto sabotage = sabotage_from(word);
    if (!sabotage) throw std::runtime_error("there is no sabotage " + word);
    (option == "--sabotage" ? line.sabotage : line.control) = *sabotage;
  } else {
    throw std::runtime_error("there is no option " + option);
  }
}

// A disk that is full or read-only is the database's own matter; its server is what fails here.
Rates usual_rates(std::string_view store) {
  Rates rates;
  if (store != "postgres") return rates;
  rates.full = 0ms;
  rates.read_only = 0ms;
  rates.database = 4'000ms;
  return rates;
}

// Nothing but what the broken promise is for: sessions that many want to refresh at once, and for
// the room full disks in which workers are killed. A check or a comparison is missed by who stands
// still until somebody else has taken over and done the work; and somebody must be awake for that.
Rates rates_against(Sabotage sabotage) {
  Rates rates{.fault = 0ms,
              .kill = 0ms,
              .expiry = 600ms,
              .pause = 0ms,
              .calm = 800ms,
              .full = 0ms,
              .read_only = 0ms};
  switch (sabotage) {
    case Sabotage::handout:
      rates.kill = 500ms;
      break;
    case Sabotage::room:
      rates.expiry = 300ms;
      rates.kill = 500ms;
      rates.calm = 600ms;
      rates.full = 3'000ms;
      rates.most_pages = 4;
      break;
    case Sabotage::check:
    case Sabotage::compare:
      rates.expiry = 300ms;
      rates.pause = 4'000ms;
      rates.only_long_pauses = true;
      rates.pause_at = sabotage == Sabotage::check ? Stage::claimed : Stage::answered;
      break;
    default:
      break;
  }
  return rates;
}

// Files, because there nothing but the room keeps a save from failing; the others are about leases
// that expire.
std::string usual_target(Sabotage sabotage) {
  const bool expiring = sabotage == Sabotage::check || sabotage == Sabotage::compare;
  return expiring ? "postgres" : "file";
}

RunOptions sabotaged_run(const RunOptions& plain, Sabotage sabotage, std::string store) {
  RunOptions run = plain;
  run.store = std::move(store);
  run.length = std::min(run.length, kSabotageLength);
  run.rates = rates_against(sabotage);
  run.sabotage = sabotage;
  run.end_at_first_loss = true;
  return run;
}

// Each where it is to lose something: of a store that is named, those that break it. Those that
// need a takeover by chance do not always find one in a minute: only where their store is named.
std::vector<RunOptions> all_sabotages(const RunOptions& plain, const CommandLine& line) {
  std::vector<RunOptions> runs;
  for (const Sabotage sabotage : kSabotages) {
    const bool breaks_expiring = std::find(kExpiringSabotages.begin(), kExpiringSabotages.end(),
                                           sabotage) != kExpiringSabotages.end();
    const bool needs_expiring = usual_target(sabotage) == "postgres";
    if (line.store == "all") {
      if (!needs_expiring) runs.push_back(sabotaged_run(plain, sabotage, usual_target(sabotage)));
    } else if (line.store == "postgres" ? breaks_expiring : !needs_expiring) {
      runs.push_back(sabotaged_run(plain, sabotage, line.store));
    }
  }
  return runs;
}

}  // namespace

CommandLine parse_command_line(const std::vector<std::string>& words) {
  CommandLine line;
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (words[i] == "--sabotages") {
      line.all_sabotages = true;
    } else if (words[i] == "--schedule") {
      line.show_schedule = true;
    } else if (i + 1 == words.size()) {
      throw std::runtime_error("there is no option " + words[i] + ", or its value is missing");
    } else {
      take(line, words[i], words[i + 1]);
      ++i;
    }
  }
  if (line.all_sabotages + (line.sabotage != Sabotage::none) + (line.control != Sabotage::none) > 1)
    throw std::runtime_error("--sabotage, --control and --sabotages exclude each other");
  return line;
}

std::vector<RunOptions> runs_of(const CommandLine& line, std::uint64_t seed) {
  RunOptions plain{.program = "/proc/self/exe",
                   .store = line.store,
                   .length = line.length,
                   .seed = seed,
                   .processes = line.processes,
                   .threads = line.threads,
                   .accounts = line.accounts,
                   .lease_time = line.lease_time};
  const auto target = [&line](Sabotage sabotage) {
    return line.store == "all" ? usual_target(sabotage) : line.store;
  };
  if (line.sabotage != Sabotage::none)
    return {sabotaged_run(plain, line.sabotage, target(line.sabotage))};
  if (line.all_sabotages) return all_sabotages(plain, line);
  if (line.control != Sabotage::none) {
    plain.store = target(line.control);
    plain.rates = rates_against(line.control);
    return {plain};
  }
  std::vector<RunOptions> runs;
  for (const std::string_view store : kStores) {
    if (line.store == "all" ? store == "postgres" && !line.has_postgres : store != line.store)
      continue;
    runs.push_back(plain);
    runs.back().store = store;
    runs.back().rates = usual_rates(store);
  }
  for (RunOptions& run : runs)
    run.length = std::max(1s, line.length / static_cast<int>(runs.size()));
  return runs;
}

}  // namespace latchkey::test
