// SPDX-License-Identifier: MIT
#include <unistd.h>
#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <exception>
#include <fstream>
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <vector>

import latchkey.bench.postgres.cases;
import latchkey.bench.postgres.rounds;
import latchkey.test.postgres_place;

// What the PostgreSQL store costs at a few and at many sessions, against bare prepared statements
// over the same rows, in one run. See docs/scaling.md.

namespace {

using namespace latchkey::bench;
using Options = std::map<std::string, std::string>;
using Json = nlohmann::ordered_json;

// Of one call, as docs/scaling.md says.
const std::map<std::string, double> kRoundTrips{
    {"load", 1}, {"save", 1}, {"list", 1}, {"lease", 2}, {"take_over", 1}};
constexpr std::size_t kFlat = 32 << 20;  // bytes that a listing of any size may need

std::size_t resident_bytes() {
  std::ifstream statm("/proc/self/statm");
  std::size_t size = 0, resident = 0;
  statm >> size >> resident;
  return resident * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
}

Json json_of(const Figure& figure) {
  return {{"median", figure.median}, {"least", figure.least}, {"most", figure.most}};
}

std::string text_of(const Figure& figure) {
  char text[64];
  std::snprintf(text, sizeof(text), "%.2f (%.2f-%.2f)", figure.median, figure.least, figure.most);
  return text;
}

Json report_operation(const Rounds& rounds, const std::string& operation) {
  const auto few = operation + ".store.few", many = operation + ".store.many";
  const auto bare_few = operation + ".bare.few", bare_many = operation + ".bare.many";
  const auto growth = rounds.ratio(many, few);
  const auto few_to_bare = rounds.ratio(few, bare_few),
             many_to_bare = rounds.ratio(many, bare_many);
  std::printf("%-10s few %8.0f us, many %8.0f us   many/few %-18s store/bare few %-18s many %s\n",
              operation.c_str(), rounds.time(few).median, rounds.time(many).median,
              text_of(growth).c_str(), text_of(few_to_bare).c_str(), text_of(many_to_bare).c_str());
  return {{"few_us", json_of(rounds.time(few))},
          {"many_us", json_of(rounds.time(many))},
          {"bare_few_us", json_of(rounds.time(bare_few))},
          {"bare_many_us", json_of(rounds.time(bare_many))},
          {"growth", json_of(growth)},
          {"vs_bare_few", json_of(few_to_bare)},
          {"vs_bare_many", json_of(many_to_bare)},
          {"bare_growth", json_of(rounds.ratio(bare_many, bare_few))}};
}

bool check_round_trips(Side& side, Json& report) {
  bool holds = true;
  for (const auto& [operation, documented] : kRoundTrips) {
    const double counted = side.round_trips(operation);
    report["round_trips"][operation] = counted;
    std::printf("%-10s %.1f round trips\n", operation.c_str(), counted);
    holds = holds && counted == documented;
  }
  if (!holds) std::puts("FAILED: docs/scaling.md says otherwise of round trips");
  return holds;
}

bool check_listing(Side& side, std::size_t rows, Json& report) {
  const auto before = resident_bytes();
  const auto listed = side.list_all();
  const auto after = resident_bytes();
  const auto grown = after > before ? after - before : 0;
  report["listing"] = {{"rows", listed}, {"rss_before", before}, {"rss_after", after}};
  std::printf("listed %zu sessions; memory %zu KiB before, %zu KiB after\n", listed, before / 1024,
              after / 1024);
  if (listed == rows && grown < kFlat) return true;
  std::puts("FAILED: not all were listed, or memory grew with them");
  return false;
}

Options parse(int count, char** words) {
  Options options{{"--rows", "1000000"},
                  {"--few", "1000"},
                  {"--rounds", "15"},
                  {"--calls", "20"},
                  {"--json", ""}};
  for (int i = 1; i + 1 < count; i += 2) {
    if (!options.contains(words[i])) throw std::invalid_argument(words[i]);
    options[words[i]] = words[i + 1];
  }
  if (count % 2 == 0) throw std::invalid_argument("an option without its value");
  return options;
}

int measure(const Options& options) {
  const auto number = [&](const char* name) { return std::stoull(options.at(name)); };
  const auto rows = std::max(number("--rows"), 2ull), few_rows = std::max(number("--few"), 2ull);
  // As a server is run that keeps what it says it has kept.
  const latchkey::test::PrivateServer server(
      {"fsync=on", "full_page_writes=on", "shared_buffers=512MB", "max_wal_size=4GB"});
  const latchkey::test::PostgresPlace few_place(server.address()), many_place(server.address());
  std::printf("filling %llu and %llu sessions\n", few_rows, rows);
  Side few("few", few_place.address(), few_rows), many("many", many_place.address(), rows);

  auto cases = few.cases();
  cases.insert(cases.end(), many.cases().begin(), many.cases().end());
  const Rounds rounds(cases, number("--rounds"), number("--calls"));
  Json report{{"few", few_rows}, {"many", rows}, {"table_bytes", many.table_size()}};
  for (const auto& operation : operations()) {
    report[operation] = report_operation(rounds, operation);
  }
  const bool cheap = check_round_trips(many, report);
  const bool flat = check_listing(many, rows, report);
  if (const auto& file = options.at("--json"); !file.empty()) {
    std::ofstream(file) << report.dump(2) << '\n';
  }
  return cheap && flat ? 0 : 1;
}

}  // namespace

int main(int count, char** words) {
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  try {
    return measure(parse(count, words));
  } catch (const std::invalid_argument& fault) {
    std::cerr << "postgres_scale: " << fault.what()
              << "; usage: [--rows N] [--few N] [--rounds N] [--calls N] [--json FILE]\n";
    return 2;
  } catch (const std::exception& fault) {
    std::cerr << "postgres_scale: " << fault.what() << '\n';
    return 1;
  }
}
