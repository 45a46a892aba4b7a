// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <optional>
#include <string>
#include <string_view>
export module latchkey.oauth.device;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.secret;
import latchkey.core.time;
import latchkey.http;
import latchkey.oauth.client_auth;
import latchkey.oauth.token;

// The device grant (RFC 8628), for machines without a browser: a code that the person types on
// another one, and a client that asks again and again whether they did. Pure functions; when to ask
// is decided here, the waiting is latchkey.flows.device.

export namespace latchkey {

/// What a device asks for (RFC 8628 §3.1).
struct DeviceRequest {
  std::string endpoint;  ///< device_authorization_endpoint
  std::string issuer;
  std::string client_auth_kid;
  std::string scope;
  /// Further fields, such as a name for the device; for servers that know them.
  FormFields extra{};
};

/// What the server gives for it (RFC 8628 §3.2).
struct DeviceAuthorization {
  SecretString device_code;
  std::string user_code;
  std::string verification_uri;
  std::string verification_uri_complete;  ///< has the user code in it; empty: there is none
  std::chrono::seconds expires_in{};
  std::chrono::seconds interval{};
};

/// Fields that a request sets itself may not be among the extra ones, and none twice. Errors:
/// invalid_argument, "device.no_endpoint", "device.reserved_field", "device.duplicate_field"; those
/// of parse_endpoint(), step "device".
[[nodiscard]] Result<HttpRequest> build_device_request(const DeviceRequest& request,
                                                       ClientAuthenticator& client);
/// 200 with device_code, user_code (up to 64 printable ASCII characters), verification_uri and
/// expires_in; addresses are https, or http to this machine. An interval that is missing or not
/// positive is 5 s, one over 5 minutes counts as 5 minutes, and an expires_in over a day as a day.
/// Errors: invalid_response ("device.content_type", ".not_json", ".duplicate_member",
/// ".wrong_type", ".missing_member", ".device_code", ".user_code", ".verification_uri",
/// ".verification_uri_complete", ".expires_in"), or the server's OAuth error, "device.<error>".
[[nodiscard]] Result<DeviceAuthorization> process_device_response(const HttpResponse& response,
                                                                  TimePoint now);

/// Asks for the tokens (RFC 8628 §3.4). Errors: those of parse_endpoint(), step "device".
[[nodiscard]] Result<HttpRequest> build_device_poll(std::string_view token_endpoint,
                                                    std::string_view issuer,
                                                    std::string_view client_auth_kid,
                                                    const SecretString& device_code,
                                                    ClientAuthenticator& client);

/// What an answer to a poll means (RFC 8628 §3.5).
enum class DeviceVerdict {
  granted,    ///< the tokens are there
  pending,    ///< the person has not answered yet
  slow_down,  ///< the same, and the interval grows by kDeviceSlowDown for good
  trouble,    ///< nothing was learnt: no answer, 5xx, 429; worth another try
  refused,    ///< the server has decided: this device code is of no more use
  failed,     ///< neither an OAuth answer nor worth another try now; the code may still be good
};
struct JudgedPoll {
  DeviceVerdict verdict{};
  std::optional<TokenAnswer> answer{};  ///< for `granted` only
  /// For all but `granted`. `refused`: access_denied, "device.access_denied"; timeout,
  /// "device.expired_token"; invalid_grant, "device.invalid_grant"; invalid_client,
  /// "device.invalid_client"; provider_error, "device.<error>". A 200 that is no token answer is
  /// `refused` too, invalid_response, "device.…": the code is spent, see process_token_response.
  std::optional<Error> error{};
};
/// `map`: for token answers of an unusual shape.
[[nodiscard]] JudgedPoll judge_device_poll(const Result<HttpResponse>& answer, TimePoint now,
                                           const TokenAnswerMapper& map = {});

inline constexpr std::chrono::seconds kDeviceInterval{5};  ///< RFC 8628 §3.2
inline constexpr std::chrono::seconds kDeviceSlowDown{5};  ///< RFC 8628 §3.5
inline constexpr std::chrono::minutes kLongestDeviceLogin{30};

/// How long to wait before the next poll: the interval, doubled for each trouble in a row up to a
/// minute (RFC 8628 §3.5), and at least what the server asked for.
[[nodiscard]] Duration device_poll_delay(std::chrono::seconds interval, unsigned troubles,
                                         std::optional<std::chrono::seconds> retry_after);

}  // namespace latchkey
