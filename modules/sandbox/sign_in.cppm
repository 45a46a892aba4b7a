// SPDX-License-Identifier: MIT
module;
#include <optional>
#include <string>
#include <string_view>
#include <utility>
export module latchkey.sandbox.sign_in;
import latchkey.core.crypto;
import latchkey.core.encoding;
import latchkey.sandbox.accounts;
import latchkey.sandbox.message;

// What every page with a form needs to know of the browser before it: that it is one and the same,
// that the form is ours, and who signs in.

export namespace latchkey::sandbox {

/// A page that waits for a person.
struct PageState {
  std::string browser{};     ///< cookie of the browser that opened it first; empty: none has
  std::string form_token{};  ///< in the page's form, so that no other page can send it
  unsigned failures = 0;     ///< wrong passwords
};

/// What the person said.
struct Decision {
  enum class Kind {
    allowed,
    denied,
    wrong_password,
    too_many_failures,
    foreign,  ///< not from our page, or not from the browser that we showed it
  } kind{};
  const Account* account = nullptr;  ///< who allowed it
};

/// Holds what it is given by reference. Not thread-safe.
class SignInDesk {
 public:
  SignInDesk(Random& random, Accounts& accounts, std::string issuer)
      : random_(random), accounts_(accounts), issuer_(std::move(issuer)) {}

  /// A page elsewhere must not be able to show ours in a frame.
  [[nodiscard]] static bool is_navigation(const Request& request);
  /// False for a second browser: somebody sent the address on, or stole it.
  [[nodiscard]] bool show(PageState& page, const Request& request);
  /// The header that makes the browser known again, below `path`.
  [[nodiscard]] static std::pair<std::string, std::string> cookie(const PageState& page,
                                                                  std::string_view path);
  /// The fields of a form that can be our own page's.
  [[nodiscard]] std::optional<FormFields> own_form(const Request& request) const;
  [[nodiscard]] Decision decide(PageState& page, const Request& request, const FormFields& form);

 private:
  Random& random_;
  Accounts& accounts_;
  std::string issuer_;
};

}  // namespace latchkey::sandbox
