// SPDX-License-Identifier: MIT
module;
#include <string>
#include <string_view>
#include <utility>
export module latchkey.sandbox.front;
import latchkey.core.crypto;
import latchkey.core.encoding;
import latchkey.sandbox.accounts;
import latchkey.sandbox.authorization;
import latchkey.sandbox.authorization_request;
import latchkey.sandbox.clients;
import latchkey.sandbox.device;
import latchkey.sandbox.message;
import latchkey.sandbox.sign_in;

// The authorization server as a browser sees it: the page of a login, and that of a device.

export namespace latchkey::sandbox {

/// Holds the desks by reference. Not thread-safe.
class Front {
 public:
  Front(std::string issuer, Random& random, Accounts& accounts, const Clients& clients,
        AuthorizationDesk& desk, DeviceDesk& devices)
      : accounts_(accounts),
        clients_(clients),
        desk_(desk),
        devices_(devices),
        sign_in_(random, accounts, std::move(issuer)) {}

  /// GET /oauth/authorize
  [[nodiscard]] Response open(const Request& request);
  /// POST /oauth/authorize, the page's form
  [[nodiscard]] Response decide(const Request& request);
  /// GET /device
  [[nodiscard]] Response open_device(const Request& request);
  /// POST /device, the page's form
  [[nodiscard]] Response decide_device(const Request& request);

 private:
  [[nodiscard]] Response open_pushed(const Request& request, std::string_view client_id,
                                     std::string_view request_uri);
  [[nodiscard]] Response open_plain(const Request& request, const FormFields& fields);
  [[nodiscard]] Response show(AuthorizationRequest& pending, const Request& request);
  [[nodiscard]] const Account* approves_by_itself(const AuthorizationRequest& pending);

  Accounts& accounts_;
  const Clients& clients_;
  AuthorizationDesk& desk_;
  DeviceDesk& devices_;
  SignInDesk sign_in_;
};

}  // namespace latchkey::sandbox
