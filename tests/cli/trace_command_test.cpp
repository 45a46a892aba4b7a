// SPDX-License-Identifier: MIT
#include <sys/stat.h>
#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <cstddef>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

import latchkey.cli.trace.file;
import latchkey.core;
import latchkey.http.trace;
import latchkey.session;
import latchkey.test.folder;
import latchkey.test.provider;
import latchkey.test.tool;
import latchkey.test.tool_places;

// --trace and the command that shows what it wrote.

using namespace latchkey;
using namespace latchkey::test;
using Json = nlohmann::json;
using Words = std::vector<std::string>;

namespace {

bool has(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

struct Shell {
  Services services{};
  Home home{};
  std::string file = home.path() / "trace.jsonl";

  Shell() { home.plant(kAlice, services.origin()); }
  // No command, trace or page may ever show a token.
  [[nodiscard]] ToolRun operator()(Words words) const {
    return checked(run(home.start(std::move(words), services)));
  }
  [[nodiscard]] static ToolRun checked(ToolRun done) {
    CHECK_FALSE(has(done.out + done.err, "Marked"));
    return done;
  }
  [[nodiscard]] std::string text() const {
    std::string trace = read_text(file).value_or("");
    CHECK_FALSE(has(trace, "Marked"));
    return trace;
  }
  [[nodiscard]] mode_t mode() const {
    struct stat found{};
    REQUIRE(lstat(file.c_str(), &found) == 0);
    return found.st_mode & 0777;
  }
};

}  // namespace

TEST_CASE("G-46: a command's requests are in its trace, which only the user can read", "[cli]") {
  Shell shell;
  CHECK(shell({"--trace", shell.file, "record", "list", "x.y.z"}).status != 2);
  const std::string text = shell.text();
  CHECK(shell.mode() == 0600);
  CHECK(has(text, R"("step":"command_record")"));
  CHECK(has(text, R"("path":"/xrpc/com.atproto.repo.listRecords")"));
  CHECK(has(text, R"("kind":"answer")"));
  const Json first = Json::parse(text.substr(0, text.find('\n')));
  CHECK(first["v"] == 1);
}

TEST_CASE("trace: commands append, each as a run of its own, in either place of the option",
          "[cli]") {
  Shell shell;
  CHECK(shell({"logout", "--trace", shell.file}).status == 0);
  ToolStart start = shell.home.start({"sessions"}, shell.services);
  start.environment["LATCHKEY_TRACE"] = shell.file;
  CHECK(Shell::checked(run(std::move(start))).status == 0);
  const std::string text = shell.text();
  CHECK(has(text, R"("step":"command_logout")"));
  CHECK(has(text, R"("purpose":"revocation")"));
  CHECK(has(text, R"("step":"session_logged_out")"));
  CHECK(has(text, R"("step":"command_sessions")"));
  const std::string page = shell({"trace", shell.file}).out;
  CHECK(has(page, "<h2>latchkey logout</h2>"));
  CHECK(has(page, "<h2>latchkey sessions</h2>"));
}

TEST_CASE("trace: a refused refresh is told by its word, whatever else the server says", "[cli]") {
  Shell shell;
  shell.services.on("/token", [](const std::string&) {
    return json_http(400, R"({"error":"invalid_grant","error_description":")" +
                              std::string(kRefreshToken) + "\"}");
  });
  CHECK(run(shell.home.start({"refresh", "--trace", shell.file}, shell.services)).status == 3);
  const std::string text = shell.text();
  CHECK(has(text, R"("grant":"refresh_token")"));
  CHECK(has(text, R"("error":"invalid_grant")"));
  CHECK(has(text, R"("step":"session_refused")"));
  CHECK(has(text, R"("step":"command_failed")"));
}

TEST_CASE("trace: a file that is not the user's alone is refused, and nothing is done", "[cli]") {
  Shell shell;
  const auto refuses = [&](std::string_view detail) {
    const ToolRun run = shell({"--trace", shell.file, "logout", "--json"});
    CHECK(run.status == 1);
    CHECK(Json::parse(run.err)["error"]["detail"] == detail);
    CHECK(shell.services.requests_to("/revoke").empty());
  };
  std::filesystem::create_symlink(shell.home.path() / "elsewhere", shell.file);
  refuses("location.symlink");
  std::filesystem::remove(shell.file);
  write_text(shell.file, "");
  chmod(shell.file.c_str(), 0644);
  refuses("location.permissions");
  std::filesystem::remove(shell.file);
  std::filesystem::create_directory(shell.file);
  refuses("location.not_a_file");
  std::filesystem::remove(shell.file);
  REQUIRE(mkfifo(shell.file.c_str(), 0600) == 0);
  refuses("location.not_a_file");
  CHECK_FALSE(std::filesystem::exists(shell.home.path() / "elsewhere"));
}

