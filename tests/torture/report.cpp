// SPDX-License-Identifier: MIT
module;
#include <cstddef>
#include <iomanip>
#include <map>
#include <ostream>
#include <string>
#include <string_view>
#include <vector>
module latchkey.test.torture_report;
import latchkey.test.torture_inspection;
import latchkey.test.torture_notes;
import latchkey.test.torture_nurse;
import latchkey.test.torture_run;
import latchkey.test.torture_sabotage;

namespace latchkey::test {
namespace {

constexpr std::size_t kShown = 5;
constexpr int kNameWidth = 14;

void line(std::ostream& out, std::string_view name, const std::string& text) {
  out << "  " << std::left << std::setw(kNameWidth) << name << text << '\n';
}

std::string listing(const std::map<std::string, unsigned>& counts) {
  std::string text;
  unsigned sum = 0;
  for (const auto& [name, count] : counts) {
    text += (text.empty() ? "" : ", ") + name + ' ' + std::to_string(count);
    sum += count;
  }
  return std::to_string(sum) + (text.empty() ? "" : " (" + text + ')');
}

std::string window(const Losses& losses) {
  std::map<std::string, unsigned> causes;
  for (std::size_t i = 0; i < kCauses; ++i) {
    const auto cause = static_cast<Cause>(i);
    if (cause != Cause::lost && losses.count(cause) != 0)
      causes[std::string(to_string(cause))] = losses.count(cause);
  }
  return listing(causes);
}

void print_head(std::ostream& out, const RunReport& report) {
  const RunOptions& options = report.options;
  const bool memory = options.store == "memory";
  out << "torture: " << options.store << " store, " << (memory ? 1 : options.processes)
      << (memory ? " process x " : " processes x ") << options.threads << " threads, "
      << static_cast<double>(report.lasted.count() / 100) / 10 << " s, seed " << options.seed
      << ", schedule " << report.schedule;
  if (options.sabotage != Sabotage::none) out << ", sabotage " << to_string(options.sabotage);
  out << '\n';
}

void print_counts(std::ostream& out, const RunReport& report) {
  const auto& totals = report.totals;
  line(out, "calls",
       std::to_string(totals.calls) + ", succeeded " + std::to_string(totals.succeeded));
  line(out, "refreshes",
       std::to_string(report.tokens.refreshes) + " on the wire, adopted " +
           std::to_string(totals.adoptions) + ", saves that failed " +
           std::to_string(totals.unsaved));
  line(out, "kills", std::to_string(report.kills));
  line(out, "pauses", listing(report.pauses));
  if (report.options.store == "postgres") line(out, "outages", listing(report.outages));
  line(out, "faults", listing(report.faults));
  line(
      out, "phases",
      listing(report.phases) +
          (totals.not_opened == 0 ? "" : ", opening refused " + std::to_string(totals.not_opened)));
  for (const std::string& phase : report.not_run) line(out, "did not run", phase);
  line(out, "sessions",
       std::to_string(report.options.accounts) + " accounts, " +
           std::to_string(report.losses.logins) + " logins, usable at the end " +
           std::to_string(report.findings.usable));
  line(out, "in the window", window(report.losses));
  line(out, "LOST", std::to_string(report.losses.count(Cause::lost)));
  line(out, "replays",
       std::to_string(report.replays) + ", outside the window " +
           std::to_string(report.replays_outside.size()));
  line(out, "left behind",
       "claims " + std::to_string(report.findings.claims) + ", temporary files " +
           std::to_string(report.findings.collectable) + ", both collectable");
}

std::vector<std::string> joined(const std::vector<std::string>& a,
                                const std::vector<std::string>& b) {
  std::vector<std::string> all = a;
  all.insert(all.end(), b.begin(), b.end());
  return all;
}

}  // namespace

std::vector<Fact> facts_of(const RunReport& report) {
  const Findings& findings = report.findings;
  std::vector<Fact> facts{
      {"no session is lost outside the window", report.losses.lost},
      {"tombstones tell the truth", report.losses.misreported},
      {"no spent token is sent again outside the window", report.replays_outside},
      {"the server refuses nothing for another reason", report.strange_refusals},
      {"no store is corrupt", joined(report.losses.unreadable, findings.corrupt)},
      {"no lease is stuck", findings.stuck},
      {"no claim is left without a reason", findings.claimed},
      {"nothing is left that nobody removes", findings.litter},
      {"every live session has its key", findings.keys},
      {"no worker crashes or hangs", report.crashes}};
  if (report.tokens.refreshes == 0)
    facts.push_back({"something has happened", {"there was no refresh"}});
  return facts;
}

void print(std::ostream& out, const RunReport& report, const std::vector<Fact>& facts) {
  print_head(out, report);
  print_counts(out, report);
  for (const Fact& fact : facts) {
    if (fact.problems.empty()) continue;
    out << "  BROKEN: " << fact.name << " (" << fact.problems.size() << ")\n";
    for (std::size_t i = 0; i < fact.problems.size() && i < kShown; ++i)
      out << "    " << fact.problems[i] << '\n';
    if (fact.problems.size() > kShown) out << "    and more\n";
  }
}

}  // namespace latchkey::test
