// SPDX-License-Identifier: MIT
module;
#include <csignal>
#include <stop_token>
#include <thread>
module latchkey.cli.signals;
import latchkey.cli.report;

namespace latchkey::cli {
namespace {

sigset_t watched() {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&signals, number);
  return signals;
}

}  // namespace

std::stop_token stop_at_signals() {
  const sigset_t signals = watched();
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  std::stop_source source;
  std::thread([source, signals]() mutable {
    int number = 0;
    while (sigwait(&signals, &number) == 0) {
      if (!source.stop_requested()) say("stopping");
      source.request_stop();
    }
  }).detach();
  return source.get_token();
}

}  // namespace latchkey::cli
