// SPDX-License-Identifier: MIT
module;
#include <cstddef>
#include <exception>
#include <functional>
#include <span>
export module latchkey.http.body_fence;
import latchkey.core.error;

// A caller's code that gives the bytes of a body, kept from doing harm: it may throw, or claim more
// than it was asked for. Used by those who read bodies.

export namespace latchkey {

/// Fills the span, and gives how much of it; 0 at the end.
using BodyRead = std::function<Result<std::size_t>(std::span<unsigned char>)>;

/// What `read` gives, never more than fits. Throws nothing. Errors: those of `read`; io,
/// "body.threw", "body.overrun" (it says that it wrote past the end of the span).
[[nodiscard]] Result<std::size_t> read_fenced(const BodyRead& read, std::span<unsigned char> to);

/// io, "body.threw": what a caller's code threw while it gave a body.
[[nodiscard]] Error thrown_by_body(const std::exception_ptr& thrown);

}  // namespace latchkey
