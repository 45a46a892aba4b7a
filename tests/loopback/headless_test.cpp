// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

import latchkey.loopback.headless;

using namespace latchkey;

namespace {

using Variables = std::map<std::string, std::string>;

std::optional<Headless> guess(const Variables& variables, const std::set<std::string>& files = {}) {
  return headless_reason(
      {.variable = [&](const std::string& name) -> std::optional<std::string> {
         const auto found = variables.find(name);
         if (found == variables.end()) return std::nullopt;
         return found->second;
       },
       .exists = [&](const std::filesystem::path& path) { return files.contains(path.string()); }});
}

const std::vector<LoginWay> kElsewhere{LoginWay::device, LoginWay::paste};

}  // namespace

TEST_CASE("headless: PV-60, G-49: a desktop with a display is none", "[headless]") {
  const Variables variables =
      GENERATE(Variables{{"DISPLAY", ":0"}}, Variables{{"WAYLAND_DISPLAY", "wayland-0"}},
               Variables{{"BROWSER", "firefox"}});
  CHECK_FALSE(guess(variables));
}

TEST_CASE("headless: PV-60, G-49: what is missing or in the way is named, with what helps",
          "[headless]") {
  struct Row {
    Variables variables;
    std::set<std::string> files;
    HeadlessCause cause;
    const char* mark;
  };
  const auto row = GENERATE(values<Row>({
      {{}, {}, HeadlessCause::no_display, "neither DISPLAY nor WAYLAND_DISPLAY is set"},
      {{{"DISPLAY", ""}}, {}, HeadlessCause::no_display, "neither DISPLAY"},
      {{{"SSH_CONNECTION", "a"}}, {}, HeadlessCause::ssh, "SSH_CONNECTION is set"},
      {{{"SSH_TTY", "/dev/pts/0"}}, {}, HeadlessCause::ssh, "SSH_TTY is set"},
      {{{"CODESPACES", "true"}, {"BROWSER", "x"}},
       {},
       HeadlessCause::cloud_workspace,
       "CODESPACES is set"},
      {{{"GITPOD_WORKSPACE_ID", "w"}, {"DISPLAY", ":0"}},
       {},
       HeadlessCause::cloud_workspace,
       "GITPOD_WORKSPACE_ID is set"},
      {{{"container", "podman"}}, {}, HeadlessCause::container, "container is set"},
      {{{"KUBERNETES_SERVICE_HOST", "10.0.0.1"}},
       {},
       HeadlessCause::container,
       "KUBERNETES_SERVICE_HOST is set"},
      {{}, {"/.dockerenv"}, HeadlessCause::container, "/.dockerenv is there"},
      {{}, {"/run/.containerenv"}, HeadlessCause::container, "/run/.containerenv is there"},
      {{{"SSH_TTY", "x"}}, {"/.dockerenv"}, HeadlessCause::ssh, "SSH_TTY is set"},
  }));
  const auto found = guess(row.variables, row.files);
  REQUIRE(found);
  INFO(found->reason);
  CHECK(found->cause == row.cause);
  CHECK(found->reason.find(row.mark) != std::string::npos);
  CHECK(found->ways == kElsewhere);
}

TEST_CASE("headless: in CI nobody is there to log in, whatever else is set", "[headless]") {
  const auto* name = GENERATE("CI", "GITHUB_ACTIONS", "GITLAB_CI", "BUILD_ID");
  const auto found = guess({{name, "true"}, {"DISPLAY", ":99"}, {"BROWSER", "x"}});
  REQUIRE(found);
  CHECK(found->cause == HeadlessCause::ci);
  CHECK(found->ways.empty());
}

TEST_CASE("headless: a variable that is switched off does not count", "[headless]") {
  const auto* off = GENERATE("", "false", "0");
  CHECK_FALSE(guess({{"CI", off}, {"CODESPACES", off}, {"DISPLAY", ":0"}}));
}

TEST_CASE("headless: a display that SSH forwards, or one in a container, is a display",
          "[headless]") {
  CHECK_FALSE(guess({{"SSH_CONNECTION", "a"}, {"DISPLAY", "localhost:10.0"}}));
  CHECK_FALSE(guess({{"container", "x"}, {"WAYLAND_DISPLAY", "wayland-0"}}, {"/.dockerenv"}));
}

TEST_CASE("headless: the machine itself can be asked", "[headless]") {
  const auto here = system_surroundings();
  CHECK(here.variable("PATH"));
  CHECK_FALSE(here.variable("LATCHKEY_NO_SUCH_VARIABLE"));
  CHECK(here.exists("/"));
  CHECK_FALSE(here.exists("/no/such/file"));
}
