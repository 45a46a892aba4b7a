// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
module latchkey.cli.commands;
import latchkey.atproto.client;
import latchkey.cli.input;
import latchkey.cli.options;
import latchkey.cli.report;
import latchkey.cli.workspace;
import latchkey.core.error;
import latchkey.core.secret;
import latchkey.core.url;
import latchkey.dpop.nonce;
import latchkey.dpop.prover;
import latchkey.http;
import latchkey.refresh.context;
import latchkey.refresh.keeper;
import latchkey.refresh.provers;
import latchkey.session;

namespace latchkey::cli {
namespace {

std::string upper(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](char c) {
    return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
  });
  return text;
}

}  // namespace

Exit run_request(const Options& options, const RequestCommand& command) {
  auto body = read_argument(command.data, options.stop);
  if (!body) return report(body.error(), options.format);
  auto account = open_account(options);
  if (!account) return report(account.error(), options.format);
  const std::string type =
      command.content_type.empty() && !body->empty() ? "application/json" : command.content_type;
  auto answer = account->client.request(account->summary.subject, upper(command.method),
                                        command.url, type, *body, options.stop);
  if (!answer) return report(*account, answer.error(), options.format);
  print(answer->body.expose());
  if (answer->status >= 200 && answer->status < 300) return Exit::ok;
  say("the server answered with status " + std::to_string(answer->status));
  return Exit::failed;
}

Exit run_dpop(const Options& options, const DpopCommand& command) {
  const auto url = Url::parse(command.url);
  if (!url) return report(url.error(), options.format);
  auto account = open_account(options);
  if (!account) return report(account.error(), options.format);
  auto session = account->client.fresh(account->summary.subject, {.stop = options.stop});
  if (!session) return report(*account, session.error(), options.format);
  const SessionContext& context = account->client.keeper().context();
  auto prover = context.provers->find((*session)->dpop_jkt);
  if (!prover) return report(prover.error(), options.format);
  const auto nonce = context.nonces->find(url->origin(), (*session)->dpop_jkt);
  const std::string method = upper(command.method), htu = url->htu();
  ProofInput input{.htm = method,
                   .htu = htu,
                   .iat = context.clock->now(),
                   .access_token = &(*session)->access_token};
  if (nonce) input.nonce = *nonce;
  auto proof = (*prover)->proof(input);
  if (!proof) return report(proof.error(), options.format);
  if (options.format == Format::json) {
    print("{\"DPoP\":" + json_string(*proof) +
          (command.reveal
               ? ",\"Authorization\":" +
                     json_string("DPoP " + std::string((*session)->access_token.expose()))
               : "") +
          "}");
    return Exit::ok;
  }
  print("DPoP: " + *proof);
  if (command.reveal)
    print("Authorization: DPoP " + std::string((*session)->access_token.expose()));
  return Exit::ok;
}

}  // namespace latchkey::cli
