// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
export module latchkey.sandbox.pds;
import latchkey.core.crypto;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.json;
import latchkey.core.time;
import latchkey.sandbox.accounts;
import latchkey.sandbox.app_sessions;
import latchkey.sandbox.blobs;
import latchkey.sandbox.message;
import latchkey.sandbox.permissions;
import latchkey.sandbox.proofs;
import latchkey.sandbox.repo;
import latchkey.sandbox.storage;
import latchkey.sandbox.tokens;

// The PDS: its well-known documents, and XRPC on identities and repositories.

export namespace latchkey::sandbox {

struct PdsOptions {
  std::string origin;
  std::string issuer;
  std::chrono::milliseconds nonce_rotation{60'000};
};

/// Not thread-safe. Holds what it is given by reference.
class Pds {
 public:
  Pds(PdsOptions options, std::shared_ptr<Clock> clock, Random& random, Accounts& accounts,
      TokenLedger& ledger);
  /// Reads what is kept, and keeps everything from now on. Errors: those of Repositories and Blobs.
  [[nodiscard]] Result<void> restore(Storage& storage);
  [[nodiscard]] Response handle(const Request& request);
  /// use_dpop_nonce with a nonce that is not good.
  [[nodiscard]] Response ask_for_bad_nonce();
  void set_nonce_rotation(std::chrono::milliseconds rotation) {
    proofs_.set_nonce_rotation(rotation);
  }
  [[nodiscard]] AppSessions& app_sessions() noexcept { return app_sessions_; }
  [[nodiscard]] const Repositories& repositories() const noexcept { return repositories_; }

 private:
  /// The grant behind the request, of OAuth or of an app password; nothing without authorization.
  /// Errors: refusals, 400 and 401.
  [[nodiscard]] Result<std::optional<Grant>> authenticate(const Request& request);
  [[nodiscard]] Response xrpc(const Request& request);
  [[nodiscard]] Result<Response> query(std::string_view nsid, const FormFields& fields,
                                       const std::optional<Grant>& grant);
  [[nodiscard]] Result<Response> procedure(std::string_view nsid, const Request& request,
                                           const std::optional<Grant>& grant);
  [[nodiscard]] Response get_session(const Grant& grant);
  [[nodiscard]] Result<const Account*> repo_of(const FormFields& fields);
  /// The account's repository, if the token is for it.
  [[nodiscard]] Result<const Account*> own_repo(std::string_view repo, const Grant& grant);
  [[nodiscard]] Result<Response> write_record(const Request& request, const Grant& grant,
                                              RepoAction action);
  [[nodiscard]] Result<Response> apply_writes(const Request& request, const Grant& grant);
  [[nodiscard]] Result<Response> upload_blob(const Request& request, const Grant& grant);
  [[nodiscard]] Result<void> check_blobs(const RecordWrite& write) const;
  [[nodiscard]] Result<Response> get_blob(const FormFields& fields);
  [[nodiscard]] Result<Response> list_blobs(const FormFields& fields);
  [[nodiscard]] Result<Response> resolve_handle(const FormFields& fields);
  [[nodiscard]] Result<Response> describe_repo(const FormFields& fields);
  [[nodiscard]] Result<Response> get_record(const FormFields& fields);
  [[nodiscard]] Result<Response> list_records(const FormFields& fields);
  [[nodiscard]] Result<Response> delete_record(const RecordWrite& write);

  PdsOptions options_;
  Accounts& accounts_;
  TokenLedger& ledger_;
  Repositories repositories_;
  Blobs blobs_;
  ProofGate proofs_;
  AppSessions app_sessions_;
};

}  // namespace latchkey::sandbox
