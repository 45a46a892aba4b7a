// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
export module latchkey.dpop.transport;
import latchkey.core.error;
import latchkey.core.time;
import latchkey.dpop.nonce;
import latchkey.dpop.prover;
import latchkey.http;

// A transport that adds a DPoP proof to every request (RFC 9449 §4, §7), learns nonces from every
// answer, and repeats a request exactly once when the server asks for a nonce, in both forms (400
// with a JSON error at an authorization server, 401 with a WWW-Authenticate challenge at a resource
// server). A proof that was refused because the clocks differ is repaired once too: the two
// refusals are independent, and each comes before the server has looked at a token or code.

export namespace latchkey {

/// How far each server's clock is from ours, learnt from `Date`. Nothing is corrected that the time
/// of travel or 2 s explain, and a date more than a day away is not believed. Thread-safe; share
/// one between transports.
class ClockSkew {
 public:
  void learn(std::string_view origin, const HttpResponse& response, TimePoint sent,
             TimePoint received);
  [[nodiscard]] Duration offset(std::string_view origin) const;

 private:
  mutable std::mutex mutex_;
  std::unordered_map<std::string, Duration> offsets_;
};

/// What a DpopTransport works with. All are shared and thread-safe.
struct DpopContext {
  std::shared_ptr<HttpTransport> inner;
  std::shared_ptr<DpopProver> prover;
  std::shared_ptr<NonceCache> nonces;
  std::shared_ptr<Clock> clock;
  std::shared_ptr<ClockSkew> skew;
};

/// Thread-safe. `ath` is sent iff the request carries an Authorization of scheme dpop. Every
/// attempt has a new proof, and a new body if HttpRequest::renew_body makes one. There are at most
/// three: one more after use_dpop_nonce, and one more after invalid_dpop_proof if that answer's
/// `Date` moved what is known of the server's clock by more than 2 s; invalid_client counts as that
/// for a request whose body is renewed, since a client assertion has times too. All share
/// SendOptions::timeout. Errors besides the inner transport's and the prover's: dpop_refused,
/// "dpop.nonce_again" (a second use_dpop_nonce, or one without a usable new nonce); timeout,
/// "dpop.timeout" (no time left for another attempt); invalid_argument, "dpop.header_present". A
/// request whose body can be read once only is sent once, and the answer comes back as it is. A
/// second invalid_dpop_proof comes back as it is.
class DpopTransport final : public HttpTransport {
 public:
  explicit DpopTransport(DpopContext context) : context_(std::move(context)) {}
  [[nodiscard]] Result<HttpResponse> send(const HttpRequest& request,
                                          const SendOptions& options) override;

 private:
  /// Sets the proof and sends; learns from the answer.
  [[nodiscard]] Result<HttpResponse> attempt(HttpRequest& request, const SendOptions& options,
                                             const std::optional<std::string>& nonce);
  DpopContext context_;
};

/// True if the answer asks for a nonce in either form (use_dpop_nonce, RFC 9449 §8, §9).
[[nodiscard]] bool asks_for_nonce(const HttpResponse& response);
/// True if the answer refuses the proof in either form (invalid_dpop_proof, RFC 9449 §5, §7.1).
[[nodiscard]] bool refuses_proof(const HttpResponse& response);

}  // namespace latchkey
