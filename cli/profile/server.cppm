// SPDX-License-Identifier: MIT
module;
#include <memory>
#include <stop_token>
export module latchkey.cli.profile.server;
import latchkey.cli.profile;
import latchkey.core.error;
import latchkey.core.time;
import latchkey.core.url;
import latchkey.http;
import latchkey.oauth.server_metadata;
import latchkey.oidc.id_token;

// The provider of a profile, as it says of itself or as the profile's file says.

export namespace latchkey::cli {

struct Provider {
  ServerMetadata server;
  std::shared_ptr<IdTokenValidator> validator{};  ///< null: openid is not asked for
};

/// How to ask. All but `stop` must be set.
struct ProviderQuestion {
  std::shared_ptr<HttpTransport> transport;
  std::shared_ptr<Clock> clock;
  HttpRule http_rule = HttpRule::https_only;
  std::stop_token stop{};
};

/// Without endpoints in the profile, asks the issuer. Errors: those of discover_openid (openid is
/// among the scopes), of discover_server (it is not), and of JwksIdTokenValidator::create;
/// invalid_argument, "profile.no_jwks" (openid, endpoints, and neither keys nor
/// without_jwks_validation).
[[nodiscard]] Result<Provider> find_provider(const Profile& profile,
                                             const ProviderQuestion& question);

/// True if `scope` has openid.
[[nodiscard]] bool asks_for_openid(const Profile& profile);
/// The scopes but openid.
[[nodiscard]] Result<std::string> scope_without_openid(const Profile& profile);

}  // namespace latchkey::cli
