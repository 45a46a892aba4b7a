// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <optional>
#include <string>
#include <string_view>
export module latchkey.examples.web_backend.visitors;
import latchkey.core;

// Which browser is whose. The OAuth sessions are in the library's store; here is only the website's
// own session: a random id in a cookie stands for an account, also after a restart. Nothing that is
// kept has the ids in it, only their digests. Two places to keep them: visitors_file, for one
// process, and visitors_postgres.

export namespace web_backend {

struct Visitor {
  std::string did;
  std::string handle;  ///< for display
};

/// How long a browser is known.
inline constexpr std::chrono::hours kVisitLifetime{30 * 24};

/// Thread-safe. All throw std::exception if what is kept can't be read or written.
class Visitors {
 public:
  Visitors() = default;
  Visitors(const Visitors&) = delete;
  Visitors& operator=(const Visitors&) = delete;
  virtual ~Visitors();

  /// Gives the id of a new session.
  [[nodiscard]] latchkey::SecretString welcome(const Visitor& visitor);
  /// Empty if the id is unknown, or older than kVisitLifetime.
  [[nodiscard]] std::optional<Visitor> find(std::string_view id);
  /// Ends one session.
  void forget(std::string_view id);
  /// Ends all sessions of an account.
  virtual void forget_account(std::string_view did) = 0;
  /// Removes those that are too old.
  virtual void sweep() = 0;

 private:
  // By the digest of an id.
  virtual void add(const std::string& digest, const Visitor& visitor) = 0;
  [[nodiscard]] virtual std::optional<Visitor> look_up(const std::string& digest) = 0;
  virtual void remove(const std::string& digest) = 0;

  latchkey::SystemRandom random_;
};

}  // namespace web_backend
