// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
module latchkey.cli.trace.page;
import latchkey.cli.trace.diagram;
import latchkey.cli.trace.record;
import latchkey.cli.trace.wording;
import latchkey.core.crypto;
import latchkey.core.encoding;
import latchkey.core.time;
import latchkey.loopback.page_style;

namespace latchkey::cli {
namespace {

constexpr std::size_t kMostEntries = 2000;

constexpr std::string_view kStyle = R"css(* { box-sizing: border-box; }
body { margin: 0; padding: 2rem 1.25rem 3rem; background: var(--back); color: var(--text);
       font: 1rem/1.55 system-ui, "Segoe UI", Roboto, "Noto Sans", sans-serif; }
main { max-width: 75rem; margin: 0 auto; }
h1 { margin: 0; font-size: 1.625rem; line-height: 1.25; letter-spacing: -.01em; }
h2 { margin: 0; font-size: 1.125rem; }
p { margin: .375rem 0 0; }
.soft { color: var(--soft); }
section { margin-top: 1.5rem; padding: 1.5rem; border: 1px solid var(--line); background: var(--card);
          border-radius: 1.25rem; box-shadow: 0 1.25rem 3rem -1.5rem rgba(0, 0, 0, .25); }
dl { display: flex; flex-wrap: wrap; gap: .625rem; margin: 1rem 0 0; }
dl div { padding: .375rem .875rem; border: 1px solid var(--line); border-radius: .75rem;
         background: var(--back); }
dt { font-size: .8125rem; color: var(--soft); }
dd { margin: 0; font-weight: 600; font-variant-numeric: tabular-nums; }
dl .bad { border-color: var(--bad); background: var(--bad-back); }
dl .bad dt, dl .bad dd { color: var(--bad); }
.scroll { margin-top: 1.25rem; overflow-x: auto; }
.scroll:focus-visible, summary:focus-visible { outline: 2px solid var(--good); outline-offset: 3px; }
details { margin-top: 1rem; }
summary { cursor: pointer; font-size: .875rem; font-weight: 600; color: var(--soft); }
ol { margin: .75rem 0 0; padding-left: 2.25rem; font-size: .875rem; }
li { padding: .125rem 0; overflow-wrap: anywhere; }
.good { color: var(--good); }
.bad { color: var(--bad); }
.calm { color: var(--calm); }
@media (max-width: 40rem) {
  body { padding: 1rem .5rem 2rem; }
  h1, h1 + p { padding: 0 .5rem; }
  section { padding: 1rem; border-radius: .875rem; }
}
@media print { section { box-shadow: none; break-inside: avoid-page; } }
)css";

std::string style() {
  return std::string(page_palette()) + std::string(kStyle) + std::string(diagram_style());
}

// Nothing but this very style may be used by the page, whatever a trace has in it.
std::string policy_for(std::string_view style) {
  return "default-src 'none'; style-src 'sha256-" + base64_encode(sha256(style)) + "'";
}

struct Sums {
  std::size_t requests = 0, retries = 0, refusals = 0, failures = 0;
  std::int64_t duration = 0;
};

Sums sums_of(const TraceRun& run) {
  Sums sums;
  for (const TraceEntry& entry : run.entries) {
    const auto end = (entry.at - run.entries.front().at).count() + took(entry);
    sums.duration = std::max<std::int64_t>(sums.duration, end);
    const Ending ending = ending_of(entry);
    const bool step_failed = entry.is_step() && !entry.code.empty() && !entry.overtaken;
    if (ending == Ending::unanswered || step_failed) ++sums.failures;
    if (entry.is_step()) continue;
    ++sums.requests;
    if (is_retry(entry)) ++sums.retries;
    if (ending == Ending::refused) ++sums.refusals;
  }
  return sums;
}

std::string fact(std::string_view name, const std::string& value, bool bad = false) {
  return std::string(bad ? "<div class=\"bad\">" : "<div>") + "<dt>" + std::string(name) +
         "</dt><dd>" + value + "</dd></div>\n";
}

std::string summary(const TraceRun& run) {
  const Sums sums = sums_of(run);
  return "<dl>\n" + fact("duration", time_text(sums.duration)) +
         fact("requests", std::to_string(sums.requests)) +
         fact("retries", std::to_string(sums.retries)) +
         fact("refused", std::to_string(sums.refusals)) +
         fact("failures", std::to_string(sums.failures), sums.failures != 0) + "</dl>\n";
}

std::string heading(const TraceRun& run) {
  constexpr std::string_view kCommand = "command_";
  const TraceEntry& first = run.entries.front();
  const bool command = first.step.starts_with(kCommand);
  const std::string name =
      command ? "latchkey " + shown_text(first.step.substr(kCommand.size())) : "A program";
  return "<h2>" + name + "</h2>\n<p class=\"soft\">" + format_rfc3339(first.at) + ", run " +
         shown_text(run.name, 16) + "</p>\n";
}

std::string item(const TraceEntry& entry) {
  const Ending ending = ending_of(entry);
  const bool calm = ending == Ending::unknown || ending == Ending::overtaken;
  const std::string_view kind = ending == Ending::well ? "good" : calm ? "calm" : "bad";
  std::string out = "<li>" + title_of(entry);
  if (!entry.is_step()) out += " to " + shown_text(entry.origin) + shown_text(entry.path, 200);
  if (const auto retry = retry_of(entry); !retry.empty()) out += ", " + retry;
  if (const auto proof = proof_of(entry); !proof.empty()) out += ", " + proof;
  if (const auto result = result_of(entry); !result.empty())
    out += ": <span class=\"" + std::string(kind) + "\">" + result + "</span>";
  if (took(entry) != 0) out += ", " + time_text(took(entry));
  return out + "</li>\n";
}

std::string section(const TraceRun& run) {
  std::string list;
  for (const TraceEntry& entry : run.entries) list += item(entry);
  return "<section>\n" + heading(run) + summary(run) +
         "<div class=\"scroll\" tabindex=\"0\" role=\"group\" aria-label=\"Diagram\">\n" +
         diagram(run) + "</div>\n<details>\n<summary>As a list</summary>\n<ol>\n" + list +
         "</ol>\n</details>\n</section>\n";
}

// The last runs, and of the first of them what is left of kMostEntries.
std::vector<TraceRun> shown_runs(const TraceText& trace, std::size_t& left_out) {
  std::vector<TraceRun> runs;
  std::size_t room = kMostEntries;
  left_out = 0;
  for (auto run = trace.runs.rbegin(); run != trace.runs.rend(); ++run) {
    const auto kept = static_cast<std::ptrdiff_t>(std::min(room, run->entries.size()));
    left_out += run->entries.size() - static_cast<std::size_t>(kept);
    room -= static_cast<std::size_t>(kept);
    if (kept != 0)
      runs.push_back(
          {.name = run->name, .entries = {run->entries.end() - kept, run->entries.end()}});
  }
  std::reverse(runs.begin(), runs.end());
  return runs;
}

std::string introduction(const TraceText& trace, std::size_t left_out) {
  std::string out = "<h1>What latchkey did</h1>\n<p class=\"soft\">";
  if (trace.runs.empty())
    out += "Nothing was traced.";
  else
    out += "Who asked whom, and how it went. No token, key or code is in a trace.";
  out += "</p>\n";
  if (left_out != 0)
    out += "<p class=\"soft\">Earlier entries that are left out: " + std::to_string(left_out) +
           ".</p>\n";
  if (trace.unreadable != 0)
    out += "<p class=\"soft\">Lines that could not be read: " + std::to_string(trace.unreadable) +
           ".</p>\n";
  return out;
}

}  // namespace

std::string trace_page(const TraceText& trace) {
  std::size_t left_out = 0;
  const auto runs = shown_runs(trace, left_out);
  const std::string css = style();
  std::string out =
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta http-equiv=\"Content-Security-Policy\" content=\"" +
      policy_for(css) +
      "\">\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
      "<title>What latchkey did</title>\n<style>" +
      css + "</style>\n</head>\n<body>\n<main>\n" + introduction(trace, left_out);
  for (const TraceRun& run : runs) out += section(run);
  return out + "</main>\n</body>\n</html>\n";
}

}  // namespace latchkey::cli
