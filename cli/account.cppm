// SPDX-License-Identifier: MIT
module;
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
export module latchkey.cli.account;
import latchkey.atproto.client;
import latchkey.cli.options;
import latchkey.cli.profile;
import latchkey.cli.report;
import latchkey.cli.workspace;
import latchkey.core.error;
import latchkey.refresh.keeper;
import latchkey.session;
import latchkey.store;

// The session that a command is about: an AT Protocol account, or a profile.

export namespace latchkey::cli {

/// A profile's session is kept under its name, which no DID is; a logout that the server does not
/// know of yet may be kept beside it, and is the profile's too (original_subject).
[[nodiscard]] bool is_profile(const SessionSummary& session);

/// The session that --profile or --account name (by its subject, or an account's handle), or that
/// `latchkey use` chose, or the only one there is; one that is being logged out only with
/// `also_revoking`, and if there is no other: of several such of one subject the first. Errors:
/// login_required ("cli.no_session", "cli.no_such_account", "cli.not_logged_in": a profile without
/// a session), invalid_argument
/// ("cli.which_account", which lists them).
enum class Choose { usable, also_revoking };
[[nodiscard]] Result<SessionSummary> choose_account(OAuthTokenStore& store, const Options& options,
                                                    Choose among = Choose::usable);

/// Says at its end that a refresh of the account is under way, if one is: the program then waits
/// until that is saved, at most the HTTP deadline.
class WaitNotice {
 public:
  WaitNotice(const SessionKeeper& keeper, std::string subject)
      : keeper_(keeper), subject_(std::move(subject)) {}
  WaitNotice(const WaitNotice&) = delete;
  WaitNotice& operator=(const WaitNotice&) = delete;
  ~WaitNotice();

 private:
  const SessionKeeper& keeper_;
  std::string subject_;
};

/// A session with what can use it.
class Account {
 public:
  /// Of a stored session, whichever kind it is. With `counts_as_absent` a profile's file that can't
  /// be read is no error: it is said, and the session used as if there were none. Nor is a client
  /// of one's own that can't be made any more; the keeper then is good for a logout alone.
  enum class BrokenFile { is_an_error, counts_as_absent };
  [[nodiscard]] static Result<Account> of(const Workspace& workspace, const Options& options,
                                          SessionSummary summary,
                                          BrokenFile broken = BrokenFile::is_an_error);

  [[nodiscard]] const SessionSummary& summary() const noexcept { return summary_; }
  [[nodiscard]] const std::string& subject() const noexcept { return summary_.subject; }
  [[nodiscard]] SessionKeeper& keeper() const noexcept;
  /// Null for a profile, and for a client that can't be made any more.
  [[nodiscard]] const AtprotoClient* atproto() const noexcept {
    return atproto_ ? &*atproto_ : nullptr;
  }
  /// Empty for an AT Protocol account, and if the file is gone or configures another session.
  [[nodiscard]] const std::optional<Profile>& profile() const noexcept { return profile_; }
  /// From now on the end of the program says what it waits for.
  void give_notice();

 private:
  Account() = default;
  SessionSummary summary_;
  std::optional<Profile> profile_;
  std::optional<AtprotoClient> atproto_;
  std::shared_ptr<SessionKeeper> keeper_;  // where there is no atproto_
  std::unique_ptr<WaitNotice> notice_;
};

/// What choose_account chose. Errors: its own, and those of opening everything.
[[nodiscard]] Result<Account> open_account(const Options& options);
/// The same for what only the AT Protocol has. Error besides: invalid_argument,
/// "cli.not_atproto".
[[nodiscard]] Result<Account> open_atproto_account(const Options& options);

/// Reports a failure of a command that used the account. If its session was renewed and could not
/// be saved, the disk is given a minute first: the program would take the only good token with it.
[[nodiscard]] Exit report(const Account& account, const Error& error, Format format);

}  // namespace latchkey::cli
