// SPDX-License-Identifier: MIT
module;
#include <memory>
#include <string>
export module latchkey.flows.environment;
import latchkey.core.crypto;
import latchkey.core.error;
import latchkey.core.time;
import latchkey.core.url;
import latchkey.http;
import latchkey.http.policy;
import latchkey.http.trace;
import latchkey.loopback.browser;
import latchkey.store.vault;

// What a flow needs of the world. Empty members stand for the real things.

export namespace latchkey {

struct FlowEnvironment {
  HttpRule http_rule = HttpRule::https_only;
  /// public_only when providers are named by strangers; see OAuthClientOptions.
  AddressRule address_rule = AddressRule::any;
  // The library reads no environment: programs hand over what they read.
  Proxy proxy{};
  std::string extra_ca_file{};  ///< PEM, trusted beside the system's store
  /// Where keys are made for tokens that are bound to one; null: no token is.
  std::shared_ptr<KeyVault> vault{};

  // Seams; the defaults are the real ones.
  std::shared_ptr<HttpTransport> transport{};  ///< cpprestsdk
  std::shared_ptr<BrowserOpener> browser{};
  std::shared_ptr<Clock> clock{};
  std::shared_ptr<Random> random{};
  std::shared_ptr<Tracer>
      tracer{};  ///< told what is sent, and what the browser is asked; null: nobody
};

/// Puts the real things in place of what is null, and the tracer around them. Errors: those of
/// CpprestTransport::open.
[[nodiscard]] Result<void> fill_defaults(FlowEnvironment& environment);

}  // namespace latchkey