TEST_CASE("trace: what is shown must be there and be a trace", "[cli]") {
  Shell shell;
  CHECK(shell({"trace"}).status == 2);
  CHECK(shell({"trace", shell.file}).status == 1);
  write_text(shell.file, "not a trace\n");
  const ToolRun none = shell({"trace", shell.file, "--json"});
  CHECK(none.status == 2);
  CHECK(Json::parse(none.err)["error"]["detail"] == "cli.no_trace");
  CHECK(none.out.empty());
}

TEST_CASE("trace: the page goes to a file if one is named, also over an older one", "[cli]") {
  Shell shell;
  CHECK(shell({"--trace", shell.file, "sessions"}).status == 0);
  const std::string page = shell.home.path() / "page.html";
  for (int i = 0; i < 2; ++i) {
    const ToolRun made = shell({"trace", shell.file, "--output", page});
    CHECK(made.status == 0);
    CHECK(made.out.empty());
  }
  CHECK(read_text(page).value_or("").starts_with("<!DOCTYPE html>"));
  std::string torn = shell.text();
  write_text(shell.file, torn.substr(0, torn.size() - 20));
  const ToolRun shown = shell({"trace", shell.file});
  CHECK(shown.status == 0);
  CHECK(has(shown.err, "could not be read and are left out: 1"));
}

TEST_CASE("C11.6: no secret of the tool's own logins and logouts is in their trace", "[cli]") {
  Provider p;
  const std::string file = p.home.path() / "trace.jsonl";
  REQUIRE(p.log_in_to_work({"--trace", file}).status == 0);
  REQUIRE(run(p.start({"refresh", "--profile", "work", "--trace", file})).status == 0);
  REQUIRE(run(p.start({"logout", "--profile", "work", "--trace", file})).status == 0);
  const std::string text = read_text(file).value_or("");
  const ToolRun page = run(p.start({"trace", file}));
  REQUIRE_FALSE(p.servers->captured_secrets().empty());
  p.check_no_secret(text);
  p.check_no_secret(page.out);
  for (const std::string_view part :
       {R"("purpose":"server_metadata")", R"("grant":"authorization_code")",
        R"("grant":"refresh_token")", R"("purpose":"revocation")", R"("step":"callback")"}) {
    CAPTURE(part);
    CHECK(has(text, part));
  }
}

TEST_CASE("trace: every command of the tool has a word of its own", "[cli]") {
  Shell shell;
  const std::string help = shell({"--help"}).out;
  const auto list = help.find("ubcommands:");
  const auto upper = help.find("UBCOMMANDS:");
  REQUIRE(std::min(list, upper) != std::string::npos);
  std::istringstream lines(help.substr(std::min(list, upper)));
  std::string line, trace;
  std::getline(lines, line);
  SystemRandom random;
  Tracer tracer([&](const TraceEvent& event) { trace += trace_line(event) + "\n"; },
                std::make_shared<SystemClock>(), random);
  std::size_t commands = 0;
  while (std::getline(lines, line)) {
    // A name stands two columns in; what goes on from the line before stands further in.
    if (!line.starts_with("  ") || line.size() < 3 || line[2] == ' ') continue;
    const std::string name = line.substr(2, line.find(' ', 2) - 2);
    if (name == "trace") continue;  // leaves no trace
    CAPTURE(name);
    trace.clear();
    cli::trace_command(tracer, name);
    CHECK(has(trace, "\"step\":\"command_" + name + "\""));
    ++commands;
  }
  CHECK(commands >= 19);
}

TEST_CASE("trace: of a file that is too large for one page the end is shown", "[cli]") {
  Shell shell;
  const std::string line =
      R"({"v":1,"run":"0a1b2c3d","id":1,"at":"2026-11-20T09:30:00Z","kind":"step","from":"client","to":"client","step":"session_)";
  write_text(shell.file, line + "first\"}\n" + std::string(40 * 1024 * 1024, 'x') + "\n" + line +
                             "refreshed\"}\n");
  for (const std::string& from : {shell.file, std::string("-")}) {
    ToolStart start = shell.home.start({"trace", from}, shell.services);
    if (from == "-") start.input = typed(read_text(shell.file).value());
    const ToolRun shown = Shell::checked(run(std::move(start)));
    CHECK(shown.status == 0);
    CHECK(has(shown.err, "its last 16 MiB are shown"));
    CHECK(has(shown.out, "session refreshed"));
    CHECK_FALSE(has(shown.out, "session first"));
  }
}
