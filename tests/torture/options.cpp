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
import latchkey.test.torture_run;
import latchkey.test.torture_sabotage;
import latchkey.test.torture_schedule;

namespace latchkey::test {

const char* const kUsage =
    R"(usage: torture [--seconds N] [--seed S] [--store sqlite|file|memory|all] [--processes N]
               [--threads M] [--accounts K] [--schedule]
               [--sabotage lease|handout|reread|room | --control NAME | --sabotages]

  --seconds N     for all stores together (60)
  --seed S        the same schedule of faults, kills and phases again
  --sabotage S    break one promise: the run must report losses, and fails
  --control S     the same, but keep the promise: the run must report no loss
  --sabotages     break each of them in turn: succeeds if every run has failed
  --schedule      print what would happen when, and run nothing
)";

namespace {

using namespace std::chrono_literals;

constexpr std::chrono::seconds kSabotageLength{30};
constexpr std::array<std::string_view, 3> kStores{"file", "sqlite", "memory"};

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
  } else if (option == "--sabotage" || option == "--control") {
    const auto sabotage = sabotage_from(word);
    if (!sabotage) throw std::runtime_error("there is no sabotage " + word);
    (option == "--sabotage" ? line.sabotage : line.control) = *sabotage;
  } else {
    throw std::runtime_error("there is no option " + option);
  }
}

// Nothing but what the broken promise is for: sessions that many want to refresh at once, and for
// the room full disks in which workers are killed.
Rates rates_against(Sabotage sabotage) {
  Rates rates{
      .fault = 0ms, .kill = 0ms, .expiry = 600ms, .calm = 800ms, .full = 0ms, .read_only = 0ms};
  if (sabotage == Sabotage::handout) rates.kill = 500ms;
  if (sabotage == Sabotage::room) {
    rates.expiry = 300ms;
    rates.kill = 500ms;
    rates.calm = 600ms;
    rates.full = 3'000ms;
    rates.most_pages = 4;
  }
  return rates;
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
                   .accounts = line.accounts};
  if (line.control != Sabotage::none) plain.rates = rates_against(line.control);
  // Files without being told otherwise: there nothing but the room keeps a save from failing.
  const std::string target = line.store == "all" ? "file" : line.store;
  std::vector<RunOptions> runs;
  if (line.sabotage != Sabotage::none) {
    runs.push_back(sabotaged_run(plain, line.sabotage, target));
  } else if (line.all_sabotages) {
    for (const Sabotage sabotage : kSabotages)
      runs.push_back(sabotaged_run(plain, sabotage, target));
  } else if (line.store != "all") {
    runs.push_back(plain);
  } else {
    for (const std::string_view store : kStores) {
      runs.push_back(plain);
      runs.back().store = store;
      runs.back().length = std::max(1s, line.length / static_cast<int>(kStores.size()));
    }
  }
  return runs;
}

}  // namespace latchkey::test
