// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <cstddef>
#include <string>
#include <vector>
export module latchkey.core.os.command;
import latchkey.core.error;
import latchkey.core.secret;

// Runs a program for what it prints, in bounded time and with bounded output. What it prints may be
// a secret.

export namespace latchkey {

/// Where a command's standard error goes.
enum class CommandErrors {
  inherited,    ///< to ours
  with_output,  ///< into CommandOutput::out, in the order of writing
};

struct CommandLimits {
  std::chrono::milliseconds timeout{30'000};
  std::size_t max_output = 4096;  ///< bytes
  CommandErrors errors = CommandErrors::inherited;
};

struct CommandOutput {
  int status = 0;  ///< exit status; 128 + n when signal n ended it
  SecretBytes out;
};

/// Starts `words[0]` (looked up in PATH, no shell), waits for its end, and gives what it wrote to
/// standard output. Its standard input is /dev/null, its standard error is ours unless `limits`
/// says otherwise, and it gets a process group of its own, which is killed at the end: also what it
/// left running in the background. Errors: io, "process.not_started"; timeout, "process.timeout";
/// corrupt, "process.output_too_large".
[[nodiscard]] Result<CommandOutput> run_command(const std::vector<std::string>& words,
                                                const CommandLimits& limits = {});

}  // namespace latchkey
