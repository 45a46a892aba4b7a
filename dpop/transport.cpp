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

constexpr std::string_view kUseNonce = "use_dpop_nonce";
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

Error nonce_again(const HttpRequest& request, const HttpResponse& response, std::string_view jkt,
                  std::string_view cause) {
  auto error = make_error(ErrorCode::dpop_refused, "dpop.nonce_again",
                          "cannot prove possession of the key " + std::string(jkt) + " to " +
                              printable(request.url.origin(), 200) +
                              ": it asks for a DPoP nonce, " + std::string(cause) +
                              "; try again later, and tell the server's operator if it persists");
  error.http_status = response.status;
  return error;
}

}  // namespace

bool asks_for_nonce(const HttpResponse& response) {
  if (response.status != 400 && response.status != 401) return false;
  for (const auto& challenge : parse_challenges(response.headers)) {
    const auto* error = challenge.find("error");
    if (is_dpop(challenge.scheme) && error != nullptr && *error == kUseNonce) return true;
  }
  if (!has_json_content(response) || response.body.size() > kMaxErrorBody) return false;
  const auto body =
      JsonObject::parse(response.body.expose(), ErrorCode::invalid_response, "error_answer");
  const auto error =
      body ? body->string("error") : Result<std::optional<std::string>>(body.error());
  return error && *error == kUseNonce;
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
  const std::string& jkt = context_.prover->jkt();
  HttpRequest copy = request.clone();
  const auto nonce = context_.nonces->find(request.url.origin(), jkt);
  auto first = attempt(copy, options, nonce);
  if (!first || !asks_for_nonce(*first)) return first;

  const auto given = single(first->headers, "DPoP-Nonce");
  if (!given || !is_dpop_nonce(*given))
    return nonce_again(request, *first, jkt, "but sends no usable one");
  const std::optional<std::string> fresh(*given);
  if (fresh == nonce)
    return nonce_again(request, *first, jkt, "but sends the one that it has just refused");

  SendOptions rest = options;
  const auto used = context_.clock->steady_now() - started;
  rest.timeout -= std::chrono::ceil<std::chrono::milliseconds>(used);
  if (rest.timeout <= std::chrono::milliseconds::zero()) {
    auto error = make_error(
        ErrorCode::timeout, "dpop.timeout",
        "cannot send a request to " + printable(request.url.origin(), 200) +
            ": the time was over before it could be repeated with the server's DPoP nonce; "
            "allow more time");
    return error;
  }
  rest.connect_timeout = std::min(rest.connect_timeout, rest.timeout);
  auto second = attempt(copy, rest, fresh);
  if (!second || !asks_for_nonce(*second)) return second;
  return nonce_again(request, *second, jkt, "also after it was given the one that it sent");
}

}  // namespace latchkey
