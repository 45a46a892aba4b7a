// SPDX-License-Identifier: MIT
module;
#include <cstddef>
#include <optional>
#include <string>
export module latchkey.http.trace.reading;
import latchkey.core.time;
import latchkey.http;
import latchkey.http.trace.event;

// What a request and its answer say of themselves to a trace. It is read off what goes over the
// wire, so that no module has to say what its requests are for, and a trace can't tell anything
// else than what happened. Internal to latchkey.http.trace; the hub does not export it.

export namespace latchkey {

/// Of the body, wherever it comes from.
[[nodiscard]] std::size_t body_size(const HttpRequest& request);
/// All but the attempt.
[[nodiscard]] TracedRequest read_request(const HttpRequest& request);
/// All but the request's event and the time it took. `now`: for a date in Retry-After.
[[nodiscard]] TracedAnswer read_answer(const HttpRequest& request, const HttpResponse& response,
                                       TimePoint now);
/// Why a client would send the same request again after this answer.
[[nodiscard]] TraceRetry reason_to_repeat(const HttpResponse& response);

}  // namespace latchkey
