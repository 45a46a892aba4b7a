// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
export module latchkey.test.flow_world;
import latchkey.core;
import latchkey.flows.authorization_code;
import latchkey.flows.client;
import latchkey.flows.client_options;
import latchkey.flows.environment;
import latchkey.flows.interaction;
import latchkey.http;
import latchkey.loopback.browser;
import latchkey.oauth.server_metadata;
import latchkey.oidc.id_token;
import latchkey.session;
import latchkey.store;
import latchkey.test.oauth;
import latchkey.test.raw_client;
import latchkey.test.refresh_world;
import latchkey.test.scripted_transport;

// A provider that is scripted, a browser that does as a test tells it, and a judge of id tokens
// that says what it is told to.

export namespace latchkey::test {

inline constexpr std::string_view kProvider = "https://op.test";

/// A token answer with members replaced ("" leaves one out; other values are JSON).
[[nodiscard]] std::string answer_json(const std::map<std::string, std::string>& changes = {});

/// Thread-safe enough for one login at a time.
class ToldValidator final : public IdTokenValidator {
 public:
  bool checks_signature() const noexcept override { return signature; }
  Result<IdTokenClaims> validate(const SecretString& id_token,
                                 const IdTokenExpectations& expectations,
                                 std::stop_token stop) override;
  void prepare(std::stop_token) override { ++prepared; }

  unsigned prepared = 0;
  bool signature = true;
  std::string subject = "alice-1";
  std::optional<Error> refusal{};
  // What it was asked for last.
  unsigned asked = 0;
  std::string token{}, issuer{}, client_id{}, nonce{}, expected_subject{}, access_token{};
  std::optional<std::chrono::seconds> max_age{};
};

class ToldBrowser final : public BrowserOpener {
 public:
  Result<void> open(const Url& url) override;
  std::function<Result<void>(const Url&)> on_open = [](const Url&) { return Result<void>{}; };
  unsigned opened = 0;
};

struct FlowWorld {
  using Answer = std::function<Result<HttpResponse>(const HttpRequest&)>;

  FlowWorld();
  FlowWorld(const FlowWorld&) = delete;
  FlowWorld& operator=(const FlowWorld&) = delete;
  ~FlowWorld() = default;

  World world;
  ServerMetadata server;
  Answer on_par, on_token;
  std::shared_ptr<ScriptedTransport> transport;
  std::shared_ptr<ToldValidator> validator = std::make_shared<ToldValidator>();
  std::shared_ptr<ToldBrowser> browser = std::make_shared<ToldBrowser>();
  Url page = Url::parse("https://never.opened").value();  ///< the one that the person saw last

  /// The server also offers what is named.
  void offer_par();
  void offer_dpop();
  /// From now on the token endpoint answers so.
  void answer_with(const std::map<std::string, std::string>& changes, int status = 200);

  /// For flows that keep nothing. Without a vault.
  [[nodiscard]] FlowEnvironment environment() const;
  /// A client of this server with a scope, a store and a vault.
  [[nodiscard]] OAuthClientOptions options() const;
  /// The person comes back at once with a code, by paste.
  [[nodiscard]] LoginInteraction person();
  /// The same with any query; `STATE` stands for the state that was sent.
  [[nodiscard]] LoginInteraction person_with(std::string query);

  /// A parameter of the page that was opened, or of the pushed request behind it.
  [[nodiscard]] std::string asked(std::string_view name) const;
  [[nodiscard]] bool asked_for(std::string_view name) const;
  [[nodiscard]] std::vector<HttpRequest> requests_to(std::string_view path) const;
  [[nodiscard]] std::size_t keys() const { return world.vault->list().value().size(); }
  /// Tokens that were revoked, in order.
  [[nodiscard]] std::vector<std::string> revoked() const;
  /// What a browser gets that goes to the redirect_uri with this query.
  [[nodiscard]] std::string visit(const std::string& query) const;

 private:
  [[nodiscard]] FormFields parameters() const;
};

}  // namespace latchkey::test
