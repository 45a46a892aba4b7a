// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
module latchkey.loopback.browser;
import latchkey.core.error;
import latchkey.core.os.process;
import latchkey.core.url;

namespace latchkey {
namespace {

using Command = std::vector<std::string>;

// Long enough for a launcher that finds no browser to say so by its exit status.
constexpr std::chrono::milliseconds kGrace{1'000};

std::vector<std::string> split(std::string_view text, char separator) {
  std::vector<std::string> parts;
  while (!text.empty()) {
    const auto end = text.find(separator);
    if (end != 0) parts.emplace_back(text.substr(0, end));
    if (end == std::string_view::npos) break;
    text.remove_prefix(end + 1);
  }
  return parts;
}

// "%s" in any word stands for the URL; without one the URL is the last word.
Command with_url(Command words, const std::string& url) {
  constexpr std::string_view place = "%s";
  bool placed = false;
  for (auto& word : words) {
    for (auto at = word.find(place); at != std::string::npos;
         at = word.find(place, at + url.size())) {
      word.replace(at, place.size(), url);
      placed = true;
    }
  }
  if (!placed) words.push_back(url);
  return words;
}

std::vector<Command> candidates(const std::string& url) {
  std::vector<Command> out;
  if (const auto wanted = environment_variable("BROWSER")) {
    for (const auto& entry : split(*wanted, ':')) {
      if (auto words = split(entry, ' '); !words.empty()) {
        out.push_back(with_url(std::move(words), url));
      }
    }
  }
  // Without a display these would start a browser inside the terminal, over what we print there.
  if (environment_variable("DISPLAY") || environment_variable("WAYLAND_DISPLAY")) {
    for (const auto* name : {"xdg-open", "sensible-browser", "x-www-browser", "gnome-open"}) {
      out.push_back({name, url});
    }
  }
  return out;
}

Error not_opened(const std::string& why) {
  return make_error(ErrorCode::io, "browser.not_opened",
                    "cannot open a browser: " + why + "; open the URL by hand");
}

class SystemBrowser final : public BrowserOpener {
 public:
  Result<void> open(const Url& url) override {
    if (url.scheme() != "https" && url.scheme() != "http") {
      return not_opened("only http and https URLs are opened");
    }
    const auto commands = candidates(url.text());
    if (commands.empty()) return not_opened("there is no display and BROWSER is not set");
    for (const auto& command : commands) {
      const auto started = start_program(command, kGrace);
      if (started && started->value_or(0) == 0) return {};
    }
    return not_opened("no program for it could be started");
  }
};

}  // namespace

BrowserOpener::~BrowserOpener() {}

std::optional<std::string> system_browser_program() {
  for (const auto& command : candidates("")) {
    if (auto program = find_program(command.front())) return program;
  }
  return std::nullopt;
}

std::shared_ptr<BrowserOpener> system_browser() {
  return std::make_shared<SystemBrowser>();
}

}  // namespace latchkey
