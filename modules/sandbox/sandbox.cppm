// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>
export module latchkey.sandbox;
export import latchkey.sandbox.accounts;
export import latchkey.sandbox.clients;
export import latchkey.sandbox.faults;
export import latchkey.sandbox.message;
export import latchkey.sandbox.recorder;
export import latchkey.sandbox.tokens;
import latchkey.core.crypto;
import latchkey.core.error;
import latchkey.core.time;

// A PLC directory, an authorization server and a PDS in one process, on loopback, in memory or a
// file: strict about every rule that a client can break, and scripted to fail where a test wants
// it. For development and tests only: its accounts and tokens open nothing else, and are plain
// text.

export namespace latchkey::sandbox {

struct SandboxOptions {
  /// The PDS's port; the authorization server has the next one and the PLC directory the one after.
  /// 0: any free ones.
  std::uint16_t port = 0;
  TokenLifetimes lifetimes{};
  std::chrono::milliseconds nonce_rotation{60'000};
  std::shared_ptr<Clock> clock{};
  std::shared_ptr<Random> random{};
  /// Where accounts, sessions, repositories, blobs and signing keys are kept, 0600, between one run
  /// and the next; empty: in memory. Registered clients, logins and devices that are under way,
  /// nonces, faults and what was recorded are not kept. Clients stay logged in if the port is the
  /// same and they are registered again.
  std::filesystem::path data{};
  /// Also keep what the requests carried: tokens, codes and passwords among it.
  bool record_contents = false;
};

/// Thread-safe. All three servers listen on 127.0.0.1 and are called http://localhost:PORT.
class Sandbox {
 public:
  /// Errors: io, "sandbox.bind"; invalid_argument, "sandbox.port"; with `data` those of Storage,
  /// and corrupt, "account.…", "session.…", "repository.…", "signing_key.…".
  [[nodiscard]] static Result<std::unique_ptr<Sandbox>> start(SandboxOptions options = {});
  Sandbox(const Sandbox&) = delete;
  Sandbox& operator=(const Sandbox&) = delete;
  /// Closes every connection.
  ~Sandbox();

  [[nodiscard]] const std::string& pds() const noexcept;
  [[nodiscard]] const std::string& issuer() const noexcept;
  [[nodiscard]] const std::string& plc() const noexcept;

  /// An empty password or DID is drawn. Errors: invalid_argument, "sandbox.handle", "sandbox.did";
  /// conflict, "sandbox.account_exists".
  [[nodiscard]] Result<Account> add_account(std::string_view handle, std::string_view password = {},
                                            bool auto_approve = false, std::string_view did = {});
  /// False if there is no such account.
  bool set_auto_approve(std::string_view handle_or_did, bool auto_approve);
  [[nodiscard]] std::vector<Account> accounts() const;
  /// The account is at another PDS from now on: the directory says so, its sessions here end, and
  /// nobody signs in to it here. `pds`: an origin, such as that of another sandbox that has an
  /// account with this DID; empty or our own: back here. Errors: invalid_argument,
  /// "sandbox.account"; invalid_url.
  [[nodiscard]] Result<void> move_account(std::string_view handle_or_did, std::string_view pds);
  /// Errors: invalid_argument, "sandbox.account", "sandbox.handle"; conflict,
  /// "sandbox.account_exists".
  [[nodiscard]] Result<void> change_handle(std::string_view handle_or_did, std::string_view handle);

  /// Registers a client, or changes its metadata document. Loopback clients of the ATProto profile
  /// need none. Errors as of parse_client.
  [[nodiscard]] Result<void> add_client(const RegisteredClient& client);
  /// Says yes to the device that shows `user_code`. False if there is no such code or account, or
  /// if the account has moved.
  bool approve_device(std::string_view user_code, std::string_view handle_or_did);
  /// Says no. False if there is no such code.
  bool deny_device(std::string_view user_code);
  /// New keys sign id tokens from now on; the old ones stay in the JWKS for `keep_old`. Zero: they
  /// are gone at once.
  void rotate_signing_keys(std::chrono::seconds keep_old = std::chrono::hours{1});

  void inject(Fault fault);
  void clear_faults();
  [[nodiscard]] std::size_t faults_left() const;
  /// Those that have not happened yet, each with what is left of it.
  [[nodiscard]] std::vector<Fault> faults() const;
  /// Sends the answers that a fault holds.
  void release();
  /// Closes kept connections on which no request is under way.
  void close_idle();

  /// What the servers' clock is ahead of the one given, `Date` included.
  void set_clock_skew(std::chrono::milliseconds ahead);
  /// Of app passwords' sessions too.
  void set_access_lifetime(std::chrono::seconds lifetime);
  /// A new app password, not kept in the file. Error: invalid_argument, "sandbox.account".
  [[nodiscard]] Result<std::string> add_app_password(std::string_view handle_or_did);
  /// All of the account's app passwords are over, and the sessions begun with them.
  void revoke_app_passwords(std::string_view handle_or_did);
  /// Nonces given out before are no longer good.
  void set_nonce_rotation(std::chrono::milliseconds rotation);
  /// Access tokens issued so far are no longer good; refresh tokens are.
  void expire_access_tokens();
  /// Ends an account's sessions; gives how many there were.
  unsigned end_sessions(std::string_view handle_or_did);
  /// Sessions of an account that a refresh token still opens.
  [[nodiscard]] unsigned live_sessions(std::string_view handle_or_did) const;

  [[nodiscard]] TokenCounts counts() const;
  /// The last ten thousand, in the order in which they were answered.
  [[nodiscard]] std::vector<RecordedRequest> requests() const;
  /// They go on being numbered.
  void forget_requests();
  /// From now on codes, verifiers and tokens are remembered that pass.
  void capture_secrets();
  [[nodiscard]] std::vector<std::string> captured_secrets() const;
  /// The same, and forgets them: for who reads along and must not miss one.
  [[nodiscard]] std::vector<RecordedRequest> take_requests();

 private:
  struct Impl;
  explicit Sandbox(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace latchkey::sandbox
