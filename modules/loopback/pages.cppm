// SPDX-License-Identifier: MIT
module;
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>
export module latchkey.loopback.pages;
import latchkey.core.error;
import latchkey.core.time;
import latchkey.loopback.callback;

// The pages that a browser shows after a login: self-contained (no outside assets), light and dark,
// readable on a phone. Each can be replaced.

export namespace latchkey {

/// What is known about the person from an id token.
enum class IdentityCheck {
  none,         ///< there was no id token
  unvalidated,  ///< its signature was not checked
  validated,
};

/// What a success page can tell. All of it may be empty.
struct SuccessContext {
  std::string account{};      ///< who is logged in, in one word: a handle, an e-mail address
  std::string application{};  ///< who asked
  std::string subject{};
  std::string name{};
  std::string email{};
  bool email_verified = false;
  std::string picture{};  ///< a URL that the provider named; the default page fetches nothing
  IdentityCheck identity = IdentityCheck::none;
  std::vector<std::string> scopes{};        ///< as granted
  std::optional<Duration> expires_in{};     ///< of the access token, from now; absent: unknown
  std::optional<bool> has_refresh_token{};  ///< absent: not said
  std::string client_id{};
  std::string redirect_uri{};
};

/// What a failure page can tell.
struct FailureContext {
  Error error;
  std::string application{};
  std::string client_id{};
  std::string redirect_uri{};
};

/// The built-in page.
[[nodiscard]] std::string success_page(const SuccessContext& context);
/// The built-in page. Shows Error::message, and the names of code and detail.
[[nodiscard]] std::string failure_page(const FailureContext& context);
/// With nothing but these two. `account`: handle or subject; `application`: who asked.
[[nodiscard]] std::string success_page(std::string_view account, std::string_view application);
/// `problem`: a message for people; escaped here.
[[nodiscard]] std::string failure_page(std::string_view problem, std::string_view application);
/// For a callback that belongs to no login of ours (a stale tab).
[[nodiscard]] std::string stray_page();
/// & < > " ' as entities.
[[nodiscard]] std::string escape_html(std::string_view text);

/// Pages in place of the built-in ones: a function is asked first, then the fixed page is taken.
/// A function that throws, or gives no HTML, is passed over.
struct ResultPages {
  std::function<ResultPage(const SuccessContext&)> success{};
  std::function<ResultPage(const FailureContext&)> failure{};
  std::optional<ResultPage> fixed_success{};
  std::optional<ResultPage> fixed_failure{};
};

/// The page to show, by `pages`' order.
[[nodiscard]] ResultPage render_success(const ResultPages& pages, const SuccessContext& context);
[[nodiscard]] ResultPage render_failure(const ResultPages& pages, const FailureContext& context);

}  // namespace latchkey
