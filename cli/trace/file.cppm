// SPDX-License-Identifier: MIT
module;
#include <memory>
#include <string>
#include <string_view>
export module latchkey.cli.trace.file;
import latchkey.cli.options;
import latchkey.core.error;
import latchkey.http.trace;

// --trace: the file that a command's events are appended to, one line each.

export namespace latchkey::cli {

/// Null if no trace is asked for. Each event is written at once. The first that can't be is told on
/// standard error, and ends the trace but not the command. Errors: those of AppendFile::open.
[[nodiscard]] Result<std::shared_ptr<Tracer>> open_trace(const Options& options);

/// Records that a command begins: a step "command_" and its name.
void trace_command(Tracer& tracer, std::string_view command);
enum class CommandEnd { well, badly };
/// Records its end: a step "command_ended" or "command_failed".
void trace_end(Tracer& tracer, CommandEnd end);

}  // namespace latchkey::cli
