// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <string_view>
export module latchkey.flows.interaction;
import latchkey.core.error;
import latchkey.core.secret;
import latchkey.core.url;
import latchkey.http.trace;
import latchkey.loopback.browser;
import latchkey.loopback.pages;
import latchkey.loopback.receiver;

// Bringing a person to the authorization page and back: by a browser that ends at a receiver on
// this machine, or by an address that the person copies. What is logged in to is not known here.

export namespace latchkey {

/// How a person is brought to the authorization page and back.
struct LoginInteraction {
  std::string scope{};                         ///< empty: what the client declares
  std::chrono::milliseconds timeout{300'000};  ///< for the person
  std::stop_token stop{};
  bool open_browser = true;
  /// Told the URL before anything else happens with it.
  std::function<void(const Url&)> on_url{};
  /// Told when the browser could not be opened; the login waits on.
  std::function<void(const Error&)> on_browser_failure{};
  /// Told when a redirect came that belongs to no login of ours (a stale tab); the login waits on.
  std::function<void()> on_stray{};
  /// If set, nothing listens here: the person copies the URL on which the browser ended, and this
  /// returns it.
  std::function<Result<std::string>()> paste{};
  /// Told the redirect_uri once the receiver listens there, before on_url.
  std::function<void(const std::string& redirect_uri)> on_receiver{};
  /// Told when the person is back, before the tokens are fetched.
  std::function<void()> on_callback{};
};

/// Where a login takes place on this machine.
struct LoginPlace {
  std::shared_ptr<BrowserOpener> browser;
  ReceiverOptions receiver{};
  std::string application_name = "latchkey";  ///< shown on the result page
  std::string client_id{};                    ///< the same, for pages that want it
  ResultPages pages{};
  /// Where the browser ends when the address is pasted; empty: where the receiver would listen.
  std::string pasted_redirect{};
  std::shared_ptr<Tracer> tracer{};  ///< told of the login's steps; null: nobody
};

struct BegunLogin {
  Url url;            ///< for the browser
  std::string state;  ///< what the callback must carry
  /// What only the browser that began may hold, and must hold when it comes back; empty: the login
  /// is bound to none, as it comes back to this very program.
  SecretString browser_binding{};
};

/// The login itself. Each is called at most once, in this order; `finish` or `abandon`, not both.
struct LoginSteps {
  std::function<Result<BegunLogin>(const std::string& redirect_uri)> begin;
  /// Gives what the result page tells; application, client_id and redirect_uri are filled in here.
  std::function<Result<SuccessContext>(std::string_view query)> finish;
  std::function<void(std::string_view state)> abandon;
};

/// Binds the receiver, begins, shows the URL, waits, finishes, and only then answers the browser,
/// so that its page says what really happened. Errors: those of LoopbackReceiver::open and wait and
/// of the steps; of what was pasted: callback_invalid, "callback.pasted" (no URL with a query),
/// "callback.pasted_other" (of another login), and paste's own.
[[nodiscard]] Result<void> run_login(const LoginPlace& place, const LoginInteraction& interaction,
                                     const LoginSteps& steps);

}  // namespace latchkey
