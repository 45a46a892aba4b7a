// SPDX-License-Identifier: MIT
module;
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
export module latchkey.atproto.xrpc;
import latchkey.core.error;
import latchkey.core.time;
import latchkey.http;

// What a PDS says when it refuses an XRPC call, and of how often it may be called.

export namespace latchkey {

/// The RateLimit-* fields of an answer (C10.5). Each is empty if the server did not send it, or
/// sent nonsense. Nothing here waits: what to do about it is the program's business.
struct RateLimit {
  std::optional<std::uint64_t> limit{};      ///< calls in the window
  std::optional<std::uint64_t> remaining{};  ///< of these left
  std::optional<TimePoint> resets_at{};      ///< when the window ends, by the server's clock
  std::string policy{};                      ///< as sent, cut to 200 characters
};
/// Pure.
[[nodiscard]] RateLimit rate_limit_of(const HttpResponse& response);

/// The error that an XRPC answer stands for; the server's own message is shown, cut and cleaned.
/// Times in it count from the answer's Date, or from `now`. Codes: record_not_found, invalid_swap,
/// insufficient_scope, rate_limited (with retry_after), resource_error; detail "xrpc.<name>", or
/// "xrpc.status" if the answer names none. Pure.
[[nodiscard]] Error xrpc_error(std::string_view nsid, const HttpResponse& response, TimePoint now);

}  // namespace latchkey
