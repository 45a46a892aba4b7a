// SPDX-License-Identifier: MIT
module;
#include <functional>
#include <memory>
#include <stop_token>
#include <string_view>
export module latchkey.refresh.authorized;
import latchkey.core.error;
import latchkey.http;
import latchkey.refresh.keeper;
import latchkey.session;

// A request to a resource server with a session that is good, its proof, and at most three sends:
// one nonce retry inside each, one more after a refresh when the server refused the token, one more
// when a kept connection turned out dead.

export namespace latchkey {

/// May the request be sent again when its connection broke before an answer? The server may have
/// acted on the first.
enum class Repeat {
  never,
  safe,  ///< a GET, or a write that has the same effect twice
};

/// The error of a request that was sent again because its connection broke: what is true of the
/// repetition alone, such as that it was not sent, is not true of both. An answer of the server's
/// (http_status) is what it is.
[[nodiscard]] Error error_of_repetition(const Error& first, Error second);

/// Sends once, and (if the body can be read again, C10.7) once more on a connection of its own if a
/// kept one broke before an answer and `repeat` allows it.
[[nodiscard]] Result<HttpResponse> send_repeatable(HttpTransport& transport,
                                                   const HttpRequest& request, Repeat repeat,
                                                   const SendOptions& options);

/// Makes the request for the session as it is now: its resource server may have moved. Called once
/// for each attempt.
using RequestMaker = std::function<Result<HttpRequest>(const SessionSummary&)>;

/// Any answer of the server is a result, but for a token that it refuses twice: token_invalid,
/// "resource.token_refused". A request whose body can't be read again (C10.7) is sent once: the
/// first refusal is then the result. Errors: those of SessionKeeper::fresh and of the transport.
[[nodiscard]] Result<HttpResponse> send_authorized(SessionKeeper& keeper, std::string_view subject,
                                                   const RequestMaker& make, Repeat repeat,
                                                   const SendOptions& options);

/// True for 401 with a DPoP or Bearer challenge of error="invalid_token" (RFC 6750 §3.1, RFC 9449
/// §7.1).
[[nodiscard]] bool refuses_token(const HttpResponse& response);

}  // namespace latchkey
