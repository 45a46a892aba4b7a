// SPDX-License-Identifier: MIT
module;
#include <string>
#include <string_view>
#include <vector>
export module latchkey.sandbox.accounts;
import latchkey.core.crypto;
import latchkey.core.error;
import latchkey.sandbox.storage;

// The people of a sandbox.

export namespace latchkey::sandbox {

struct Account {
  std::string handle;
  std::string did;
  std::string password;
  bool auto_approve = false;  ///< the authorization page says yes without asking anybody
  std::string moved_to{};     ///< the origin of the PDS where it is now; empty: it is here
  /// Its address, at which nobody reads.
  [[nodiscard]] std::string email() const { return "owner@" + handle; }
};

/// Not thread-safe.
class Accounts {
 public:
  explicit Accounts(Random& random) : random_(random) {}
  /// Reads what is kept, and keeps everything from now on. Errors: those of Storage; corrupt,
  /// "account.…".
  [[nodiscard]] Result<void> restore(Storage& storage);

  /// An empty password or DID is drawn. Errors: invalid_argument, "sandbox.handle", "sandbox.did";
  /// conflict, "sandbox.account_exists".
  [[nodiscard]] Result<Account> add(std::string_view handle, std::string_view password,
                                    bool auto_approve, std::string_view did = {});
  /// Those that have moved are found too.
  [[nodiscard]] const Account* find(std::string_view handle_or_did) const;
  /// Nothing if there is none, or if it has moved: its password is no good here.
  [[nodiscard]] const Account* find_here(std::string_view handle_or_did) const;
  [[nodiscard]] const std::vector<Account>& all() const noexcept { return accounts_; }

  // Errors: invalid_argument, "sandbox.account": there is none.

  [[nodiscard]] Result<void> set_auto_approve(std::string_view handle_or_did, bool auto_approve);
  /// `pds`: an origin; empty: back here.
  [[nodiscard]] Result<void> move(std::string_view handle_or_did, std::string_view pds);
  /// Errors also: invalid_argument, "sandbox.handle"; conflict, "sandbox.account_exists".
  [[nodiscard]] Result<void> rename(std::string_view handle_or_did, std::string_view handle);

 private:
  [[nodiscard]] Result<Account*> existing(std::string_view handle_or_did);
  [[nodiscard]] Result<std::string> free_handle(std::string_view text) const;
  void keep(const Account& account);

  Random& random_;
  Storage* storage_ = nullptr;  // null: in memory only
  std::vector<Account> accounts_;
};

}  // namespace latchkey::sandbox
