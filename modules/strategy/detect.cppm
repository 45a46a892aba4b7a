// SPDX-License-Identifier: MIT
module;
#include <memory>
#include <string>
#include <string_view>
#include <utility>
export module latchkey.strategy.detect;
import latchkey.core.error;
import latchkey.core.secret;
import latchkey.http;
import latchkey.loopback.headless;
import latchkey.refresh.keeper;
import latchkey.strategy;
import latchkey.strategy.access_key;

// Which credentials are there? What the program was given, then what the environment has, then a
// stored session; never a silent choice between two.

export namespace latchkey {

/// What somebody gave. Each kind of credentials is a set of values; empty means not given. In the
/// environment each has the name that stands beside it.
struct CredentialValues {
  // a fixed token or API key
  SecretString token{};  ///< LATCHKEY_TOKEN
  // client credentials
  std::string client_id{};       ///< LATCHKEY_CLIENT_ID
  SecretString client_secret{};  ///< LATCHKEY_CLIENT_SECRET
  std::string token_endpoint{};  ///< LATCHKEY_TOKEN_ENDPOINT
  std::string scope{};           ///< LATCHKEY_SCOPE; may be left out
  // a key to be exchanged
  SecretString access_key{};          ///< LATCHKEY_ACCESS_KEY
  std::string access_key_endpoint{};  ///< LATCHKEY_ACCESS_KEY_ENDPOINT
  // an ATProto account's app password
  std::string pds{};            ///< LATCHKEY_PDS
  std::string identifier{};     ///< LATCHKEY_IDENTIFIER
  SecretString app_password{};  ///< LATCHKEY_APP_PASSWORD
};

enum class CredentialSource { given, environment, stored_session };
[[nodiscard]] std::string_view to_string(CredentialSource source) noexcept;

struct DetectOptions {
  CredentialValues given{};
  Surroundings surroundings{};  ///< where the environment is read, and whether anybody is there
  /// Null: no stored session is looked for.
  std::shared_ptr<SessionKeeper> keeper{};
  std::string subject{};  ///< the profile or account whose session would be used
  /// What access keys, client credentials and app passwords need.
  ObtainingOptions obtaining;
};

/// The strategy that was found. Thread-safe.
class AutoStrategy final : public AuthStrategy {
 public:
  /// Of each level only one set may be there, and it must be whole. Nothing is sent; whether a
  /// stored session is still good is for get_token to say. Errors: invalid_argument,
  /// "strategy.half_set" (naming what is missing) and "strategy.ambiguous" (two whole sets at one
  /// level); login_required, "strategy.no_credentials" (what could be set, and how to log in at
  /// this machine); those of StaticTokenStrategy and AppPasswordStrategy::create, and of the store.
  [[nodiscard]] static Result<std::shared_ptr<AutoStrategy>> detect(DetectOptions options);

  [[nodiscard]] Result<AuthToken> get_token(const TokenOptions& options = {}) override {
    return chosen_->get_token(options);
  }
  [[nodiscard]] Result<std::shared_ptr<HttpTransport>> bind(std::shared_ptr<HttpTransport> plain,
                                                            const AuthToken& token) override {
    return chosen_->bind(std::move(plain), token);
  }
  [[nodiscard]] bool refuses(const HttpResponse& response) const override {
    return chosen_->refuses(response);
  }
  [[nodiscard]] CredentialSource source() const noexcept { return source_; }
  /// For people: "a fixed token", "client credentials", "an access key", "an app password", "the
  /// session of NAME".
  [[nodiscard]] const std::string& description() const noexcept { return description_; }

 private:
  AutoStrategy(std::shared_ptr<AuthStrategy> chosen, CredentialSource source,
               std::string description)
      : chosen_(std::move(chosen)), source_(source), description_(std::move(description)) {}
  const std::shared_ptr<AuthStrategy> chosen_;
  const CredentialSource source_;
  const std::string description_;
};

/// What the environment gives; a variable that is empty is not set.
[[nodiscard]] CredentialValues credentials_from_environment(const Surroundings& surroundings);

}  // namespace latchkey
