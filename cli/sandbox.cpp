// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>
module latchkey.cli.commands;
import latchkey.cli.input;
import latchkey.cli.options;
import latchkey.cli.report;
import latchkey.core.error;
import latchkey.sandbox;
import latchkey.sandbox.control;

namespace latchkey::cli {
namespace {

std::string account_json(const sandbox::Account& account) {
  return "{\"handle\":" + json_string(account.handle) + ",\"did\":" + json_string(account.did) +
         ",\"password\":" + json_string(account.password) + "}";
}

using Control = std::unique_ptr<sandbox::ControlServer>;

std::string sandbox_json(const sandbox::Sandbox& servers, const Control& control) {
  std::string accounts;
  for (const auto& account : servers.accounts()) {
    accounts += (accounts.empty() ? "" : ",") + account_json(account);
  }
  return "{\"pds\":" + json_string(servers.pds()) + ",\"issuer\":" + json_string(servers.issuer()) +
         ",\"plc\":" + json_string(servers.plc()) + ",\"accounts\":[" + accounts + "]" +
         (control ? ",\"control\":{\"url\":" + json_string(control->url()) +
                        ",\"token\":" + json_string(control->token()) + "}"
                  : "") +
         "}";
}

Result<void> add_clients(sandbox::Sandbox& servers, const SandboxCommand& command,
                         const std::stop_token& stop) {
  for (const auto& file : command.clients) {
    auto metadata = read_argument('@' + file, stop);
    if (!metadata) return std::move(metadata).error();
    if (auto added = servers.add_client({.metadata = *std::move(metadata)}); !added) return added;
  }
  return {};
}

// Whom the data does not have yet.
Result<void> add_people(sandbox::Sandbox& servers, bool auto_approve) {
  for (const char* handle : {"alice.test", "bob.test"}) {
    if (servers.set_auto_approve(handle, auto_approve)) continue;
    if (auto added = servers.add_account(handle, {}, auto_approve); !added) {
      return std::move(added).error();
    }
  }
  return {};
}

void wait_for_stop(const std::stop_token& stop) {
  std::mutex mutex;
  std::condition_variable_any never;
  std::unique_lock lock(mutex);
  never.wait(lock, stop, [] { return false; });
}

}  // namespace

Exit run_sandbox(const Options& options, const SandboxCommand& command) {
  sandbox::SandboxOptions wanted{.port = static_cast<std::uint16_t>(command.port)};
  wanted.lifetimes.access = std::chrono::seconds{command.access_token_lifetime};
  wanted.data = command.data;
  wanted.nonce_rotation = std::chrono::seconds{command.nonce_rotation};
  auto servers = sandbox::Sandbox::start(wanted);
  if (!servers) return report(servers.error(), options.format);
  if (auto added = add_people(**servers, command.auto_approve); !added) {
    return report(added.error(), options.format);
  }
  if (const auto added = add_clients(**servers, command, options.stop); !added) {
    return report(added.error(), options.format);
  }
  Control control;
  if (command.control) {
    auto started = sandbox::ControlServer::start(**servers);
    if (!started) return report(started.error(), options.format);
    control = *std::move(started);
  }
  print(sandbox_json(**servers, control));
  say("the sandbox runs until Ctrl-C; log in to it with: latchkey --plc-url " + (*servers)->plc() +
      " --resolve-handles-at " + (*servers)->pds() + " --allow-http-for-loopback login alice.test");
  wait_for_stop(options.stop);
  return Exit::ok;
}

}  // namespace latchkey::cli
