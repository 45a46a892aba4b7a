// SPDX-License-Identifier: MIT
module;
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
module latchkey.cli.commands;
import latchkey.atproto.discovery;
import latchkey.atproto.identity;
import latchkey.cli.options;
import latchkey.cli.report;
import latchkey.cli.workspace;
import latchkey.core.error;
import latchkey.http.cares;
import latchkey.http.trace.dns;

// Where a handle or DID leads, as a login would find it.

namespace latchkey::cli {
namespace {

using Json = nlohmann::ordered_json;

Result<LoginTarget> find(const Options& options, const std::string& who) {
  auto strangers = strangers_transport(options);
  if (!strangers) return std::move(strangers).error();
  auto configured = configured_transport(options);
  if (!configured) return std::move(configured).error();
  auto dns = CaresResolver::open();
  if (!dns) return std::move(dns).error();
  const auto identities = std::make_shared<IdentityResolver>(
      IdentityTransports{.strangers = *strangers, .configured = *std::move(configured)},
      IdentityOptions{.plc_url = options.plc_url,
                      .resolve_handles_at = options.resolve_handles_at,
                      .http_rule = http_rule_of(options),
                      .dns = traced(*std::move(dns), options.tracer)});
  return AtprotoDiscovery(*std::move(strangers), identities, http_rule_of(options))
      .find(who, options.stop);
}

// A server's URL leads to no account.
std::string target_json(const LoginTarget& target) {
  const auto text = [](const std::string& value) {
    return value.empty() ? Json(nullptr) : Json(value);
  };
  return Json{{"did", text(target.identity.did)},
              {"handle", text(target.identity.handle)},
              {"pds", text(target.pds)},
              {"issuer", target.server.issuer}}
      .dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string target_text(const LoginTarget& target) {
  std::string out;
  const auto line = [&out](const char* name, const std::string& value) {
    if (!value.empty()) out += (out.empty() ? "" : "\n") + std::string(name) + "\t" + value;
  };
  line("did", target.identity.did);
  line("handle", target.identity.handle);
  line("pds", target.pds);
  line("issuer", target.server.issuer);
  return out;
}

}  // namespace

Exit run_resolve(const Options& options, const ResolveCommand& command) {
  const auto target = find(options, command.who);
  if (!target) return report(target.error(), options.format);
  print(options.format == Format::json ? target_json(*target) : target_text(*target));
  return Exit::ok;
}

}  // namespace latchkey::cli
