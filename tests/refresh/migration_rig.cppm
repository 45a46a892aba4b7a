// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
export module latchkey.test.migration_rig;
import latchkey.core;
import latchkey.refresh.migration;
import latchkey.session;
import latchkey.store;
import latchkey.test.folder;

// Two places of any kind, with steps between them that can be watched, failed or died at.

export namespace latchkey::test {

/// Told "before:PLACE.CALL" and "after:PLACE.CALL" of each call that a move consists of. An error
/// fails the call: before it was carried out, or in spite of that.
using AtStep = std::function<std::optional<Error>(const std::string& step)>;

/// `kind`: "memory" (`folder` is not used), "file" or "sqlite". Throws latchkey::Exception.
[[nodiscard]] MigrationPlace open_place(std::string_view kind, const std::filesystem::path& folder);
/// The same place, with a step around each call; `name` is what PLACE is.
[[nodiscard]] MigrationPlace stepped(const MigrationPlace& place, std::string name, AtStep at);

inline constexpr std::string_view kMoved = "did:plc:ewvi7nxzyoun6zhxrhs64oiz";
inline constexpr TimePoint kPlantedAt{std::chrono::milliseconds{1'790'000'000'000}};

/// Saves an active session with every member set, tokens that name its subject, and a key of its
/// own in the vault. Throws latchkey::Exception.
OAuthSession plant(const MigrationPlace& place, std::string_view subject = kMoved,
                   const std::function<void(OAuthSession&)>& change = {});
/// What lies there: "absent", or state, access token and number of the login; or the error.
[[nodiscard]] std::string found(const MigrationPlace& place, std::string_view subject = kMoved);
/// The session could be used and renewed there.
[[nodiscard]] bool is_usable(const MigrationPlace& place, std::string_view subject = kMoved);
/// Its tokens are there, usable now or not.
[[nodiscard]] bool has_tokens(const MigrationPlace& place, std::string_view subject = kMoved);

/// Options with a clock that stands at kPlantedAt, and waits that end at once.
[[nodiscard]] MigrationOptions at_once();

/// An empty place of each kind, memory unless said otherwise, gone with it.
struct MigrationPlaces {
  explicit MigrationPlaces(std::string_view from = "memory", std::string_view to = "memory");

  TemporaryFolder folder;  ///< "source" and "target" are in it
  MigrationPlace source, target;

  /// Throws latchkey::Exception.
  [[nodiscard]] MigrationReport migrate(const MigrationOptions& options = at_once()) const;
  /// Why the only one was left.
  [[nodiscard]] std::string left(const MigrationOptions& options = at_once()) const;
};

}  // namespace latchkey::test
