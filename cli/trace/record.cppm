// SPDX-License-Identifier: MIT
module;
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>
export module latchkey.cli.trace.record;
import latchkey.core.error;
import latchkey.core.time;

// What a trace file says, as docs/trace.md describes it. The file may have been written by anybody:
// all text is checked when it is shown.

export namespace latchkey::cli {

struct ReadAnswer {
  std::int64_t status = 0;
  std::string error{};
  bool new_nonce = false;
  std::int64_t ms = 0;
};

struct ReadFailure {
  std::string code{};
  std::string detail{};
  bool maybe_sent = false;
  std::int64_t ms = 0;
};

/// A request with what became of it, or a step.
struct TraceEntry {
  std::int64_t id = 0;
  TimePoint at{};
  std::string from{};
  std::string to{};

  std::string step{};  ///< empty: a request
  std::string code{};  ///< of a step
  std::string detail{};

  std::string origin{};
  std::string method{};
  std::string path{};
  std::string purpose{};
  std::string grant{};
  std::string key{};
  bool has_nonce = false;
  std::int64_t attempt = 1;
  std::string retry{};
  std::optional<ReadAnswer> answer{};
  std::optional<ReadFailure> failure{};  ///< neither: the program ended before
  /// A look-up of a handle that was stopped because the other way had the answer.
  bool overtaken = false;

  [[nodiscard]] bool is_step() const noexcept { return !step.empty(); }
};

/// The entries of one run of a program, in the order in which they began.
struct TraceRun {
  std::string name;
  std::vector<TraceEntry> entries;
};

struct TraceText {
  std::vector<TraceRun> runs;  ///< in the order in which they began
  /// Lines that are no event of this format: torn by a crash, or of a newer version.
  std::size_t unreadable = 0;
};

/// Never fails: what can't be read is counted.
[[nodiscard]] TraceText parse_trace(std::string_view text);

}  // namespace latchkey::cli
