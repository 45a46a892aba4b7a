// SPDX-License-Identifier: MIT
module;
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
export module latchkey.strategy.token_store;
import latchkey.core.error;
import latchkey.core.os.locks;
import latchkey.core.secret;
import latchkey.session;
import latchkey.store;

// Where one token that a program obtains for itself is kept between runs: nowhere, in a session
// store (sealed, shared by processes), or wherever two functions put it.

export namespace latchkey {

/// Implementations are thread-safe.
class TokenStore {
 public:
  TokenStore() = default;
  TokenStore(const TokenStore&) = delete;
  TokenStore& operator=(const TokenStore&) = delete;
  virtual ~TokenStore();

  /// The token as it was saved, or empty. What cannot be read is an error and never empty: it may
  /// be good, and is not to be written over.
  [[nodiscard]] virtual Result<std::optional<OAuthSession>> load() = 0;
  /// Replaces what has the revision `expected`; durable when it returns. Stores that only one
  /// process uses need not look at it. Error: conflict if somebody else saved first.
  [[nodiscard]] virtual Result<void> save(const OAuthSession& session, Revision expected) = 0;
  /// The exclusive right to renew the token, across processes; null if the store needs none. Errors
  /// as of OAuthTokenStore::lease.
  [[nodiscard]] virtual Result<std::unique_ptr<Lease>> lease(const LockWait& wait);
};

/// Keeps nothing: each run obtains a token of its own.
class NoStore final : public TokenStore {
 public:
  [[nodiscard]] Result<std::optional<OAuthSession>> load() override { return std::nullopt; }
  [[nodiscard]] Result<void> save(const OAuthSession&, Revision) override { return {}; }
};

/// Two functions that keep text, the JSON form of latchkey.session.json. It has the tokens in it:
/// where it goes is the program's business. For one process at a time; the functions are called one
/// after the other.
class TokenStoreFn final : public TokenStore {
 public:
  using Load = std::function<Result<std::optional<SecretString>>()>;
  using Save = std::function<Result<void>(const SecretString&)>;
  TokenStoreFn(Load load, Save save) : load_(std::move(load)), save_(std::move(save)) {}
  /// Errors also: those of session_from_json.
  [[nodiscard]] Result<std::optional<OAuthSession>> load() override;
  /// Errors also: those of session_to_json.
  [[nodiscard]] Result<void> save(const OAuthSession& session, Revision expected) override;

 private:
  const Load load_;
  const Save save_;
};

/// One session of an OAuthTokenStore, under a subject of the caller's choice (such as a profile's
/// name): sealed at rest, renewed by one process at a time.
class SessionTokenStore final : public TokenStore {
 public:
  SessionTokenStore(std::shared_ptr<OAuthTokenStore> store, std::string subject)
      : store_(std::move(store)), subject_(std::move(subject)) {}
  [[nodiscard]] Result<std::optional<OAuthSession>> load() override;
  [[nodiscard]] Result<void> save(const OAuthSession& session, Revision expected) override;
  [[nodiscard]] Result<std::unique_ptr<Lease>> lease(const LockWait& wait) override;

 private:
  const std::shared_ptr<OAuthTokenStore> store_;
  const std::string subject_;
};

}  // namespace latchkey
