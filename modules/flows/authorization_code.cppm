// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
export module latchkey.flows.authorization_code;
export import latchkey.flows.code_flow;
import latchkey.core.secret;
import latchkey.core.error;
import latchkey.flows.client_options;
import latchkey.loopback.certificate;
import latchkey.loopback.pages;
import latchkey.loopback.receiver;
import latchkey.oauth.client_secret;
import latchkey.oauth.server_metadata;
import latchkey.oauth.token;
import latchkey.oidc.discovery;
import latchkey.oidc.id_token;

// The authorization code flow of any provider, put together step by step. What is missing is a
// compile error: build() exists once the client, both endpoints and, if openid is asked for, what
// becomes of the id token are said. What is wrong is found when the flow begins, before anything
// listens or opens.

export namespace latchkey {

/// Scopes that OpenID Connect Core §5.4 and §11 define. openid is not among them: it comes with
/// openid() and discovered(), which ask for a decision.
enum class Scope { profile, email, address, phone, offline_access };
[[nodiscard]] std::string_view to_string(Scope scope) noexcept;

/// What a builder has so far.
struct FlowParts {
  bool client_id = false;
  bool authorization_endpoint = false;
  bool token_endpoint = false;
  IdTokenChoice id_token = IdTokenChoice::none;

  [[nodiscard]] constexpr bool is_complete() const noexcept {
    return client_id && authorization_endpoint && token_endpoint &&
           id_token != IdTokenChoice::undecided;
  }
};

/// See AuthorizationCodeFlow::builder. Every step consumes the builder and gives the next one.
/// Steps that name the same thing twice don't exist for what must be said once.
template <FlowParts Parts>
class CodeFlowBuilder {
 public:
  [[nodiscard]] auto client_id(std::string id) &&
      requires(!Parts.client_id) {
        settings_.client_id = std::move(id);
        return std::move(*this).template as<with(&FlowParts::client_id)>();
      }
      /// For clients that really can keep a secret; in the Authorization header (RFC 6749 §2.3.1).
      [[nodiscard]] auto client_secret_basic(SecretString secret) &&
      requires(Parts.client_id) {
        settings_.client = latchkey::client_secret_basic(settings_.client_id, std::move(secret));
        return std::move(*this);
      }
      /// The same in the form, for servers that don't take the header.
      [[nodiscard]] auto client_secret_post(SecretString secret) &&
      requires(Parts.client_id) {
        settings_.client = latchkey::client_secret_post(settings_.client_id, std::move(secret));
        return std::move(*this);
      }

      [[nodiscard]] auto authorization_endpoint(std::string url) &&
      requires(!Parts.authorization_endpoint) {
        settings_.server.authorization_endpoint = std::move(url);
        return std::move(*this).template as<with(&FlowParts::authorization_endpoint)>();
      } [[nodiscard]] auto token_endpoint(std::string url) &&
      requires(!Parts.token_endpoint) {
        settings_.server.token_endpoint = std::move(url);
        return std::move(*this).template as<with(&FlowParts::token_endpoint)>();
      }
      /// All that a server says of itself (RFC 8414): endpoints, issuer, PAR, DPoP.
      [[nodiscard]] auto server(ServerMetadata metadata) &&
      requires(!Parts.authorization_endpoint && !Parts.token_endpoint) {
        settings_.server = std::move(metadata);
        return std::move(*this).template as<with_server(Parts.id_token)>();
      }
      /// The same of an OpenID provider; asks for openid.
      [[nodiscard]] auto discovered(OpenIdProvider provider) &&
      requires(!Parts.authorization_endpoint && !Parts.token_endpoint &&
               Parts.id_token == IdTokenChoice::none) {
        settings_.server = std::move(provider.server);
        return std::move(*this).template as<with_server(IdTokenChoice::undecided)>();
      }

      /// Asks for an id token: validate_id_token_with() or without_jwks_validation() must follow.
      [[nodiscard]] auto openid() &&
      requires(Parts.id_token == IdTokenChoice::none) {
        return std::move(*this).template as<with(IdTokenChoice::undecided)>();
      }
      /// Of an id token; for endpoints that were not discovered.
      [[nodiscard]] auto issuer(std::string issuer) &&
      requires(Parts.id_token != IdTokenChoice::none) {
        settings_.server.issuer = std::move(issuer);
        return std::move(*this);
      }
      /// `validator` must not be null, and check signatures: authorize() says so otherwise.
      [[nodiscard]] auto validate_id_token_with(std::shared_ptr<IdTokenValidator> validator) &&
      requires(Parts.id_token == IdTokenChoice::undecided) {
        settings_.validator = std::move(validator);
        return std::move(*this).template as<with(IdTokenChoice::validated)>();
      }
      /// Nobody checks who signed the id token: its claims are compared, and not handed out. For
      /// programs that leave that to their own backend (raw_id_token()).
      [[nodiscard]] auto without_jwks_validation() &&
      requires(Parts.id_token == IdTokenChoice::undecided) {
        return std::move(*this).template as<with(IdTokenChoice::unvalidated)>();
      }
      /// Refuses a sign-in that is older (OpenID Connect Core §3.1.2.1).
      [[nodiscard]] auto max_age(std::chrono::seconds age) &&
      requires(Parts.id_token != IdTokenChoice::none) {
        settings_.max_age = age;
        return std::move(*this);
      }

