// SPDX-License-Identifier: MIT
module;
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
export module latchkey.test.failure_rig;
import latchkey.atproto.client;
import latchkey.core;
import latchkey.sandbox;
import latchkey.session;
import latchkey.store;
import latchkey.test.refresh_world;
import latchkey.test.sandbox_world;

// One row of docs/failures.md: a session that is due, something that goes wrong, and what everybody
// saw of it.

export namespace latchkey::test {

/// A logged-in session whose access token is over, and a client whose every step can be made to
/// fail, on this side and at the sandbox.
class FailureRig {
 public:
  FailureRig();
  FailureRig(const FailureRig&) = delete;
  FailureRig& operator=(const FailureRig&) = delete;
  ~FailureRig();

  SandboxWorld world{};
  std::shared_ptr<WatchedStore> store;
  std::optional<AtprotoClient> client;
  std::unique_ptr<Lease> lease;  ///< held until heal()
  std::string did;

  /// The store's `call` fails from its n-th time on (1: the next), until heal().
  void fail(std::string_view call, Error error, int nth = 1);
  /// Done once, before the store's `call` is carried out for the n-th time.
  void before(std::string_view call, std::function<void()> act, int nth = 1);
  /// The stored session, as somebody else changes it; under a new revision.
  void change_stored(const std::function<void(OAuthSession&)>& change);
  /// A second login of the same account, which is stored nowhere yet.
  [[nodiscard]] OAuthSession other_login();
  void store_instead(OAuthSession session);

  /// "old token", "new token" (and the PDS takes it), "their token" (of other_login), or the
  /// error's code and detail.
  [[nodiscard]] std::string call();
  /// The token and revocation requests that reached the server since the last time: status, why it
  /// was refused, and what the script did to the answer.
  [[nodiscard]] std::string seen();
  /// All faults end; the clock goes past every back-off.
  void heal();

 private:
  std::string old_token_, their_token_;
  std::uint64_t revisions_ = 0;
};

}  // namespace latchkey::test
