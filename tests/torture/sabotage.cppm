// SPDX-License-Identifier: MIT
module;
#include <array>
#include <memory>
#include <optional>
#include <string_view>
export module latchkey.test.torture_sabotage;
import latchkey.store;

// Stores that break one of the promises by which no session is lost. A torture run over one of them
// must report losses: that proves that it can.

export namespace latchkey::test {

enum class Sabotage {
  none,
  lease,  ///< everybody gets the lease at once (and, for files, no room: that belongs to the lease)
  handout,  ///< a save is reported as done, and done a little later
  reread,   ///< under the lease the record is what it was before the lease was asked for
  room,     ///< no room is made for the coming save
  check,    ///< the lease is not checked before the request
  compare,  ///< a save goes over whatever record is there
};
inline constexpr std::array kSabotages{Sabotage::lease, Sabotage::handout, Sabotage::reread,
                                       Sabotage::room,  Sabotage::check,   Sabotage::compare};
/// Those by which a session is lost where leases expire. The claim's own statement sees an old
/// revision there, so that `reread` costs nothing, nor does `room`: the disk is the database's.
inline constexpr std::array kExpiringSabotages{Sabotage::lease, Sabotage::handout, Sabotage::check,
                                               Sabotage::compare};
[[nodiscard]] std::string_view to_string(Sabotage sabotage) noexcept;
[[nodiscard]] std::optional<Sabotage> sabotage_from(std::string_view name) noexcept;

/// The store itself for Sabotage::none.
[[nodiscard]] std::shared_ptr<OAuthTokenStore> sabotaged(Sabotage sabotage,
                                                         std::shared_ptr<OAuthTokenStore> store);

}  // namespace latchkey::test
