// SPDX-License-Identifier: MIT
module;
#include <string>
#include <utility>
#include <vector>
export module latchkey.flows.key_exchange;
import latchkey.core.error;
import latchkey.core.secret;
import latchkey.http;

// A static key that an endpoint gives short-lived tokens for. There is no standard for the request;
// the answer is a token answer (RFC 6749 §5.1): process_token_response("key_exchange", ...) reads
// it.

export namespace latchkey {

struct KeyExchange {
  enum class Body { json, form };
  std::string endpoint;  ///< https, or http to this machine
  SecretString key;
  Body body = Body::json;
  std::string member = "access_key";  ///< under which the key is sent
  /// Sent as well, in this order.
  std::vector<std::pair<std::string, std::string>> parameters{};
};

/// Errors: those of parse_endpoint; invalid_argument, "key_exchange.key" (empty, or not printable
/// ASCII), "key_exchange.member" (a name that is not of letters, digits, `_`, `-` and `.`, or
/// occurs twice).
[[nodiscard]] Result<HttpRequest> build_key_exchange_request(const KeyExchange& exchange);

}  // namespace latchkey
