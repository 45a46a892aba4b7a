// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
module latchkey.cli.account;
import latchkey.atproto.client;
import latchkey.atproto.identifier;
import latchkey.cli.hosted_client;
import latchkey.cli.options;
import latchkey.cli.profile;
import latchkey.cli.profile.client;
import latchkey.cli.profile.folder;
import latchkey.cli.profile.secret;
import latchkey.cli.report;
import latchkey.cli.workspace;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.url;
import latchkey.flows.client;
import latchkey.flows.client_options;
import latchkey.http.policy;
import latchkey.refresh.keeper;
import latchkey.session;
import latchkey.store;
import latchkey.store.record;

namespace latchkey::cli {
namespace {

// Which session is meant, and who said so.
struct Wanted {
  enum class Source { nobody, profile, account, current } source = Source::nobody;
  std::string name{};
};

Result<Wanted> wanted_account(const Options& options, const ProfileFolder& profiles) {
  if (!options.profile.empty() && !options.account.empty()) {
    return make_error(ErrorCode::invalid_argument, "cli.two_accounts",
                      "cannot act for two: a profile (" + printable(options.profile, 100) +
                          ") and an account (" + printable(options.account, 100) +
                          ") are named; name one");
  }
  if (!options.profile.empty()) {
    if (auto checked = check_profile_name(options.profile); !checked)
      return std::move(checked).error();
    return Wanted{.source = Wanted::Source::profile, .name = options.profile};
  }
  if (!options.account.empty())
    return Wanted{.source = Wanted::Source::account, .name = options.account};
  auto current = profiles.current();
  if (!current) return std::move(current).error();
  if (!*current) return Wanted{};
  return Wanted{.source = Wanted::Source::current, .name = **std::move(current)};
}

bool names(const SessionSummary& session, const Wanted& wanted) {
  if (wanted.source == Wanted::Source::nobody || session.subject == wanted.name) return true;
  if (session.state == SessionState::revoking && original_subject(session.subject) == wanted.name)
    return true;
  if (wanted.source != Wanted::Source::account || is_profile(session)) return false;
  const auto handle = parse_handle(wanted.name);
  return handle && !session.handle.empty() && session.handle == *handle;
}

// A name that is a subject needs no search: a site may have a million sessions.
std::optional<SessionSummary> exact_match(OAuthTokenStore& store, const Wanted& wanted) {
  if (wanted.source == Wanted::Source::nobody) return std::nullopt;
  auto record = store.load_record(wanted.name);
  if (!record || !*record) return std::nullopt;
  SessionSummary& session = (*record)->summary;
  if (session.subject != wanted.name || session.state == SessionState::revoking)
    return std::nullopt;
  return std::move(session);
}

// What is left of one subject's logouts is finished one after the other.
std::vector<SessionSummary> next_to_revoke(std::vector<SessionSummary> revoking) {
  const auto is_of_the_first = [&](const SessionSummary& one) {
    return original_subject(one.subject) == original_subject(revoking.front().subject);
  };
  if (revoking.size() > 1 && std::all_of(revoking.begin(), revoking.end(), is_of_the_first))
    revoking.resize(1);
  return revoking;
}

Error nobody_there(const Wanted& wanted, const ProfileFolder& profiles) {
  const std::string name = printable(wanted.name, 100);
  if (wanted.source == Wanted::Source::nobody)
    return make_error(ErrorCode::login_required, "cli.no_session",
                      "nobody is logged in here: run latchkey login HANDLE, or latchkey login "
                      "--issuer URL --client-id ID");
  const auto profile = check_profile_name(wanted.name)
                           ? profiles.load(wanted.name)
                           : Result<std::optional<Profile>>(std::optional<Profile>());
  if (!profile || *profile)
    return make_error(
        ErrorCode::login_required, "cli.not_logged_in",
        "the profile " + name + " is not logged in: run latchkey login --profile " + name);
  const bool chosen = wanted.source == Wanted::Source::current;
  return make_error(ErrorCode::login_required, "cli.no_such_account",
                    "no session for " + name +
                        (chosen ? ", which latchkey use made the default" : "") +
                        ": run latchkey sessions to see who is logged in, or latchkey login");
}

Error several(const std::vector<SessionSummary>& candidates) {
  std::string text =
      "several accounts are logged in: say which with --account or --profile, or choose one for "
      "good with latchkey use; one of";
  for (const SessionSummary& session : candidates) {
    text += "\n  " + printable(session.subject, 200);
    if (!session.handle.empty()) text += " (" + printable(session.handle, 200) + ")";
  }
  return make_error(ErrorCode::invalid_argument, "cli.which_account", std::move(text));
}

Result<std::optional<Profile>> file_of(const Options& options, const SessionSummary& session,
                                       Account::BrokenFile broken) {
  auto profile = stored_profile(options, session);
  if (profile || broken == Account::BrokenFile::is_an_error) return profile;
  say("the profile's file can't be read, and counts as absent: " + profile.error().message);
  return std::optional<Profile>();
}

// Of a session whose client can't be made any more: enough to end what a public client has, to have
// the logout of any other wait, and to erase it.
Result<std::shared_ptr<SessionKeeper>> keeper_without_client(const Workspace& workspace,
                                                             const Options& options,
                                                             const SessionSummary& session) {
  auto made = profile_client_options(workspace, options);
  if (!made) return std::move(made).error();
  // Strangers named the server.
  if (made->http_rule == HttpRule::https_only) made->address_rule = AddressRule::public_only;
  made->server.issuer = session.issuer;
  made->server.token_endpoint = session.token_endpoint;
  made->server.revocation_endpoint = session.revocation_endpoint;
  made->client_id = session.client_id;
  made->client = profile_authenticator(session.client_id, session.client_auth_method,
                                       SecretSource{}, options.stop);
  auto client = OAuthClient::create(*std::move(made));
  if (!client) return std::move(client).error();
  return client->shared_keeper();
}

Result<AtprotoClient> client_for(const Workspace& workspace, const Options& options,
                                 const SessionSummary& session) {
  auto identity = client_of_session(options, session);
  if (!identity) return std::move(identity).error();
  return make_client(workspace, options, *std::move(identity));
}

}  // namespace

bool is_profile(const SessionSummary& session) {
  return check_profile_name(original_subject(session.subject)).has_value();
}

Result<SessionSummary> choose_account(OAuthTokenStore& store, const Options& options,
                                      Choose among) {
  const auto where = places(options);
  if (!where) return where.error();
  const ProfileFolder profiles(where->config);
  auto wanted = wanted_account(options, profiles);
  if (!wanted) return std::move(wanted).error();
  if (auto session = exact_match(store, *wanted)) return *std::move(session);
  auto rows = all_sessions(store);
  if (!rows) return std::move(rows).error();
  std::vector<SessionSummary> candidates, revoking;
  std::optional<Error> unreadable;
  for (ListedSession& row : *rows) {
    if (row.error) unreadable = std::move(row.error);
    if (!row.summary || !names(*row.summary, *wanted)) continue;
    const bool over = row.summary->state == SessionState::revoking;
    (over ? revoking : candidates).push_back(*std::move(row.summary));
  }
  if (candidates.empty() && among == Choose::also_revoking)
    candidates = next_to_revoke(std::move(revoking));
  if (candidates.size() == 1) return std::move(candidates.front());
  if (!candidates.empty()) return several(candidates);
  return unreadable ? *std::move(unreadable) : nobody_there(*wanted, profiles);
}

WaitNotice::~WaitNotice() {
  if (keeper_.is_refreshing(subject_)) say("a refresh under way is finished and saved first");
}

Result<Account> Account::of(const Workspace& workspace, const Options& options,
                            SessionSummary summary, BrokenFile broken) {
  Account account;
  if (is_profile(summary)) {
    auto profile = file_of(options, summary, broken);
    if (!profile) return std::move(profile).error();
    account.profile_ = *std::move(profile);
    auto keeper = profile_keeper(workspace, options, summary, account.profile_);
    if (!keeper) return std::move(keeper).error();
    account.keeper_ = *std::move(keeper);
  } else {
    auto client = client_for(workspace, options, summary);
    if (client) {
      account.atproto_ = *std::move(client);
    } else if (broken == BrokenFile::is_an_error) {
      return std::move(client).error();
    } else {
      say("the session's client can't be used any more: " + client.error().message);
      auto keeper = keeper_without_client(workspace, options, summary);
      if (!keeper) return std::move(keeper).error();
      account.keeper_ = *std::move(keeper);
    }
  }
  account.summary_ = std::move(summary);
  return account;
}

SessionKeeper& Account::keeper() const noexcept {
  return atproto_ ? atproto_->keeper() : *keeper_;
}

void Account::give_notice() {
  notice_ = std::make_unique<WaitNotice>(keeper(), subject());
}

Result<Account> open_account(const Options& options) {
  auto workspace = open_workspace(options);
  if (!workspace) return std::move(workspace).error();
  auto summary = choose_account(*workspace->store, options);
  if (!summary) return std::move(summary).error();
  auto account = Account::of(*workspace, options, *std::move(summary));
  if (account) account->give_notice();
  return account;
}

Result<Account> open_atproto_account(const Options& options) {
  auto account = open_account(options);
  if (!account || account->atproto() != nullptr) return account;
  return make_error(ErrorCode::invalid_argument, "cli.not_atproto",
                    "cannot do that for the profile " + account->subject() +
                        ": records are of AT Protocol accounts; name one with --account");
}

Exit report(const Account& account, const Error& error, Format format) {
  const Exit exit = report(error, format);
  if (error.code != ErrorCode::session_not_durable) return exit;
  say("waiting up to 60 s for the disk to take the session");
  const bool settled = account.keeper().settle(std::chrono::seconds{60});
  say(settled && !account.keeper().unsaved(account.subject())
          ? "the session is saved now: run the command again"
          : "the session could not be saved and ends with this program: make room on the disk and "
            "log in again");
  return exit;
}

}  // namespace latchkey::cli
