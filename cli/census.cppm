// SPDX-License-Identifier: MIT
module;
#include <cstddef>
#include <map>
#include <string>
#include <utility>
#include <vector>
export module latchkey.cli.census;
import latchkey.core.error;
import latchkey.core.time;
import latchkey.session;
import latchkey.store;

// Who is in a store, by numbers. Reads page by page, and keeps nothing of a session.

export namespace latchkey::cli {

/// Counts of names, however many there are: beyond kMaxNames only those that are known by then go
/// on being told apart.
class NameCounts {
 public:
  static constexpr std::size_t kMaxNames = 10'000;
  void add(const std::string& name);
  /// The most frequent, most first; of equals in order of their names.
  [[nodiscard]] std::vector<std::pair<std::string, std::size_t>> top(std::size_t count) const;
  [[nodiscard]] std::size_t others() const noexcept { return others_; }

 private:
  std::map<std::string, std::size_t> counts_;
  std::size_t others_ = 0;
};

struct Census {
  std::size_t sessions = 0;  ///< all that follow, and the unreadable
  std::size_t active = 0, dead = 0, revoking = 0;
  std::size_t moving = 0;         ///< of the dead: on their way to another store
  std::size_t expired = 0;        ///< of the active: a refresh is due
  std::size_t login_expired = 0;  ///< of the active: the refresh token has expired too
  std::size_t unreadable = 0;
  NameCounts issuers, clients;
};

/// By what lists say, which is not authenticated. Errors: those of OAuthTokenStore::list.
[[nodiscard]] Result<Census> take_census(OAuthTokenStore& store, TimePoint now);

}  // namespace latchkey::cli
