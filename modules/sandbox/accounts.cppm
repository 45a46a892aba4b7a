// SPDX-License-Identifier: MIT
module;
#include <string>
#include <string_view>
#include <vector>
export module latchkey.sandbox.accounts;
import latchkey.core.crypto;
import latchkey.core.error;

// The people of a sandbox.

export namespace latchkey::sandbox {

struct Account {
  std::string handle;
  std::string did;
  std::string password;
  bool auto_approve = false;  ///< the authorization page says yes without asking anybody
  /// Its address, at which nobody reads.
  [[nodiscard]] std::string email() const { return "owner@" + handle; }
};

/// Not thread-safe.
class Accounts {
 public:
  explicit Accounts(Random& random) : random_(random) {}
  /// An empty password is drawn. Errors: invalid_argument, "sandbox.handle"; conflict,
  /// "sandbox.account_exists".
  [[nodiscard]] Result<Account> add(std::string_view handle, std::string_view password,
                                    bool auto_approve);
  [[nodiscard]] Account* find(std::string_view handle_or_did);
  [[nodiscard]] const std::vector<Account>& all() const noexcept { return accounts_; }

 private:
  Random& random_;
  std::vector<Account> accounts_;
};

}  // namespace latchkey::sandbox
