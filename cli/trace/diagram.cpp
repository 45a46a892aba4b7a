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
module latchkey.cli.trace.diagram;
import latchkey.cli.trace.record;
import latchkey.cli.trace.wording;
import latchkey.core.time;

namespace latchkey::cli {
namespace {

// Pixels. Labels begin beside the client's lane, so that a narrow window shows them first.
constexpr int kFirstLane = 104;
constexpr int kLaneWidth = 264;
constexpr int kBoxWidth = 216;
constexpr int kClientBoxWidth = 76;
constexpr int kBoxHeight = 46;
constexpr int kTop = 8;
constexpr int kExchangeHeight = 70;
constexpr int kStepHeight = 40;
constexpr int kMargin = 16;
constexpr int kSmallestWidth = 640;  // labels may be longer than two lanes are apart
constexpr std::size_t kLongestOrigin = 32;

std::string number(int value) {
  return std::to_string(value);
}

std::string element(std::string_view name, std::string_view attributes,
                    std::string_view content = {}) {
  std::string out = "<" + std::string(name) + " " + std::string(attributes);
  if (content.empty()) return out + "/>\n";
  return out + ">" + std::string(content) + "</" + std::string(name) + ">\n";
}

std::string text(int x, int y, std::string_view kind, std::string_view html) {
  return element(
      "text", "class=\"" + std::string(kind) + "\" x=\"" + number(x) + "\" y=\"" + number(y) + "\"",
      html);
}

std::string line(int x1, int y1, int x2, int y2, std::string_view kind) {
  return element("line", "class=\"" + std::string(kind) + "\" x1=\"" + number(x1) + "\" y1=\"" +
                             number(y1) + "\" x2=\"" + number(x2) + "\" y2=\"" + number(y2) + "\"");
}

// The point of an arrow that goes to the right or to the left.
std::string head(int x, int y, int direction, std::string_view kind) {
  const int back = x - 9 * direction;
  return element("path", "class=\"head " + std::string(kind) + "\" d=\"M" + number(x) + " " +
                             number(y) + "L" + number(back) + " " + number(y - 5) + "V" +
                             number(y + 5) + "Z\"");
}

std::string diamond(int x, int y) {
  return element(
      "path", "class=\"mark bad\" d=\"M" + number(x) + " " + number(y - 6) + "l6 6l-6 6l-6 -6Z\"");
}

std::string cross(int x, int y) {
  return element("path", "class=\"cross\" d=\"M" + number(x - 6) + " " + number(y - 6) +
                             "l12 12m0 -12l-12 12\"");
}

std::string ring(int x, int y) {
  return element("circle",
                 "class=\"ring\" cx=\"" + number(x) + "\" cy=\"" + number(y) + "\" r=\"7\"");
}

std::string_view kind_of(Ending ending) {
  switch (ending) {
    case Ending::well:
      return "good";
    case Ending::refused:
    case Ending::unanswered:
      return "bad";
    case Ending::unknown:
    case Ending::overtaken:
      break;
  }
  return "calm";
}

// One lane, and the roles that are played there.
struct Lane {
  std::string key;  // the origin, or the role of who has none
  std::vector<std::string> roles{};
};

class Lanes {
 public:
  explicit Lanes(const TraceRun& run) {
    find("client", "client");
    for (const TraceEntry& entry : run.entries) {
      if (entry.from == "browser" || entry.to == "browser") find("browser", "browser");
    }
    for (const TraceEntry& entry : run.entries) {
      if (!entry.is_step()) find(entry.origin, entry.to);
    }
  }
  [[nodiscard]] int x_of(std::string_view key) const {
    const auto found = std::find_if(lanes_.begin(), lanes_.end(),
                                    [&](const Lane& lane) { return lane.key == key; });
    return kFirstLane + kLaneWidth * static_cast<int>(found - lanes_.begin());
  }
  [[nodiscard]] const std::vector<Lane>& all() const noexcept { return lanes_; }
  [[nodiscard]] int width() const {
    const int last = kFirstLane + kLaneWidth * (static_cast<int>(lanes_.size()) - 1);
    return std::max(kSmallestWidth, last + kBoxWidth / 2 + kMargin);
  }

