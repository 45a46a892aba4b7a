// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
module latchkey.cli.commands;
import latchkey.atproto.client;
import latchkey.cli.account;
import latchkey.cli.input;
import latchkey.cli.options;
import latchkey.cli.report;
import latchkey.cli.profile;
import latchkey.core.error;
import latchkey.core.url;
import latchkey.dpop.nonce;
import latchkey.dpop.prover;
import latchkey.flows.resource_call;
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

// What the token may be sent to without the profile's file: nobody but who issued it.
Profile profile_of(const Account& account) {
  if (account.profile()) return *account.profile();
  Profile profile;
  profile.issuer = account.summary().issuer;
  return profile;
}

// A path is one on the first server that the profile names.
Result<Url> target_of(const Profile& profile, const std::string& text) {
  if (!text.starts_with('/')) return Url::parse(text);
  std::vector<std::string> bases = profile.origins;
  bases.insert(bases.end(), profile.resources.begin(), profile.resources.end());
  bases.push_back(profile.issuer);
  const auto base = Url::parse(bases.front());
  return base ? base->with_target(text) : base;
}

Result<HttpResponse> send_for_profile(const Account& account, const std::string& method,
                                      const std::string& text, const std::string& content_type,
                                      const std::string& body, std::stop_token stop) {
  const Profile profile = profile_of(account);
  const auto url = target_of(profile, text);
  if (!url) return url.error();
  if (!allows_origin(profile, url->origin())) {
    return make_error(ErrorCode::insecure_address, "resource.other_origin",
                      "cannot send the token of " + account.subject() + " to " + url->origin() +
                          ": the profile does not name that server; add it to the profile's "
                          "origins if it may see the token");
  }
  return call_resource(
      account.keeper(), account.subject(),
      {.method = method, .content_type = content_type, .body = body, .stop = std::move(stop)},
      [&](const SessionSummary&) { return url; });
}

}  // namespace

Exit run_request(const Options& options, const RequestCommand& command) {
  auto body = read_argument(command.data, options.stop);
  if (!body) return report(body.error(), options.format);
  auto account = open_account(options);
  if (!account) return report(account.error(), options.format);
  const std::string type =
      command.content_type.empty() && !body->empty() ? "application/json" : command.content_type;
  auto answer = account->atproto() != nullptr
                    ? account->atproto()->request(account->subject(), upper(command.method),
                                                  command.url, type, *body, options.stop)
                    : send_for_profile(*account, upper(command.method), command.url, type, *body,
                                       options.stop);
  if (!answer) return report(*account, answer.error(), options.format);
  print_foreign(answer->body.expose());
  if (answer->status >= 200 && answer->status < 300) return Exit::ok;
  say("the server answered with status " + std::to_string(answer->status));
  return Exit::failed;
}

Exit run_dpop(const Options& options, const DpopCommand& command) {
  const auto url = Url::parse(command.url);
  if (!url) return report(url.error(), options.format);
  auto account = open_account(options);
  if (!account) return report(account.error(), options.format);
  auto session = account->keeper().fresh(account->subject(), {.stop = options.stop});
  if (!session) return report(*account, session.error(), options.format);
  if ((*session)->dpop_jkt.empty()) {
    return report(make_error(ErrorCode::invalid_argument, "cli.no_proof",
                             "cannot make a proof: the provider gave " + account->subject() +
                                 " a Bearer token, which has no key"),
                  options.format);
  }
  const SessionContext& context = account->keeper().context();
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
