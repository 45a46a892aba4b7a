// SPDX-License-Identifier: MIT
module;
#include <string>
#include <string_view>
export module latchkey.atproto.xrpc;
import latchkey.core.error;
import latchkey.core.time;
import latchkey.http;

// What a PDS says when it refuses an XRPC call.

export namespace latchkey {

/// The error that an XRPC answer stands for; the server's own message is shown, cut and cleaned.
/// Times in it count from the answer's Date, or from `now`. Codes: record_not_found, invalid_swap,
/// insufficient_scope, rate_limited (with retry_after), resource_error; detail "xrpc.<name>", or
/// "xrpc.status" if the answer names none. Pure.
[[nodiscard]] Error xrpc_error(std::string_view nsid, const HttpResponse& response, TimePoint now);

}  // namespace latchkey
