// SPDX-License-Identifier: MIT
module;
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
export module latchkey.test.resource_world;
import latchkey.core;
import latchkey.core.json;
import latchkey.http;
import latchkey.refresh.keeper;
import latchkey.test.openssl;
import latchkey.test.refresh_world;
import latchkey.test.scripted_transport;

// A session, its rotating authorization server, and a resource server that answers as a test tells
// it to.

export namespace latchkey::test {

/// 401 as a PDS refuses a token.
[[nodiscard]] HttpResponse token_refused() {
  return json_answer(401,
                     R"({"error":"invalid_token","message":"exp claim timestamp check failed"})",
                     {{"WWW-Authenticate", R"(DPoP algs="ES256", error="invalid_token")"}});
}

/// 401 as a PDS asks for a nonce.
[[nodiscard]] HttpResponse nonce_wanted(std::string_view nonce) {
  return json_answer(
      401, R"({"error":"use_dpop_nonce","message":"Resource server requires nonce in DPoP proof"})",
      {{"WWW-Authenticate", R"(DPoP error="use_dpop_nonce")"}, {"DPoP-Nonce", nonce}});
}

[[nodiscard]] Error connection_lost() {
  Error error = make_error(ErrorCode::connection_lost, "test.lost", "the connection broke");
  error.delivery = Delivery::maybe_sent;
  return error;
}

/// The claims of the proof that a request carries; "" without one.
[[nodiscard]] std::string proof_claims(const HttpRequest& request) {
  const std::string* proof = request.headers.find("DPoP");
  return proof == nullptr ? std::string() : decode_jws(*proof).payload;
}

[[nodiscard]] std::string claim_of(const HttpRequest& request, std::string_view name) {
  const auto claims =
      JsonObject::parse(proof_claims(request), ErrorCode::invalid_response, "claims");
  return claims ? claims->string(name).value().value_or("") : std::string();
}

[[nodiscard]] std::string token_of(const HttpRequest& request) {
  return request.authorization ? std::string(request.authorization->credentials.expose())
                               : std::string();
}

/// Requests to as.test reach the World's server, all others `pds`. Logged in from the start.
struct ResourceWorld {
  World world{};
  std::shared_ptr<ScriptedTransport> pds = std::make_shared<ScriptedTransport>();
  std::shared_ptr<SessionKeeper> keeper;

  ResourceWorld() {
    world.log_in();
    world.context.transport = std::make_shared<ScriptedTransport>(
        [this](const HttpRequest& request, const SendOptions& options) {
          return request.url.host() == "as.test" ? world.server.answer(request)
                                                 : pds->send(request, options);
        });
    keeper = world.keeper();
  }
  ResourceWorld(const ResourceWorld&) = delete;
  ResourceWorld& operator=(const ResourceWorld&) = delete;
  ~ResourceWorld() = default;

  /// The requests that the resource server saw.
  [[nodiscard]] auto requests() const { return pds->requests(); }
};

}  // namespace latchkey::test
