// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <filesystem>
#include <functional>
#include <memory>
#include <stop_token>
#include <string>
export module latchkey.flows.device_identity;
import latchkey.core.crypto;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.os.files;
import latchkey.core.time;
import latchkey.http;
import latchkey.session;

// Which installation this is, for servers that keep a list of their users' devices: an id that is
// drawn once and stays, a name for people, and the step that ties a new session to the device. It
// identifies and proves nothing: possession is proven by the session's key.

export namespace latchkey {

struct DeviceIdentityOptions {
  /// For people, up to 128 bytes of UTF-8 without control characters; empty: the host's name.
  std::string label{};

  // Seams; the defaults are the real ones.
  std::shared_ptr<FileSystem> files{};
  std::shared_ptr<Clock> clock{};
  std::shared_ptr<Random> random{};
};

/// What a server calls the two in a form. A field without a name is not sent.
struct DeviceFieldNames {
  std::string id{};
  std::string label{};
};

enum class BindOutcome {
  bound,         ///< the server has just done so
  bound_before,  ///< as we remember, or as the server says (409)
};

struct BindOptions {
  std::chrono::milliseconds timeout{45'000};  ///< for another process that is binding just now
  std::stop_token stop{};
};

/// A handle to shared, constant state; copies may be used from several threads.
class DeviceIdentity {
 public:
  /// Sends the request that ties the session to the device. Any status is an answer.
  using Binder = std::function<Result<HttpResponse>(const OAuthSession&, const DeviceIdentity&,
                                                    std::stop_token)>;

  /// Reads the identity in `folder` (0700, made if it is not there), or draws one, durably; two
  /// processes that do so at once get the same. What is there and can't be read is never replaced.
  /// Errors: invalid_argument, "device_identity.label"; corrupt, "device_identity.malformed";
  /// schema_too_new, "device_identity.version"; insecure_location; io; locked.
  [[nodiscard]] static Result<DeviceIdentity> open(const std::filesystem::path& folder,
                                                   DeviceIdentityOptions options = {});

  /// 128 random bits, base64url.
  [[nodiscard]] const std::string& id() const noexcept;
  [[nodiscard]] const std::string& label() const noexcept;
  /// For DeviceFlowOptions::extra.
  [[nodiscard]] FormFields fields(const DeviceFieldNames& names) const;

  /// Ties `session` to this device, once: call it after a login, and again at every start. Once it
  /// has worked for the session's login, that is remembered in the folder, and `binder` is not
  /// called any more; until then each call tries again. 2xx and 409 mean that it has worked. The
  /// session stays whatever comes of it. Errors: resource_error, "device_identity.bind_refused"
  /// (another status); the binder's own; locked, cancelled; io.
  [[nodiscard]] Result<BindOutcome> bind(const OAuthSession& session, const Binder& binder,
                                         const BindOptions& options = {}) const;

 private:
  struct State;
  explicit DeviceIdentity(std::shared_ptr<const State> state);
  std::shared_ptr<const State> state_;
};

}  // namespace latchkey
