// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
export module latchkey.atproto.identity_cache;
import latchkey.core.error;
import latchkey.core.time;

// What identity lookups came to, for a while: for showing names and for repeated questions. Never
// for a decision about who may log in or refresh (C2.7): those ask anew.

export namespace latchkey {

/// An account, with handle and DID checked in both directions.
struct Identity {
  std::string did;
  std::string handle;  ///< "handle.invalid" if the DID document's handle does not point back
  std::string pds;     ///< origin
};

/// The handle of an account that has none which points back (C2.9).
inline constexpr std::string_view kInvalidHandle = "handle.invalid";

struct IdentityCacheOptions {
  Duration lifetime = std::chrono::minutes{10};
  /// Of what may be mended soon: not found, mismatch, and an invalid handle.
  Duration negative_lifetime = std::chrono::minutes{1};
  std::size_t max_entries = 1000;
};

/// Answers by name (a handle in lower case, or a DID). Thread-safe.
class IdentityCache {
 public:
  using Look = std::function<Result<Identity>(std::stop_token)>;
  IdentityCache(std::shared_ptr<Clock> clock, IdentityCacheOptions options)
      : clock_(std::move(clock)), options_(options) {}

  /// The answer that is there, or what `look` says, which is then kept if it is definite: an
  /// identity, identity_not_found or identity_mismatch. Of several callers who want the same name
  /// at once one looks, on its own thread, and the others wait for what it finds; when it is
  /// stopped, the next one looks. Error: cancelled, "identity.cancelled" for a caller that waits;
  /// else those of `look`.
  [[nodiscard]] Result<Identity> get(const std::string& name, const Look& look,
                                     std::stop_token stop = {});
  /// Keeps an answer that was found without the cache, in place of an older one.
  void put(const std::string& name, const Result<Identity>& answer);
  /// How many answers are kept, outdated ones included: never more than max_entries.
  [[nodiscard]] std::size_t size() const;

 private:
  using Time = std::chrono::steady_clock::time_point;
  struct Entry {
    Result<Identity> answer;
    Time until;
  };
  struct Flight {
    std::optional<Result<Identity>> answer;  ///< empty: under way, or given up
    bool landed = false;
  };
  class Landing;
  [[nodiscard]] std::optional<Result<Identity>> find(const std::string& name);
  [[nodiscard]] std::optional<Duration> lifetime_of(const Result<Identity>& answer) const;
  void keep(const std::string& name, const Result<Identity>& answer);

  std::shared_ptr<Clock> clock_;
  IdentityCacheOptions options_;
  mutable std::mutex mutex_;
  std::condition_variable_any changed_;
  std::map<std::string, Entry> entries_;
  std::map<std::string, std::shared_ptr<Flight>> flights_;
};

}  // namespace latchkey
