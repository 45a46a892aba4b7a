// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>
export module latchkey.test.device_world;
import latchkey.core;
import latchkey.flows.device;
import latchkey.http;
import latchkey.refresh.context;
import latchkey.refresh.keeper;
import latchkey.session;
import latchkey.store;
import latchkey.store.vault;
import latchkey.test.scripted_transport;

// A server with a device grant that answers as it is told to, a store, and a clock that only goes
// on when somebody waits.

export namespace latchkey::test {

inline constexpr TimePoint kStart{std::chrono::milliseconds{1'790'000'000'000}};
inline constexpr std::string_view kProfile = "work";

struct DeviceWorld {
  /// Over a memory store, or over the store given.
  explicit DeviceWorld(std::shared_ptr<OAuthTokenStore> kept = nullptr,
                       std::shared_ptr<KeyVault> keys = nullptr, TimePoint now = kStart);

  // What the server answers next, one after the other.
  DeviceWorld& then(Result<HttpResponse> answer);
  DeviceWorld& then(int status, std::string_view body, HeaderList headers = {});
  /// The codes, good for `lifetime`; no interval if it is empty.
  DeviceWorld& then_codes(std::chrono::seconds lifetime = std::chrono::seconds{600},
                          std::optional<int> interval = 5);
  DeviceWorld& then_error(std::string_view error, int status = 400);
  DeviceWorld& then_pending() { return then_error("authorization_pending"); }
  /// Access token "at-1", refresh token "rt-1".
  DeviceWorld& then_tokens(std::string_view token_type = "Bearer");
  /// No answer.
  DeviceWorld& then_broken(ErrorCode code, Delivery delivery);

  [[nodiscard]] DeviceFlow flow() const { return DeviceFlow::create(options).value(); }
  [[nodiscard]] PendingDeviceLogin begun() const { return flow().begin().value(); }
  /// From the beginning to the end.
  [[nodiscard]] Result<std::shared_ptr<const OAuthSession>> log_in(
      const DevicePollOptions& waiting = {}) const;

  /// When each poll arrived, in seconds since kStart.
  [[nodiscard]] std::vector<double> poll_times() const;
  [[nodiscard]] double seconds_passed() const;
  /// The tokens that were revoked.
  [[nodiscard]] std::vector<std::string> revoked() const;
  /// Pending logins and keys that are there.
  [[nodiscard]] std::size_t pending_count() const;
  [[nodiscard]] std::size_t key_count() const;
  [[nodiscard]] bool nothing_is_left() const { return pending_count() == 0 && key_count() == 0; }
  [[nodiscard]] std::optional<OAuthSession> stored() const;

  std::shared_ptr<ManualClock> clock;
  std::shared_ptr<KeyVault> vault;
  std::shared_ptr<OAuthTokenStore> store;
  std::shared_ptr<ScriptedTransport> server;
  std::shared_ptr<std::vector<double>> times = std::make_shared<std::vector<double>>();
  DeviceFlowOptions options;
};

}  // namespace latchkey::test