      [[nodiscard]] auto scope(Scope scope) && {
    return std::move(*this).scope(to_string(scope));
  }
  /// One scope or several, separated by spaces; added to those before. openid is refused when the
  /// flow begins: openid() asks for a decision.
  [[nodiscard]] auto scope(std::string_view text) && {
    if (!settings_.scope.empty()) settings_.scope += ' ';
    settings_.scope += text;
    return std::move(*this);
  }
  /// Whom the tokens are for (RFC 8707). Can be said several times.
  [[nodiscard]] auto resource(std::string uri) && {
    settings_.resources.push_back(std::move(uri));
    return std::move(*this);
  }
  /// A further parameter of the authorization request; see check_extra_parameters.
  [[nodiscard]] auto extra_parameter(std::string name, std::string value) && {
    settings_.extra_parameters.emplace_back(std::move(name), std::move(value));
    return std::move(*this);
  }
  [[nodiscard]] auto proof(ProofRule rule) && {
    settings_.proof = rule;
    return std::move(*this);
  }
  [[nodiscard]] auto token_answer_mapper(TokenAnswerMapper map) && {
    settings_.map_answer = std::move(map);
    return std::move(*this);
  }

  // Where the browser ends. Default: http on any free port of 127.0.0.1.

  [[nodiscard]] auto port(std::uint16_t port, PortPolicy policy) && {
    settings_.receiver.port = port;
    settings_.receiver.port_policy = policy;
    return std::move(*this);
  }
  [[nodiscard]] auto redirect_path(std::string path) && {
    settings_.receiver.path = std::move(path);
    return std::move(*this);
  }
  [[nodiscard]] auto redirect_host(LoopbackHost host) && {
    settings_.receiver.host = host;
    return std::move(*this);
  }
  [[nodiscard]] auto https(std::shared_ptr<const TlsCertificate> certificate) && {
    settings_.receiver.certificate = std::move(certificate);
    return std::move(*this);
  }
  [[nodiscard]] auto application_name(std::string name) && {
    settings_.application_name = std::move(name);
    return std::move(*this);
  }
  [[nodiscard]] auto pages(ResultPages pages) && {
    settings_.pages = std::move(pages);
    return std::move(*this);
  }
  /// Hooks, the browser, how long the person may take (default: 300 s).
  [[nodiscard]] auto interaction(LoginInteraction interaction) && {
    settings_.interaction = std::move(interaction);
    return std::move(*this);
  }

  /// There only once nothing is missing. Cannot fail.
 [[nodiscard]] auto build() &&
     requires(Parts.is_complete()) {
       using Kind =
           std::conditional_t<Parts.id_token == IdTokenChoice::validated, Validated, Unvalidated>;
       settings_.id_token = Parts.id_token;
       return CodeFlow<Kind>(std::move(settings_));
     }

     private : template <FlowParts>
               friend class CodeFlowBuilder;
  friend struct AuthorizationCodeFlow;
  explicit CodeFlowBuilder(CodeFlowSettings settings) : settings_(std::move(settings)) {}

  template <FlowParts Next>
  CodeFlowBuilder<Next> as() && {
    return CodeFlowBuilder<Next>(std::move(settings_));
  }
  static constexpr FlowParts with(bool FlowParts::* part) {
    FlowParts next = Parts;
    next.*part = true;
    return next;
  }
  static constexpr FlowParts with(IdTokenChoice choice) {
    FlowParts next = Parts;
    next.id_token = choice;
    return next;
  }
  static constexpr FlowParts with_server(IdTokenChoice choice) {
    FlowParts next = with(choice);
    next.authorization_endpoint = next.token_endpoint = true;
    return next;
  }

  CodeFlowSettings settings_;
};

/// `auto flow = AuthorizationCodeFlow::builder().client_id("my-client").discovered(provider)
///      .validate_id_token_with(jwks).scope("email").build();`
struct AuthorizationCodeFlow {
  [[nodiscard]] static CodeFlowBuilder<FlowParts{}> builder() {
    return CodeFlowBuilder<FlowParts{}>(CodeFlowSettings{});
  }
};

}  // namespace latchkey
