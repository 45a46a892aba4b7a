// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <chrono>
#include <cstddef>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
module latchkey.dpop.transport;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.json;
import latchkey.core.secret;
import latchkey.core.time;
import latchkey.core.url;
import latchkey.dpop.nonce;
import latchkey.dpop.prover;
import latchkey.http;

namespace latchkey {
namespace {

constexpr Duration kSmallestCorrection = std::chrono::seconds{2};
constexpr Duration kLargestCorrection = std::chrono::hours{24};
constexpr std::size_t kMaxErrorBody = 64 * 1024;
constexpr std::size_t kMaxOrigins = 1000;

bool is_dpop(std::string_view scheme) {
  constexpr std::string_view kDpop = "dpop";
  return std::equal(scheme.begin(), scheme.end(), kDpop.begin(), kDpop.end(),
                    [](char a, char b) { return (a >= 'A' && a <= 'Z' ? a - 'A' + 'a' : a) == b; });
}

// The one value of a field that must not occur twice.
std::optional<std::string_view> single(const Headers& headers, std::string_view name) {
  const auto values = headers.all(name);
  if (values.size() != 1) return std::nullopt;
  return values[0];
}

Error nonce_again(const HttpResponse& response, std::string_view origin, std::string_view jkt,
                  std::string_view cause) {
  auto error =
      make_error(ErrorCode::dpop_refused, "dpop.nonce_again",
                 "cannot prove possession of the key " + std::string(jkt) + " to " +
                     printable(origin, 200) + ": it asks for a DPoP nonce, " + std::string(cause) +
                     "; try again later, and tell the server's operator if it persists");
  error.http_status = response.status;
  return error;
}

Error no_time_left(std::string_view origin) {
  return make_error(ErrorCode::timeout, "dpop.timeout",
                    "cannot send a request to " + printable(origin, 200) +
                        ": the time was over before it could be repeated with what the server "
                        "wants of its proof; allow more time");
}

// What to put into the next proof instead of `used`.
Result<std::string> next_nonce(const HttpResponse& response, const std::optional<std::string>& used,
                               bool again, std::string_view origin, std::string_view jkt) {
  if (again)
    return nonce_again(response, origin, jkt, "also after it was given the one that it sent");
  const auto given = single(response.headers, "DPoP-Nonce");
  if (!given || !is_dpop_nonce(*given))
    return nonce_again(response, origin, jkt, "but sends no usable one");
  if (used == *given)
    return nonce_again(response, origin, jkt, "but sends the one that it has just refused");
  return std::string(*given);
}

// The error of a refusal for the proof's sake: in a DPoP challenge or in a JSON body.
bool refuses_with(const HttpResponse& response, std::string_view wanted) {
  if (response.status != 400 && response.status != 401) return false;
  for (const auto& challenge : parse_challenges(response.headers)) {
    const auto* error = challenge.find("error");
    if (is_dpop(challenge.scheme) && error != nullptr && *error == wanted) return true;
  }
  if (!has_json_content(response) || response.body.size() > kMaxErrorBody) return false;
  const auto body =
      JsonObject::parse(response.body.expose(), ErrorCode::invalid_response, "error_answer");
  const auto error =
      body ? body->string("error") : Result<std::optional<std::string>>(body.error());
  return error && *error == wanted;
}

// A client assertion has times as a proof has, and is judged before any token or code.
bool refuses_times(const HttpRequest& request, const HttpResponse& response) {
  return refuses_proof(response) ||
         (request.renew_body && refuses_with(response, "invalid_client"));
}

Result<void> renew_body(HttpRequest& request) {
  if (!request.renew_body) return {};
  auto body = request.renew_body();
  if (!body) return std::move(body).error();
  request.body = *std::move(body);
  return {};
}

}  // namespace

bool asks_for_nonce(const HttpResponse& response) {
  return refuses_with(response, "use_dpop_nonce");
}

bool refuses_proof(const HttpResponse& response) {
  return refuses_with(response, "invalid_dpop_proof");
}

void ClockSkew::learn(std::string_view origin, const HttpResponse& response, TimePoint sent,
                      TimePoint received) {
  const auto text = single(response.headers, "Date");
  // An answer from a cache has the time of another exchange.
  if (!text || response.headers.find("Age") != nullptr || received < sent) return;
  const auto date = parse_http_date(*text);
  if (!date) return;
  // The server wrote the date, which is cut to seconds, at some moment between sent and received:
  // its clock is ahead of ours by something between these two.
  const Duration least = *date - received;
  const Duration most = *date + std::chrono::milliseconds{999} - sent;
  Duration offset = least + (most - least) / 2;
  if (offset > kLargestCorrection || offset < -kLargestCorrection) return;
  if ((least <= Duration::zero() && most >= Duration::zero()) ||
      std::chrono::abs(offset) < kSmallestCorrection) {
    offset = Duration::zero();
  }
  const std::scoped_lock lock(mutex_);
  const std::string key(origin);
  if (offset == Duration::zero()) {
    offsets_.erase(key);
    return;
  }
  if (offsets_.size() >= kMaxOrigins && offsets_.find(key) == offsets_.end())
    offsets_.erase(offsets_.begin());
  offsets_[key] = offset;
}

Duration ClockSkew::offset(std::string_view origin) const {
  const std::scoped_lock lock(mutex_);
  const auto found = offsets_.find(std::string(origin));
  return found == offsets_.end() ? Duration::zero() : found->second;
}

Result<HttpResponse> DpopTransport::attempt(HttpRequest& request, const SendOptions& options,
                                            const std::optional<std::string>& nonce) {
  const std::string origin = request.url.origin(), htu = request.url.htu();
  const auto& authorization = request.authorization;
  const bool bound = authorization && authorization->scheme == Authorization::Scheme::dpop;
  const auto sent = context_.clock->now();
  const auto proof =
      context_.prover->proof({.htm = request.method,
                              .htu = htu,
                              .iat = sent + context_.skew->offset(origin),
                              .access_token = bound ? &authorization->credentials : nullptr,
                              .nonce = nonce});
  if (!proof) return proof.error();
  if (auto set = request.headers.set("DPoP", *proof); !set) return std::move(set).error();
  auto response = context_.inner->send(request, options);
  if (!response) return response;
  context_.skew->learn(origin, *response, sent, context_.clock->now());
  if (const auto fresh = single(response->headers, "DPoP-Nonce")) {
    context_.nonces->learn(origin, context_.prover->jkt(), *fresh);
  }
  return response;
}

Result<HttpResponse> DpopTransport::send(const HttpRequest& request, const SendOptions& options) {
  if (request.headers.find("DPoP") != nullptr) {
    return make_error(
        ErrorCode::invalid_argument, "dpop.header_present",
        "cannot send a request: it already has a DPoP header, and a proof is good for "
        "one attempt only; leave the header out");
  }
  const auto started = context_.clock->steady_now();
  const std::string origin = request.url.origin();
  const std::string& jkt = context_.prover->jkt();
  HttpRequest copy = request.clone();
  SendOptions rest = options;
  auto nonce = context_.nonces->find(origin, jkt);
  for (bool given_nonce = false, corrected = false;;) {
    const Duration offset = context_.skew->offset(origin);
    auto answer = attempt(copy, rest, nonce);
    if (!answer || !request.is_replayable()) return answer;
    if (asks_for_nonce(*answer)) {
      auto wanted = next_nonce(*answer, nonce, given_nonce, origin, jkt);
      if (!wanted) return std::move(wanted).error();
      nonce = *std::move(wanted);
      given_nonce = true;
    } else if (!corrected && refuses_times(copy, *answer) &&
               std::chrono::abs(context_.skew->offset(origin) - offset) > kSmallestCorrection) {
      // The same answer may have brought a newer nonce.
      nonce = context_.nonces->find(origin, jkt);
      corrected = true;
    } else {
      return answer;
    }
    rest.timeout = options.timeout - std::chrono::ceil<std::chrono::milliseconds>(
                                         context_.clock->steady_now() - started);
    if (rest.timeout <= std::chrono::milliseconds::zero()) return no_time_left(origin);
    if (auto renewed = renew_body(copy); !renewed) return std::move(renewed).error();
    rest.connect_timeout = std::min(rest.connect_timeout, rest.timeout);
  }
}

}  // namespace latchkey
