// SPDX-License-Identifier: MIT
module;
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
export module latchkey.strategy.renewal;
import latchkey.core.crypto;
import latchkey.core.error;
import latchkey.core.time;
import latchkey.refresh.classify;
import latchkey.session;
import latchkey.strategy;
import latchkey.strategy.single_flight;
import latchkey.strategy.token_store;

// Tokens that a program obtains anew when they end: by its own credentials, an access key, an app
// password. However many callers there are, one request is under way, and each of them either has a
// good token at once or waits for that request. For building strategies.

export namespace latchkey {

/// Obtains a token. `held` is the last one there was, with its refresh token if it has one, or
/// null; it may have ended. Called on a thread of its own, never twice at once. The revision is not
/// drawn here. Expiry counted from before the request was sent.
using TokenSource = std::function<Result<OAuthSession>(const OAuthSession* held, std::stop_token)>;

struct RenewalOptions {
  std::string purpose;  ///< in messages: "cannot <purpose>", e.g. "exchange the access key"
  TokenSource source;
  /// Is what the store has from these credentials? What is not is neither used nor given to
  /// `source`, but replaced. Null: everything is.
  std::function<bool(const OAuthSession&)> is_ours{};
  std::shared_ptr<TokenStore> store{};  ///< null: NoStore
  std::shared_ptr<Clock> clock{};       ///< null: the machine's
  std::shared_ptr<Random> random{};     ///< null: the system's
  /// Told of what went wrong without an effect on callers: a token that could not be kept, and can
  /// be had again. Called on the renewing thread.
  std::function<void(const Error&)> on_warning{};
};

/// Thread-safe. The destructor asks a request that is under way to stop, waits for it, and tries to
/// save once more what is unsaved.
class TokenRenewal {
 public:
  explicit TokenRenewal(RenewalOptions options);
  TokenRenewal(const TokenRenewal&) = delete;
  TokenRenewal& operator=(const TokenRenewal&) = delete;
  ~TokenRenewal();

  /// A token that is good now. Before the soft limit of refresh_window it is handed out; between
  /// the limits too, and a renewal begins in the background; past the hard one all wait for it, and
  /// have the old token if it fails while that is still good. Without an expiry a token is good
  /// until `rejected`; then another one is obtained, and handed out even if it is the same. A
  /// caller who gives up only stops waiting.
  /// Errors: what the source and the store say, to all who waited; backing_off
  /// ("strategy.backing_off"), timeout, cancelled as of SingleFlight; token_invalid,
  /// "renewal.expired" (the new token has ended already) or "renewal.expires_at" (it is said to be
  /// good for more than 366 days); invalid_response, "renewal.no_token"; session_not_durable,
  /// "renewal.not_durable" (a token with a refresh token is not handed out before it is saved).
  [[nodiscard]] Result<std::shared_ptr<const OAuthSession>> get(const TokenOptions& options = {});
  /// True while a token is being obtained.
  [[nodiscard]] bool under_way() const { return flight_.under_way(); }

 private:
  using SharedSession = std::shared_ptr<const OAuthSession>;
  struct Unsaved {
    OAuthSession session;
    Revision expected;
  };
  [[nodiscard]] Due due(const std::string& rejected, SharedSession& held);
  [[nodiscard]] Result<void> renew(std::stop_token stop);
  [[nodiscard]] bool is_of_use(const std::optional<OAuthSession>& stored) const;
  [[nodiscard]] bool adopt(OAuthSession& stored);
  [[nodiscard]] Result<void> check(const OAuthSession& session) const;
  [[nodiscard]] Result<void> keep(OAuthSession session, Revision expected);
  void install(OAuthSession session);

  const RenewalOptions options_;
  const std::uint64_t jitter_;
  mutable std::mutex mutex_;
  SharedSession held_;              // guarded by mutex_, as are the next three
  std::string fingerprint_;         // of held_
  RefreshWindow window_;            // of held_
  std::string refused_;             // fingerprint of the last token that a server refused
  std::optional<Unsaved> unsaved_;  // only touched by renew(), and at the end
  SingleFlight flight_;             // last: its thread uses the rest
};

}  // namespace latchkey
