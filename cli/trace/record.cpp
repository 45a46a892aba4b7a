// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
module latchkey.cli.trace.record;
import latchkey.core.error;
import latchkey.core.json;
import latchkey.core.time;
import latchkey.http.trace;

namespace latchkey::cli {
namespace {

// A line's members; what is absent or of another type is empty.
class Members {
 public:
  explicit Members(const JsonObject& object) : object_(object) {}
  [[nodiscard]] std::string text(std::string_view name) const {
    return object_.string(name).value_or(std::nullopt).value_or(std::string());
  }
  [[nodiscard]] std::int64_t number(std::string_view name) const {
    return object_.integer(name).value_or(std::nullopt).value_or(0);
  }
  [[nodiscard]] bool flag(std::string_view name) const {
    return object_.boolean(name).value_or(std::nullopt).value_or(false);
  }

 private:
  const JsonObject& object_;
};

// A year: more than any exchange takes, and little enough to be added up.
constexpr std::int64_t kLongestMs = std::int64_t{365} * 24 * 60 * 60 * 1000;

std::int64_t duration_of(const Members& line) {
  return std::clamp<std::int64_t>(line.number("ms"), 0, kLongestMs);
}

TraceRun& run_of(TraceText& text, const std::string& name) {
  const auto found = std::find_if(text.runs.begin(), text.runs.end(),
                                  [&](const TraceRun& run) { return run.name == name; });
  if (found != text.runs.end()) return *found;
  return text.runs.emplace_back(TraceRun{.name = name, .entries = {}});
}

TraceEntry* request_of(TraceRun& run, std::int64_t id) {
  const auto found =
      std::find_if(run.entries.rbegin(), run.entries.rend(),
                   [&](const TraceEntry& entry) { return entry.id == id && !entry.is_step(); });
  return found == run.entries.rend() ? nullptr : &*found;
}

TraceEntry begun(const Members& line, TimePoint at) {
  return {.id = line.number("id"),
          .at = at,
          .from = line.text("from"),
          .to = line.text("to"),
          .step = line.text("step"),
          .code = line.text("code"),
          .detail = line.text("detail"),
          .origin = line.text("origin"),
          .method = line.text("method"),
          .path = line.text("path"),
          .purpose = line.text("purpose"),
          .grant = line.text("grant"),
          .key = line.text("key"),
          .has_nonce = line.flag("nonce"),
          .attempt = std::max<std::int64_t>(1, line.number("attempt")),
          .retry = line.text("retry")};
}

ReadAnswer answer_of(const Members& line) {
  return {.status = line.number("status"),
          .error = line.text("error"),
          .new_nonce = line.flag("new_nonce"),
          .ms = duration_of(line)};
}

ReadFailure failure_of(const Members& line) {
  return {.code = line.text("code"),
          .detail = line.text("detail"),
          .maybe_sent = line.text("delivery") == "maybe_sent",
          .ms = duration_of(line)};
}

// A handle is asked for in two ways at once: the first answer stops the other look-up.
bool looks_up_handle(const TraceEntry& entry) {
  return entry.purpose == "handle" || entry.step == "dns" || entry.step == "dns_failed";
}

bool is_cancelled(const TraceEntry& entry) {
  return looks_up_handle(entry) &&
         (entry.failure ? entry.failure->code : entry.code) == "cancelled";
}

bool is_found(const TraceEntry& entry) {
  return looks_up_handle(entry) &&
         (entry.is_step() ? entry.code.empty() : entry.answer && entry.answer->status == 200);
}

TimePoint end_of(const TraceEntry& entry) {
  if (entry.answer) return entry.at + Duration(entry.answer->ms);
  return entry.failure ? entry.at + Duration(entry.failure->ms) : entry.at;
}

// Stopping takes a moment; a look-up that ends later was stopped for another reason. Which of two
// that end at once is written first is chance.
constexpr Duration kMoment{1'000};
// The two begin together: between them are at most those of a few other threads.
constexpr std::ptrdiff_t kNear = 16;

void mark_overtaken(TraceRun& run) {
  for (auto entry = run.entries.begin(); entry != run.entries.end(); ++entry) {
    if (!is_cancelled(*entry)) continue;
    const auto first = entry - std::min(kNear, entry - run.entries.begin());
    const auto last = entry + std::min(kNear, run.entries.end() - entry);
    entry->overtaken = std::any_of(first, last, [&](const TraceEntry& other) {
      return is_found(other) && std::chrono::abs(end_of(*entry) - end_of(other)) <= kMoment;
    });
  }
}

// False if the line is no event.
bool take(const Members& line, TraceText& text) {
  const auto at = parse_rfc3339(line.text("at"));
  const std::string kind = line.text("kind"), name = line.text("run");
  if (line.number("v") != kTraceVersion || !at || name.empty()) return false;
  if (kind == "request" || kind == "step") {
    TraceEntry entry = begun(line, *at);
    if (entry.is_step() != (kind == "step")) return false;
    run_of(text, name).entries.push_back(std::move(entry));
    return true;
  }
  TraceEntry* request = request_of(run_of(text, name), line.number("request"));
  if (request == nullptr) return false;
  if (kind == "answer") request->answer = answer_of(line);
  if (kind == "failure") request->failure = failure_of(line);
  return kind == "answer" || kind == "failure";
}

}  // namespace

TraceText parse_trace(std::string_view text) {
  TraceText out;
  while (!text.empty()) {
    const auto line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    if (line.empty()) continue;
    const auto object = JsonObject::parse(line, ErrorCode::corrupt, "trace");
    if (!object || !take(Members(*object), out)) ++out.unreadable;
  }
  // An answer alone makes no run.
  std::erase_if(out.runs, [](const TraceRun& run) { return run.entries.empty(); });
  for (TraceRun& run : out.runs) mark_overtaken(run);
  return out;
}

}  // namespace latchkey::cli
