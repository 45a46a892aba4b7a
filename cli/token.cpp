// SPDX-License-Identifier: MIT
module;
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
module latchkey.cli.commands;
import latchkey.cli.account;
import latchkey.cli.options;
import latchkey.cli.report;
import latchkey.core.error;
import latchkey.core.secret;
import latchkey.core.time;
import latchkey.refresh.keeper;
import latchkey.session;

// The access token, for programs that send it themselves.

namespace latchkey::cli {
namespace {

using Json = nlohmann::ordered_json;

// All but the token: its fingerprint names it without giving anything of it away.
std::string facts_json(const OAuthSession& session) {
  return Json{{"subject", session.subject},
              {"token_type", session.token_type},
              {"fingerprint", token_fingerprint(session.access_token)},
              {"expires_at",
               session.expires_at ? Json(format_rfc3339(*session.expires_at)) : Json(nullptr)},
              {"scope", session.scope}}
      .dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string facts(const OAuthSession& session) {
  return session.token_type + " token " + token_fingerprint(session.access_token) + ", " +
         (session.expires_at ? "expires " + relative_time(session.expires_at, SystemClock{}.now())
                             : std::string("of unknown lifetime"));
}

// The facts with the token as one more member, without a copy in a JSON library.
SecretString revealed_json(const OAuthSession& session) {
  std::string facts = facts_json(session);
  facts.pop_back();
  SecretBuilder out;
  out.append(facts).append(",\"access_token\":\"");
  for (const char c : session.access_token.expose()) {
    if (c == '"' || c == '\\') out.append('\\');  // all else in a token is visible ASCII
    out.append(c);
  }
  return std::move(out.append("\"}")).finish();
}

}  // namespace

Exit run_token(const Options& options, const TokenCommand& command) {
  auto account = open_account(options);
  if (!account) return report(account.error(), options.format);
  auto session = account->keeper().fresh(account->subject(), {.stop = options.stop});
  if (!session) return report(*account, session.error(), options.format);
  const bool json = options.format == Format::json;
  if (command.reveal) {
    print(json ? revealed_json(**session).expose() : (*session)->access_token.expose());
    return Exit::ok;
  }
  print(json ? facts_json(**session) : facts(**session));
  if (!json) say("the token itself is printed only with --reveal");
  return Exit::ok;
}

}  // namespace latchkey::cli
