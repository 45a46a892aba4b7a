// SPDX-License-Identifier: MIT
module;
#include <filesystem>
#include <functional>
#include <initializer_list>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>
module latchkey.loopback.headless;
import latchkey.core.os.process;

namespace latchkey {
namespace {

// "false" and "0" are how people switch such variables off.
bool is_on(const std::optional<std::string>& value) {
  return value && !value->empty() && *value != "false" && *value != "0";
}

// The first of the variables that is on; null: none.
const char* first_on(const Surroundings& here, std::initializer_list<const char*> names) {
  for (const char* name : names) {
    if (is_on(here.variable(name))) return name;
  }
  return nullptr;
}

Headless found(HeadlessCause cause, const std::string& what, const std::string& mark) {
  Headless out{.cause = cause, .reason = what + " (" + mark + ")", .ways = {}};
  if (cause != HeadlessCause::ci) out.ways = {LoginWay::device, LoginWay::paste};
  return out;
}

std::optional<std::string> container_mark(const Surroundings& here) {
  if (const char* name = first_on(here, {"container", "KUBERNETES_SERVICE_HOST"})) {
    return std::string(name) + " is set";
  }
  for (const char* file : {"/.dockerenv", "/run/.containerenv"}) {
    if (here.exists(file)) return std::string(file) + " is there";
  }
  return std::nullopt;
}

}  // namespace

Surroundings system_surroundings() {
  return {.variable = environment_variable, .exists = [](const std::filesystem::path& path) {
            std::error_code unreadable;
            return std::filesystem::exists(path, unreadable);
          }};
}

std::optional<Headless> headless_reason(const Surroundings& here) {
  if (const char* name = first_on(here, {"CI", "GITHUB_ACTIONS", "GITLAB_CI", "BUILD_ID"})) {
    return found(HeadlessCause::ci, "this is a job of a CI system, where nobody can log in",
                 std::string(name) + " is set");
  }
  if (const char* name = first_on(here, {"CODESPACES", "GITPOD_WORKSPACE_ID"})) {
    return found(HeadlessCause::cloud_workspace,
                 "this is a workspace in the cloud, which your browser does not reach as 127.0.0.1",
                 std::string(name) + " is set");
  }
  if (first_on(here, {"BROWSER", "DISPLAY", "WAYLAND_DISPLAY"}) != nullptr) return std::nullopt;
  if (const char* name = first_on(here, {"SSH_CONNECTION", "SSH_TTY", "SSH_CLIENT"})) {
    return found(HeadlessCause::ssh, "this is an SSH session, and your browser is elsewhere",
                 std::string(name) + " is set");
  }
  if (const auto mark = container_mark(here)) {
    return found(HeadlessCause::container, "this is a container, which has no browser", *mark);
  }
  return found(HeadlessCause::no_display, "there is no display for a browser",
               "neither DISPLAY nor WAYLAND_DISPLAY is set");
}

}  // namespace latchkey
