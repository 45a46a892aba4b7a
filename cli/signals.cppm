// SPDX-License-Identifier: MIT
module;
#include <stop_token>
export module latchkey.cli.signals;

export namespace latchkey::cli {

/// SIGINT, SIGTERM and SIGHUP ask the running command to stop instead of killing it: a refresh that
/// has been sent is finished and saved first. Call once, before there is any other thread; what
/// waits for signals lives as long as the process.
[[nodiscard]] std::stop_token stop_at_signals();

}  // namespace latchkey::cli
