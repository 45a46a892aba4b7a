// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
export module latchkey.oidc.jwks_cache;
import latchkey.core.error;
import latchkey.core.time;
import latchkey.core.url;
import latchkey.http;
import latchkey.oidc.jwks;

// The provider's keys, kept for as long as it allows, so that a login does not wait for them, a
// change of keys is noticed, and nobody can make us ask again and again.

export namespace latchkey {

/// How long a set is fresh: what its answer says, within these bounds.
inline constexpr std::chrono::minutes kMinJwksLifetime{5};
inline constexpr std::chrono::hours kMaxJwksLifetime{24};
/// If the answer does not say.
inline constexpr std::chrono::minutes kJwksLifetime{10};
/// How long after that it is still used while the server gives no better one.
inline constexpr std::chrono::hours kMaxJwksStaleness{24};
/// Between two fetches because a token's key was not there, and after one that failed.
inline constexpr std::chrono::seconds kJwksRefetchInterval{60};

/// Thread-safe. At most one fetch at a time; who has keys that will do does not wait for it.
class JwksCache {
 public:
  JwksCache(std::shared_ptr<HttpTransport> transport, std::shared_ptr<Clock> clock, Url jwks_uri);

  /// The keys to use now. Fetches them when there are none, or they are no longer fresh. Old ones
  /// will do for kMaxJwksStaleness: while another thread fetches, and when that failed, which is
  /// not tried again within kJwksRefetchInterval. Errors: those of HttpTransport and
  /// process_jwks_response; cancelled, "jwks.cancelled".
  [[nodiscard]] Result<std::shared_ptr<const JwkSet>> current(std::stop_token stop);

  /// Others than `seen`, where a token's key was not, or another by its name. Fetches, but not for
  /// this reason twice within kJwksRefetchInterval. Null if there are no others to be had.
  [[nodiscard]] std::shared_ptr<const JwkSet> other_than(const std::shared_ptr<const JwkSet>& seen,
                                                         std::stop_token stop);

 private:
  using Instant = std::chrono::steady_clock::time_point;
  using Lock = std::unique_lock<std::mutex>;
  using Keys = std::shared_ptr<const JwkSet>;
  struct Answer {
    Keys keys;
    Duration lifetime;
  };

  [[nodiscard]] Result<Answer> ask(const std::stop_token& stop) const;
  [[nodiscard]] Result<void> fetch(Lock& lock, const std::stop_token& stop);
  [[nodiscard]] bool wait_for_fetch(Lock& lock, const std::stop_token& stop);

  const std::shared_ptr<HttpTransport> transport_;
  const std::shared_ptr<Clock> clock_;
  const Url jwks_uri_;

  std::mutex mutex_;
  std::condition_variable_any landed_;
  bool fetching_ = false;
  std::uint64_t fetches_ = 0;     // that were not cancelled
  Keys keys_;                     // null: none yet
  Instant fresh_until_{};         // keys_
  std::optional<Error> error_{};  // of the last fetch, if it failed
  Instant failed_at_{};
  std::optional<Instant> asked_for_others_{};  // the last fetch by other_than
};

/// How long an answer may be kept (RFC 9111 §4.2.1, §5.2.2), within the bounds above.
[[nodiscard]] Duration jwks_lifetime(const HttpResponse& response);

}  // namespace latchkey
