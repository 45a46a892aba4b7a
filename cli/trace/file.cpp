// SPDX-License-Identifier: MIT
module;
#include <array>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
module latchkey.cli.trace.file;
import latchkey.cli.options;
import latchkey.cli.report;
import latchkey.core.crypto;
import latchkey.core.error;
import latchkey.core.os.append_file;
import latchkey.core.time;
import latchkey.http.trace;

namespace latchkey::cli {
namespace {

class TraceFile {
 public:
  explicit TraceFile(std::unique_ptr<AppendFile> file) : file_(std::move(file)) {}

  void write(const TraceEvent& event) {
    if (!file_) return;
    const auto written = file_->append(trace_line(event) + "\n");
    if (written) return;
    say("the trace ends here: " + written.error().message);
    file_.reset();
  }

 private:
  std::unique_ptr<AppendFile> file_;
};

constexpr auto kCommands = std::to_array<TraceWord>(
    {"command_login",     "command_sessions", "command_status",          "command_use",
     "command_whoami",    "command_resolve",  "command_refresh",         "command_token",
     "command_logout",    "command_doctor",   "command_record",          "command_query",
     "command_procedure", "command_blob",     "command_request",         "command_dpop",
     "command_vault",     "command_store",    "command_client-metadata", "command_sandbox"});

TracedStep own_step(TraceWord name) {
  return {.from = TraceRole::client, .to = TraceRole::client, .name = name};
}

}  // namespace

Result<std::shared_ptr<Tracer>> open_trace(const Options& options) {
  if (options.trace.empty()) return std::shared_ptr<Tracer>();
  auto file = AppendFile::open(options.trace);
  if (!file) return std::move(file).error();
  SystemRandom random;
  return std::make_shared<Tracer>([lines = std::make_shared<TraceFile>(*std::move(file))](
                                      const TraceEvent& event) { lines->write(event); },
                                  std::make_shared<SystemClock>(), random);
}

void trace_command(Tracer& tracer, std::string_view command) {
  const std::string name = "command_" + std::string(command);
  tracer.record(own_step(TraceWord::listed(name, kCommands)));
}

void trace_end(Tracer& tracer, CommandEnd end) {
  tracer.record(
      own_step(end == CommandEnd::well ? TraceWord("command_ended") : TraceWord("command_failed")));
}

}  // namespace latchkey::cli
