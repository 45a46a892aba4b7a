// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <thread>
#include <vector>
export module latchkey.core.os.process;
import latchkey.core.error;

// What latchkey needs to know of processes: its own number and host for diagnosis, and starting a
// program (a browser) without a shell and without handing it our descriptors.

export namespace latchkey {

[[nodiscard]] int process_id() noexcept;
[[nodiscard]] std::string host_name();
/// Empty if the variable is not set or is empty. Not safe beside setenv, like getenv.
[[nodiscard]] std::optional<std::string> environment_variable(const std::string& name);

/// Where a program is: `name` itself if it has a slash, else looked up in PATH; empty if there is
/// no such program that we may run.
[[nodiscard]] std::optional<std::string> find_program(const std::string& name);

/// Starts `words[0]` (looked up in PATH) with posix_spawn, standard input, output and error on
/// /dev/null, and does not wait for it to end beyond `grace`. Returns the exit status (128 + n when
/// signal n ended it) if it ended within the grace time. It gets a session of its own, no other
/// descriptors, and is reaped when it ends. Error: io, "process.not_started".
[[nodiscard]] Result<std::optional<int>> start_program(const std::vector<std::string>& words,
                                                       std::chrono::milliseconds grace);

/// A thread that no signal is delivered to: the host program's handlers stay on its own threads.
[[nodiscard]] std::thread start_thread_without_signals(std::function<void()> run);

/// Keeps secrets out of core dumps and other users' debuggers as far as the system lets us
/// (PR_SET_DUMPABLE). For tools; a library does not decide this for its host.
void forbid_core_dumps() noexcept;

}  // namespace latchkey
