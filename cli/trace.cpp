// SPDX-License-Identifier: MIT
module;
#include <string>
module latchkey.cli.commands;
import latchkey.cli.input;
import latchkey.cli.options;
import latchkey.cli.report;
import latchkey.cli.trace.page;
import latchkey.cli.trace.record;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.os.files;

// A recorded trace as a page.

namespace latchkey::cli {

Exit run_trace(const Options& options, const TraceCommand& command) {
  const auto tail = read_tail(command.file, options.stop);
  if (!tail) return report(tail.error(), options.format);
  const TraceText trace = parse_trace(tail->text);
  if (trace.runs.empty()) {
    return report(make_error(ErrorCode::invalid_argument, "cli.no_trace",
                             "cannot show " + printable(command.file, 200) +
                                 ": there is no event in it; record one with --trace FILE"),
                  options.format);
  }
  if (trace.unreadable != 0)
    say("lines that could not be read and are left out: " + std::to_string(trace.unreadable));
  if (tail->is_cut) say("the trace is large: its last 16 MiB are shown");
  const std::string page = trace_page(trace);
  if (command.output.empty()) {
    print(page);
    return Exit::ok;
  }
  const auto written = replace_file(posix_file_system(), command.output, as_bytes(page));
  if (!written) return report(written.error(), options.format);
  say("the page is in " + printable(command.output, 300));
  return Exit::ok;
}

}  // namespace latchkey::cli
