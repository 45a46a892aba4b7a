// SPDX-License-Identifier: MIT
module;
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
export module latchkey.cli.trace.wording;
import latchkey.cli.trace.record;

// How entries of a trace are put into words, the same in the diagram and in the list. All texts are
// HTML: what the file says can't become markup.

export namespace latchkey::cli {

/// How an entry ended.
enum class Ending {
  well,
  refused,     ///< by an answer from 400 on, or a step that failed
  unanswered,  ///< no answer came
  unknown,     ///< the trace ends before
  overtaken,   ///< stopped, for it was not needed any more
};
[[nodiscard]] Ending ending_of(const TraceEntry& entry) noexcept;
[[nodiscard]] bool is_retry(const TraceEntry& entry) noexcept;

/// Text of the file, cut to `max` characters.
[[nodiscard]] std::string shown_text(std::string_view text, std::size_t max = 100);
/// "POST token refresh_token", "browser opened".
[[nodiscard]] std::string title_of(const TraceEntry& entry);
/// "200", "400 use_dpop_nonce, new nonce", "no answer: timeout, may have been sent".
[[nodiscard]] std::string result_of(const TraceEntry& entry);
/// "attempt 2: use_dpop_nonce"; empty for a first attempt.
[[nodiscard]] std::string retry_of(const TraceEntry& entry);
/// "key 0a1b2c3d, with a nonce"; empty without a proof.
[[nodiscard]] std::string proof_of(const TraceEntry& entry);
/// "12 ms", "1.250 s".
[[nodiscard]] std::string time_text(std::int64_t ms);
/// The time an exchange took; 0 for steps and what has no end.
[[nodiscard]] std::int64_t took(const TraceEntry& entry) noexcept;

}  // namespace latchkey::cli