 private:
  void find(const std::string& key, const std::string& role) {
    auto found = std::find_if(lanes_.begin(), lanes_.end(),
                              [&](const Lane& lane) { return lane.key == key; });
    if (found == lanes_.end()) found = lanes_.insert(found, Lane{.key = key});
    auto& roles = found->roles;
    if (std::find(roles.begin(), roles.end(), role) == roles.end()) roles.push_back(role);
  }
  std::vector<Lane> lanes_;
};

std::string roles_of(const Lane& lane) {
  std::string out;
  for (const std::string& role : lane.roles) out += (out.empty() ? "" : ", ") + role;
  std::replace(out.begin(), out.end(), '_', ' ');
  return out;
}

std::string without_scheme(const std::string& origin) {
  const auto begin = origin.find("://");
  return begin == std::string::npos ? origin : origin.substr(begin + 3);
}

std::string boxes(const Lanes& lanes, int y) {
  std::string out;
  for (const Lane& lane : lanes.all()) {
    const int x = lanes.x_of(lane.key);
    const bool has_origin = lane.roles.front() != lane.key;
    const int width = has_origin ? kBoxWidth : kClientBoxWidth;
    out += element("rect", "class=\"box\" x=\"" + number(x - width / 2) + "\" y=\"" + number(y) +
                               "\" width=\"" + number(width) + "\" height=\"" + number(kBoxHeight) +
                               "\" rx=\"10\"");
    out += text(x, y + (has_origin ? 19 : 28), "role", shown_text(roles_of(lane), kLongestOrigin));
    if (has_origin)
      out += text(x, y + 36, "origin", shown_text(without_scheme(lane.key), kLongestOrigin));
  }
  return out;
}

std::string note(const TraceEntry& entry) {
  std::string out = title_of(entry);
  if (const auto retry = retry_of(entry); !retry.empty()) out += " · " + retry;
  if (const auto proof = proof_of(entry); !proof.empty()) out += " · " + proof;
  return element("title", "class=\"note\"", out + " · " + result_of(entry));
}

std::string answer_line(const TraceEntry& entry, int client, int server, int y) {
  const Ending ending = ending_of(entry);
  const std::string kind(kind_of(ending));
  std::string label = result_of(entry);
  if (ending != Ending::unknown) label += " · " + time_text(took(entry));
  std::string out;
  if (ending != Ending::well && ending != Ending::refused) {
    if (ending == Ending::unanswered) out += cross(server, y - 28);
    return out + text(client + 16, y - 6, "result " + kind, label);
  }
  out += line(server, y, client, y, "back " + kind) + head(client, y, -1, kind);
  if (ending == Ending::refused) out += diamond(server, y);
  return out + text(client + 16, y - 6, "result " + kind, label);
}

std::string exchange(const TraceEntry& entry, const Lanes& lanes, int y) {
  const int client = lanes.x_of("client"), server = lanes.x_of(entry.origin);
  const int there = y + 28, back = y + 56;
  std::string label = title_of(entry);
  if (is_retry(entry)) label = retry_of(entry) + " · " + label;
  std::string out = note(entry);
  out += line(client, there, server, there, "there") + head(server, there, 1, "plain");
  if (is_retry(entry)) out += ring(client, there);
  out += text(client + 16, there - 6, "request", label);
  return out + answer_line(entry, client, server, back);
}

std::string step(const TraceEntry& entry, const Lanes& lanes, int y) {
  const std::string kind(kind_of(ending_of(entry)));
  std::string label = title_of(entry);
  if (const auto result = result_of(entry); !result.empty()) label += ": " + result;
  const int client = lanes.x_of("client");
  std::string out = note(entry);
  if (entry.from == entry.to || (entry.from != "browser" && entry.to != "browser")) {
    out += element("circle", "class=\"dot " + kind + "\" cx=\"" + number(client) + "\" cy=\"" +
                                 number(y + 24) + "\" r=\"5\"");
    return out + text(client + 16, y + 28, "step " + kind, label);
  }
  const int browser = lanes.x_of("browser");
  const bool outward = entry.to == "browser";
  out += line(client, y + 30, browser, y + 30, "there");
  out += head(outward ? browser : client, y + 30, outward ? 1 : -1, "plain");
  if (kind == "bad") out += diamond(browser, y + 30);
  return out + text(client + 16, y + 24, "step " + kind, label);
}

int height_of(const TraceEntry& entry) {
  return entry.is_step() ? kStepHeight : kExchangeHeight;
}

std::string group(const std::string& content) {
  return "<g>\n" + content + "</g>\n";
}

}  // namespace

std::string diagram(const TraceRun& run) {
  const Lanes lanes(run);
  const int begin = kTop + kBoxHeight;
  std::string rows;
  int y = begin;
  for (const TraceEntry& entry : run.entries) {
    const auto offset = (entry.at - run.entries.front().at).count();
    const std::string when =
        text(kFirstLane - kClientBoxWidth / 2 - 6, y + 28, "when", "+" + time_text(offset));
    rows += group(when + (entry.is_step() ? step(entry, lanes, y) : exchange(entry, lanes, y)));
    y += height_of(entry);
  }
  const int end = y + kMargin;
  std::string lifelines;
  for (const Lane& lane : lanes.all())
    lifelines += line(lanes.x_of(lane.key), begin, lanes.x_of(lane.key), end, "life");
  const std::string width = number(lanes.width()), height = number(end + kBoxHeight + kTop);
  return element("svg",
                 "class=\"diagram\" role=\"img\" aria-label=\"Sequence diagram; the list below "
                 "tells the same\" width=\"" +
                     width + "\" height=\"" + height + "\" viewBox=\"0 0 " + width + " " + height +
                     "\"",
                 "\n" + lifelines + rows + boxes(lanes, kTop) + boxes(lanes, end));
}

std::string_view diagram_style() noexcept {
  return R"css(.diagram { display: block; font-size: 13px; }
.diagram text { fill: currentColor; color: var(--text); paint-order: stroke; stroke: var(--card);
                stroke-width: 4px; stroke-linejoin: round; }
.diagram .role, .diagram .origin { text-anchor: middle; stroke: none; }
.diagram .role { font-weight: 600; }
.diagram .origin, .diagram .when { font-size: 12px; color: var(--soft); }
.diagram .when { text-anchor: end; font-variant-numeric: tabular-nums; }
.diagram .request { font-weight: 600; }
.diagram .good.result, .diagram .good.step { color: var(--good); }
.diagram .bad.result, .diagram .bad.step { color: var(--bad); font-weight: 600; }
.diagram .calm.result, .diagram .calm.step { color: var(--calm); }
.diagram .box { fill: var(--back); stroke: var(--line); }
.diagram .life { stroke: var(--line); stroke-width: 2; }
.diagram .there { stroke: var(--soft); stroke-width: 1.5; }
.diagram .back { stroke-width: 1.5; stroke-dasharray: 5 4; }
.diagram .back.good { stroke: var(--good); }
.diagram .back.bad, .diagram .cross { stroke: var(--bad); }
.diagram .head.plain { fill: var(--soft); }
.diagram .head.good, .diagram .dot.good { fill: var(--good); }
.diagram .head.bad, .diagram .dot.bad, .diagram .mark.bad { fill: var(--bad); }
.diagram .dot.calm { fill: var(--calm); }
.diagram .cross { stroke-width: 3; fill: none; stroke-linecap: round; }
.diagram .ring { fill: var(--card); stroke: var(--text); stroke-width: 3; }
)css";
}

}  // namespace latchkey::cli
